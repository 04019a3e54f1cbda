"""Plays a page as its reader does: saves its files, types its shell lines, one by one, in a folder of its own.

What listens goes on in the background until the end, or until something else is started on its port. The ports that
pages name (8000, 9000, …) are other, free ones here; installing is seen to be possible, and not done.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from documents import ROOT, Block, all_blocks

BIN = Path(sys.executable).parent
LIMIT_S = 40.0
#: What the title of a block says after the file's name where the block is added to the file.
AT_THE_END = ", at the end"

_SERVERS = re.compile(
    r"(?:\w+=\S* )*(?:\S*/)?(wigwag (serve|listen|hub)|uvicorn |hypercorn |daphne |make run|python manage.py runserver)"
)
_PORT = re.compile(r"(?<![\d.])(8000|8001|9000|6379)(?!\d)")

_STUBS = {
    # An environment of its own would have nothing in it: this one has all.
    "python": f"""
if [[ "$1 $2" == "-m venv" ]]; then mkdir -p "$3/bin" && : >"$3/bin/activate"; exit; fi
if [[ "$1 $2" == "-m pip" ]]; then shift 2; exec pip "$@"; fi
exec {shlex.quote(sys.executable)} "$@" """,
    "pip": f"""
[[ $1 == install ]] || {{ echo "pip $1?" >&2; exit 2; }}
shift
exec {shlex.quote(sys.executable)} - "$@" <<'END'
import re, sys
from importlib.metadata import version
for name in sys.argv[1:]:
    if not name.startswith("-"):
        version(re.sub(r"\\[.*\\]", "", name))  # raises where there is none of that name
END""",
    # These have no variable for the port.
    "wigwag": f"""
if [[ "$*" != *--url* ]]; then
    if [[ $1 == publish ]]; then set -- "$@" --url "http://$WIGWAG_INTERNAL_LISTEN"; fi
    if [[ $1 == listen ]]; then set -- "$@" --url "ws://$WIGWAG_LISTEN/ws"; fi
fi
exec {BIN}/wigwag "$@" """,
    "hypercorn": f"""exec {BIN}/hypercorn --bind "$WIGWAG_LISTEN" "$@" """,
    # What it installs or builds is there.
    "make": f"""if [[ $1 == run ]]; then exec wigwag serve; fi; grep -q "^$1:" {ROOT}/Makefile""",
    "curl": """
