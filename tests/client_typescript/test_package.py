"""What npm pack makes: its files, and its one minified file."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from client_typescript.places import node_command

pytestmark = pytest.mark.needs("node")


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


def test_the_minified_file_is_one_module_without_eval_of_about_5_kb(minified: Path) -> None:
    text = minified.read_text()
    assert len(gzip.compress(text.encode(), mtime=0)) < 5250
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
    assert "ClientError: no WebSocket here: npm install ws" in ended.stderr
