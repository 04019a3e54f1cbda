"""``wigwag typegen`` and ``wigwag asyncapi``: files, checks, errors."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import Wigwag

MAIN = """
from wigwag import SocketContext, SocketMessage, SocketRouter, Sockets
class Said(SocketMessage, name="said"):
    text: str
router = SocketRouter()
@router.on("say")
async def say(ctx: SocketContext, data: str) -> None: ...
sockets = Sockets(routers=[router])
"""


@pytest.fixture
def wigwag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Wigwag]:
    """The command, where an application is."""
    (tmp_path / "main.py").write_text(MAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Wigwag(monkeypatch, capsys)
    sys.modules.pop("main", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "messages.ts"


def test_it_writes_to_standard_output(wigwag: Wigwag) -> None:
    ended = wigwag("typegen", "main:sockets")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(
        "// Made by `wigwag typegen main:sockets`: change the Python, and run it again.\n"
    )
    assert ended.out.endswith(";\n")
    assert wigwag("typegen", "main:sockets", "-o", "-").out == ended.out


def test_it_writes_a_file_and_says_what_is_in_it(wigwag: Wigwag, file: Path) -> None:
    ended = wigwag("typegen", "main:sockets", "-o", "messages.ts")
    assert (ended.code, ended.out, ended.err) == (0, "messages.ts: 1 event, 1 request\n", "")
    assert file.read_text() == wigwag("typegen", "main:sockets").out
    assert sorted(os.listdir()) == ["main.py", "messages.ts"]  # and nothing half written


def test_a_file_that_is_right_is_not_touched(wigwag: Wigwag, file: Path) -> None:
    wigwag("typegen", "main:sockets", "-o", "messages.ts")
    os.utime(file, (1, 1))
    assert (
        wigwag("typegen", "main:sockets", "-o", "messages.ts").out
        == "messages.ts: 1 event, 1 request, as it was\n"
    )
    assert file.stat().st_mtime == 1


def test_a_file_keeps_its_mode_and_a_link_its_place(wigwag: Wigwag, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.ts"
    target.write_text("old")
    target.chmod(0o640)
    file.symlink_to(target)
    assert wigwag("typegen", "main:sockets", "-o", "messages.ts").code == 0
    assert file.is_symlink()
    assert target.read_text().startswith("// Made by")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_file_that_can_not_be_written(wigwag: Wigwag, tmp_path: Path) -> None:
    ended = wigwag("typegen", "main:sockets", "-o", "no/such/messages.ts")
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.err == f"wigwag: {tmp_path}/no/such/messages.ts can't be written: No such file or directory\n"
    )
    (tmp_path / "binary.ts").write_bytes(b"\xff")
    assert "binary.ts can't be read" in wigwag("typegen", "main:sockets", "-o", "binary.ts").err


# --check


def test_a_file_that_is_up_to_date(wigwag: Wigwag, file: Path) -> None:
    wigwag("typegen", "main:sockets", "-o", "messages.ts")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))  # as git may have it on Windows
    ended = wigwag("typegen", "main:sockets", "-o", "messages.ts", "--check")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_a_file_that_is_not_is_shown_with_the_command_that_writes_it(wigwag: Wigwag, file: Path) -> None:
    wigwag("typegen", "main:sockets", "-o", "messages.ts")
    old = file.read_text().replace("text: string", "text: number")
    file.write_text(old)
    arguments = ["main:sockets", "-o", "messages.ts", "--messages", "main", "--app-dir", "."]
    ended = wigwag("typegen", *arguments, "--check")
    assert ended.code == 1
    assert ended.err == f"wigwag: messages.ts is not up to date: run wigwag typegen {' '.join(arguments)}\n"
    lines = ended.out.splitlines()
    assert lines[:2] == ["--- messages.ts", "+++ messages.ts (new)"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  text: number;", "+  text: string;"]
    assert file.read_text() == old
    assert wigwag("typegen", *arguments).code == wigwag("typegen", *arguments, "--check").code == 0


def test_a_file_that_is_not_there(wigwag: Wigwag) -> None:
    ended = wigwag("typegen", "main:sockets", "-o", "my messages.ts", "--check")
    assert ended.code == 1
    assert ended.err == (
        "wigwag: my messages.ts is not there: run wigwag typegen main:sockets -o 'my messages.ts'\n"
    )
    assert os.listdir() == ["main.py"]


def test_a_last_line_without_an_end_is_seen(wigwag: Wigwag, file: Path) -> None:
    wigwag("typegen", "main:sockets", "-o", "messages.ts")
    file.write_text(file.read_text().rstrip("\n"))
    assert (
        "\\ No newline at end of file"
        in wigwag("typegen", "main:sockets", "-o", "messages.ts", "--check").out
    )


def test_a_check_is_of_a_file(wigwag: Wigwag) -> None:
    ended = wigwag("typegen", "main:sockets", "--check")
    assert ended.code == 2
    assert "--check compares with a file: -o FILE" in ended.err


# What is wrong


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["nowhere:app"], 2, "nowhere:app: there is no module 'nowhere' in"),
        (["main:nothing"], 2, "main:nothing: module 'main' has no attribute 'nothing'"),
        (["main:Said"], 2, "main:Said is the class Said: it must be an ASGI application"),
        (["main:sockets", "--messages", "nowhere"], 2, "nowhere: there is no module 'nowhere' in"),
        (["main:sockets", "--app-dir", "/"], 2, "there is no module 'main' in /"),
        (["empty"], 1, "empty has no messages"),
    ],
)
@pytest.mark.parametrize("command", ["typegen", "asyncapi"])
def test_what_is_wrong_is_one_line(
    wigwag: Wigwag, tmp_path: Path, command: str, arguments: list[str], code: int, error: str
) -> None:
    (tmp_path / "empty.py").write_text("")
    ended = wigwag(command, *arguments)
    sys.modules.pop("empty", None)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("wigwag: ")
    assert error in ended.err
    assert ended.err.count("\n") == 1


def test_a_handler_that_does_not_say_what_it_returns_is_named(wigwag: Wigwag, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN.replace(" -> None", ""))
    ended = wigwag("typegen", "main:sockets")
    assert ended.code == 0
    assert ended.err == (
        "wigwag: main.say does not say what it returns: the reply of 'say' is unknown until its return is annotated\n"
    )
    assert '"say": { data: string; reply: unknown };' in ended.out


# wigwag asyncapi


def test_a_document_in_json(wigwag: Wigwag, tmp_path: Path) -> None:
    ended = wigwag("asyncapi", "main:sockets")
    document = json.loads(ended.out)
    assert document["info"] == {"title": "main:sockets", "version": "0.1.0"}
    arguments = ["main:sockets", "-o", "api.json", "--title", "The chat", "--api-version", "2"]
    assert wigwag("asyncapi", *arguments).out == "api.json: 1 event, 1 request\n"
    assert json.loads((tmp_path / "api.json").read_text())["info"] == {"title": "The chat", "version": "2"}
    (tmp_path / "api.json").unlink()
    ended = wigwag("asyncapi", *arguments, "--check")
    assert ended.err.endswith(
        "run wigwag asyncapi main:sockets -o api.json --title 'The chat' --api-version 2\n"
    )


def test_a_document_in_yaml(wigwag: Wigwag, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    assert wigwag("asyncapi", "main:sockets", "-o", "api.yaml").code == 0
    text = (tmp_path / "api.yaml").read_text()
    assert text.startswith("asyncapi: 3.0.0\ninfo:\n")
    assert yaml.safe_load(text) == json.loads(wigwag("asyncapi", "main:sockets").out)


def test_yaml_without_its_library(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    ended = wigwag("asyncapi", "main:sockets", "-o", "api.yml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "wigwag: YAML needs PyYAML: pip install pyyaml, or let the file's name end in .json\n"
    )