exec "$(PATH=${PATH#*:} command -v curl)" --silent --show-error --fail-with-body "$@" """,
}


class Player:
    """A page's files and shell lines, played in order. A context manager; at the end everything must have been played.

    ``files`` are there from the beginning, and the lines ``before`` have been typed. ``ports``
    says which port stands for one that the page names: those that are missing are free ones.
    """

    def __init__(
        self,
        page: Path,
        folder: Path,
        *,
        files: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.page = page
        self.folder = folder / "project"
        self.ports = dict(ports or {})
        self.said: dict[str, str] = {}
        self._stubs = folder / "bin"
        self._left = [b for b in all_blocks(page) if b.language == "sh" or b.file]
        self._servers: list[tuple[str, subprocess.Popen[str]]] = []
        self._cwd = self.folder
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("WIGWAG_")}
        self._environment |= {
            "PATH": f"{self._stubs}:{BIN}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "WIGWAG_LISTEN": f"127.0.0.1:{self.port('8000')}",
            "WIGWAG_INTERNAL_LISTEN": f"127.0.0.1:{self.port('9000')}",
            "UVICORN_PORT": str(self.port("8000")),
        }
        self.folder.mkdir(exist_ok=True)
        self._stubs.mkdir()
        for name, text in _STUBS.items():
            stub = self._stubs / name
            stub.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{text.strip()}\n")
            stub.chmod(0o755)
        for name, text in (files or {}).items():
            self._save(name, text)
        self._before = before

    def port(self, named: str) -> int:
        """The port that stands for the one that the page names."""
        if named not in self.ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[named] = probe.getsockname()[1]
        return self.ports[named]

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port('8000')}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port('8000')}"

    def play(self, until: str | None = None) -> None:
        """Play what has not been played, up to the heading ``until``."""
        while self._left and (until is None or self._left[0].heading != until):
            block = self._left.pop(0)
            if block.file:
                self._save(block.file, block.text)
            else:
                for line in block.text.replace("\\\n", " ").splitlines():
                    self._type(line, block)

    def _save(self, name: str, text: str) -> None:
        path = self._cwd / name.removesuffix(AT_THE_END)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() + "\n\n" if name.endswith(AT_THE_END) else ""
        path.write_text(before + self._with_ports(text))

    def _with_ports(self, text: str) -> str:
        return _PORT.sub(lambda match: str(self.port(match[1])), text)

    def text_of(self, language: str) -> str:
        """The one block of the page in this language that is no file, with the ports as they are here."""
        (block,) = [b for b in all_blocks(self.page) if b.language == language and not b.title]
        return self._with_ports(block.text)

    def enter(self, line: str) -> None:
        """Type a line that the page only speaks of."""
        self._type(line, Block(self.page, 0, "sh", line, ""))

    def _type(self, line: str, block: Block) -> None:
        if not line.strip() or line.startswith("#"):
            return
        typed = self._with_ports(line)
        if _SERVERS.match(line):
            self._start(typed, block)
            return
        state = self._stubs / "state"
        script = f"{typed}\n{{ env -0; }} >{state}; pwd >{state}.cwd\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._cwd,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.said[line] = done.stdout
        assert done.returncode == 0, f"{block.at}: {line}\n{done.stdout}\n{done.stderr}\n{self.log}"
        self._environment = dict(
            entry.split("=", 1) for entry in state.read_text().split("\0") if "=" in entry
        )
        self._cwd = Path(state.with_suffix(".cwd").read_text().strip())

    def _start(self, typed: str, block: Block) -> None:
        port = self._port_of(typed)
        if "wigwag listen" not in typed and port:
            self._stop([server for server in self._servers if self._port_of(server[0]) == port])
        log = (self._stubs / f"log{len(list(self._stubs.glob('log*')))}").open("w+")
        process = subprocess.Popen(
            ["bash", "-c", f"exec {typed}" if not re.match(r"\w+=", typed) else f"env {typed}"],
            cwd=self._cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        log.close()
        self._servers.append((typed, process))
        if "wigwag listen" in typed or not port:
            return
        ports = [port, self.port("9000")] if "wigwag serve" in typed or "make run" in typed else [port]
        limit = time.monotonic() + LIMIT_S
        while not all(map(_listens, ports)):
            assert process.poll() is None, f"{block.at}: {typed} has ended:\n{self.log}"
            assert time.monotonic() < limit, f"{block.at}: {typed} does not listen on {ports}:\n{self.log}"
            time.sleep(0.05)

    def _port_of(self, typed: str) -> int:
        """Where a server listens that is started so; 0 where it is on no port."""
        if "wigwag hub" in typed:
            return 0
        named = re.findall(
            r"(?:--port[ =]|--bind[ =]127\.0\.0\.1:|runserver (?:127\.0\.0\.1:)?|--listen[ =][\d.]+:)(\d+)",
            typed,
        )
        return int(named[-1]) if named else self.port("8000")

    def _stop(self, servers: list[tuple[str, subprocess.Popen[str]]]) -> None:
        for server in servers:
            _, process = server
            if process.poll() is None:
                # Alone, and not its group: a worker that was just started would show where Python was in its start.
                process.send_signal(signal.SIGINT)
        for server in servers:
            _, process = server
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._servers.remove(server)

    @property
    def log(self) -> str:
        """What all that was started in the background has said."""
        return "".join(path.read_text() for path in sorted(self._stubs.glob("log*")))

    def __enter__(self) -> Self:
        for line in self._before:
            self.enter(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = [typed for typed, process in self._servers if process.poll() is not None]
        self._stop(list(self._servers))
        if exc is None:
            assert not ended, f"ended before it was told to: {ended}\n{self.log}"
            assert not self._left, f"not played: {[block.at for block in self._left]}"
            assert "Traceback" not in self.log, self.log


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


__all__ = ["ROOT", "Player"]
