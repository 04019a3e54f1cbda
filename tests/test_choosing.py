"""A provider is chosen by the environment, at startup: only it is imported, and what is wrong with it is one line."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Generator

import pytest

from serving import environment

CLIENTS = {"redis": "redis", "nats": "nats", "kafka": "aiokafka"}
#: For each provider the setting that says where its broker is.
WHERE = {
    "redis": ("WIGWAG_REDIS_URL", "redis://127.0.0.1:{port}"),
    "nats": ("WIGWAG_NATS_SERVERS", "nats://127.0.0.1:{port}"),
    "kafka": ("WIGWAG_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{port}"),
}

pytestmark = pytest.mark.parametrize("provider", CLIENTS)


def python(source: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", source]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture
def nobody() -> Generator[str]:
    """A port on which nobody listens: it is bound, and does not."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield str(bound.getsockname()[1])


def test_only_the_chosen_one_is_imported(provider: str) -> None:
    done = python(
        "import sys; from wigwag import create_provider; print(create_provider().name); print(*sys.modules)",
        WIGWAG_PROVIDER=provider,
    )
    name, modules = done.stdout.splitlines()
    tops = {module.partition(".")[0] for module in modules.split()}
    assert name == provider
    assert tops & set(CLIENTS.values()) == {CLIENTS[provider]}
    assert {top for top in tops if top.startswith("wigwag_")} == {f"wigwag_{provider}"}


def test_a_missing_client_library_is_one_line_that_says_what_to_install(provider: str) -> None:
    source = f"import sys; sys.modules[{CLIENTS[provider]!r}] = None; from wigwag.cli import main; main()"
    done = python(
        source.replace("main()", "sys.argv = ['wigwag', 'check']; main()"), WIGWAG_PROVIDER=provider
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert CLIENTS[provider] in done.stderr
    assert f"pip install --force-reinstall wigwag-{provider}" in done.stderr


@pytest.mark.parametrize("command", ["check", "serve"])
def test_an_address_that_can_not_be_one_is_one_line(provider: str, command: str) -> None:
    variable, _ = WHERE[provider]
    source = f"import sys; sys.argv = ['wigwag', {command!r}]; from wigwag.cli import main; main()"
    done = python(source, WIGWAG_PROVIDER=provider, **{variable: "what://user:hunter2@host:1:2/"})
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"wigwag: {variable}: it must be ")
    assert "hunter2" not in done.stderr


def test_a_broker_that_is_not_there_is_one_line(provider: str, nobody: str) -> None:
    variable, value = WHERE[provider]
    source = "import sys; sys.argv = ['wigwag', 'check']; from wigwag.cli import main; main()"
    done = python(source, WIGWAG_PROVIDER=provider, **{variable: value.format(port=nobody)})
    assert done.returncode == 1
    assert done.stderr == ""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  error")]
    assert f"127.0.0.1:{nobody}" in line


def test_a_service_whose_broker_is_not_there_starts_and_says_so_once(provider: str, nobody: str) -> None:
    """It may come later: an application must not need its broker to start."""
    variable, value = WHERE[provider]
    source = """
import anyio, logging, sys
from wigwag import create_provider
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(name)s %(message)s")
async def main():
    async with create_provider() as provider:
        await anyio.sleep(3)
anyio.run(main)
"""
    done = python(source, WIGWAG_PROVIDER=provider, **{variable: value.format(port=nobody)})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    assert lines[0].startswith("wigwag.provider there is no broker session: ")
    assert nobody in lines[0]
    assert lines[0].endswith("; trying again")
