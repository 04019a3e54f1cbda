"""What npm pack makes: its files, its one minified file, and the types that its README shows."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from client_typescript.places import CLIENT, node_command
from documents import blocks
from e2e.process import ROOT

pytestmark = pytest.mark.needs("node")

#: What the README's examples take for granted.
PRELUDE = """
declare function show(what: unknown): void;
declare function freshToken(): Promise<string>;
"""
#: What the README imports from ./messages.
MESSAGES = (CLIENT / "test/messages.ts").read_text().replace("../src/index.js", "wigwag-client")


@pytest.fixture
def package(project: Path) -> Path:
    return project / "node_modules/wigwag-client"


def test_it_holds_what_is_needed_and_no_more(package: Path) -> None:
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {"package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts"} <= files
    others = {file for file in files if not file.startswith(("dist/", "src/"))}
    assert others == {"package.json", "README.md", "LICENSE"}
    assert "dependencies" not in json.loads((package / "package.json").read_text())
    maps = list((package / "dist").glob("*.map"))
    for path in maps:  # a debugger finds the sources
        for source in json.loads(path.read_text())["sources"]:
            assert (path.parent / source).is_file(), path


def test_the_minified_file_is_one_module_without_eval_under_5_kb(minified: Path) -> None:
    text = minified.read_text()
    assert len(gzip.compress(text.encode(), mtime=0)) < 5000
    assert not re.search(r"\b(eval|Function|import)\b *\(|\bimport\b *[{*\"']", text)


def test_a_node_without_websocket_is_told_what_to_do(project: Path) -> None:
    script = "delete globalThis.WebSocket; const { SocketClient } = await import('wigwag-client');"
    script += "new SocketClient('ws://127.0.0.1/ws').connect()"
    ended = subprocess.run(
        (*node_command(), "--input-type=module", "-e", script),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "ClientError: no WebSocket here: npm install ws, then" in ended.stderr


def test_what_its_readme_shows_has_the_types_that_it_says(project: Path) -> None:
    page = CLIENT / "README.md"
    shown = blocks(page, "ts")
    assert len(shown) >= 4
    (project / "messages.ts").write_text(MESSAGES)
    for number, block in enumerate(shown):
        begun = "" if "new SocketClient" in block.text else 'const client = new SocketClient("/ws");\n'
        needed = [name for name in ("Connected", "SocketClient") if name in begun + block.text]
        imports = (
            ""
            if '"wigwag-client"' in block.text
            else f'import {{ {", ".join(needed)} }} from "wigwag-client";\n'
        )
        (project / f"readme{number}.ts").write_text(imports + PRELUDE + begun + block.text)
    (project / "ws.d.ts").write_text(
        'declare module "ws" { const made: import("wigwag-client").WebSocketConstructor; export default made }'
    )
    config = {
        "compilerOptions": {
            "strict": True,
            "noEmit": True,
            "target": "es2022",
            "lib": ["es2022", "dom"],
            "module": "esnext",
            "moduleResolution": "bundler",
            "types": [],
        },
        "include": ["*.ts"],
    }
    (project / "tsconfig.json").write_text(json.dumps(config))
    tsc = ROOT / "clients/typescript/node_modules/typescript/bin/tsc"
    checked = subprocess.run(
        ("node", tsc, "-p", "."), cwd=project, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout
