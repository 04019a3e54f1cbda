"""``wigwag serve`` as a process, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

WIGWAG = Path(sys.executable).with_name("wigwag")
ANYWHERE = ("--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0")
LIMIT_S = 20.0


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WIGWAG_")}
    return {**kept, **variables}


class Service:
    """A running ``wigwag serve``, with the URLs that it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process = process
        self.said: list[str] = []
        for line in process.stderr:  # ends with the process
            self.said.append(line)
            if line.lstrip().startswith("publish ") or " | publish " in line:
                break
        else:
            pytest.fail(f"it ended with {process.wait(LIMIT_S)}:\n{''.join(self.said)}")
        text = "".join(self.said).replace(" | ", "\n  ")  # one line where lines are JSON
        self.internal = self._url(r"internal +(http://\S+?)/ ", text)
        # An application without a page has only its sockets named.
        where = self._url(r"(?:page|app|sockets) +((?:http|ws)://\S+?)/", text)
        self.public = where.replace("ws", "http", 1) if where.startswith("ws") else where
        self.ws = f"{self.public.replace('http', 'ws', 1)}/ws"

    @staticmethod
    def _url(pattern: str, text: str) -> str:
        found = re.search(pattern, text)
        assert found is not None, text
        return found[1]

    def get(self, url: str) -> tuple[int, dict[str, str], bytes]:
        try:
            with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, dict(exc.headers), exc.read()

    def end(self, sent: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; the exit code, and what it printed and said from then on."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.send_signal(sent)
        # Not communicate(), which misses what was read ahead of the lines that were taken.
        err, out = self.process.stderr.read(), self.process.stdout.read()
        return self.process.wait(LIMIT_S), out, err


@contextlib.contextmanager
def serving(*arguments: str, cwd: Path | str | None = None, **variables: str) -> Generator[Service]:
    process = subprocess.Popen(
        [WIGWAG, "serve", *ANYWHERE, *arguments],
        env=environment(**variables),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Service(process)
        finally:
            process.terminate()  # so that its coverage is written
            try:
                process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def run(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WIGWAG, *arguments],
        env=environment(**variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def ask(client: ClientConnection, type_: str, **data: Any) -> Any:
    """Send a message and return the answer."""
    client.send(json.dumps({"type": type_, "data": data, "correlationId": 1}))
    return json.loads(client.recv(LIMIT_S))
