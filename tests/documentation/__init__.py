"""How the pages of the documentation are run.

Every fenced block is of a kind that is run, or of one that can't be: ``test_blocks.py`` fails for any other.
"""

from __future__ import annotations

#: Pages whose files and shell lines are played, as a reader would save and type them, by a test in this folder.
PLAYED = {
    "README.md",
    "docs/guide/brokers.md",
    "docs/guide/publishing.md",
    "docs/guide/replicas.md",
    "docs/guide/serving.md",
    "docs/guide/testing.md",
    "docs/guide/typescript-types.md",
    "docs/migrating/orijs.md",
    "docs/recipes/django.md",
    "docs/recipes/fastapi.md",
    "docs/operations/security.md",
    "docs/tutorial.md",
    "docs/wire-protocol.md",
    "docs/writing-a-provider.md",
    "examples/chat/README.md",
    "examples/dashboard/README.md",
    "providers/redis/README.md",
}

#: Pages that show programs side by side, of which each is run by a test in this folder.
BESIDE = {
    "docs/migrating/channels.md",
    "docs/migrating/orijs.md",
    "docs/migrating/python-socketio.md",
}

#: Pages whose shell lines are only seen to name what exists (commands, options, targets, settings), and why.
CHECKED = {
    "CONTRIBUTING.md": "make's targets, the whole test run among them",
    "charts/wigwag/README.md": "as docs/operations/kubernetes.md",
    "clients/typescript/README.md": "the package is installed into an empty project by tests/client_typescript",
    "docs/operations/kubernetes.md": "a cluster, elsewhere; tests/charts/test_pages.py renders what is installed",
    "docs/operations/drills.md": "brokers and clusters, elsewhere; test_drills.py does those of Redis",
    "docs/operations/index.md": "a deployment's settings",
    "docs/operations/providers.md": "brokers, elsewhere",
    "docs/operations/sizing.md": "a deployment, elsewhere",
    "docs/operations/container.md": "a container engine, elsewhere; tests/test_image.py does what the image does",
    "examples/provider-mqtt/README.md": "a broker with TLS and a password, elsewhere",
    "providers/kafka/README.md": "a cluster of brokers, elsewhere",
    "providers/nats/README.md": "likewise",
}

#: Blocks of these languages are run, or taken apart: by whom.
RUN = {
    "python": "test_docs_snippets.py: a page is one program",
    "sh": "PLAYED, or CHECKED",
    "transcript": "test_docs_snippets.py: against the stock service",
    "json": "test_blocks.py",
    "toml": "test_blocks.py",
    "ts": "test_typescript.py: by the compiler, a page's blocks one after the other",
    "nginx": "test_proxies.py: by the program itself, and sockets go through",
    "haproxy": "likewise",
    "caddy": "likewise",
    "yaml": "test_proxies.py: read; tests/charts/test_pages.py: values of the chart",
    "dockerfile": "tests/test_image.py",
    "js": "the test that plays the page, in a browser",
}

#: Blocks of these languages can't be run.
NOT_RUN = {
    "text": "drawings, and what programs print",
    "conf": "lines of another program's configuration",
}
