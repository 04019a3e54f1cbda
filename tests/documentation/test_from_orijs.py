"""docs/migrating/orijs.md: an OriJS client works against the right column, and a fleet may hold nodes of both.

OriJS is on no registry: the left column and its client run where ``ORIJS`` names a checkout of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from types import ModuleType

import httpx
import pytest

from documentation.beside import modules, program
from documentation.player import Player
from documents import ROOT
from e2e.servers import Server, listener, serving
from e2e.wire import connecting, wait_until
from servers.redis import RedisServer

PAGE = ROOT / "docs/migrating/orijs.md"


@pytest.fixture
def column(tmp_path: Path) -> Iterator[ModuleType]:
    with modules(PAGE, tmp_path, right="wigwag") as (found,):
        yield found


@contextmanager
def in_the_fleet(column: ModuleType, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The right column, as a node beside those of OriJS."""
    monkeypatch.setenv("WIGWAG_PROVIDER", "redis")
    monkeypatch.setenv("WIGWAG_REDIS_URL", redis.url)
    monkeypatch.setenv("WIGWAG_REDIS_ENVELOPE", "json")
    with serving("uvicorn-wigwag", column.app) as server:
        yield server


def test_the_right_column_speaks_as_an_orijs_client_expects(column: ModuleType) -> None:
    with serving("uvicorn-wigwag", column.app) as server:
        with connecting(f"{server.ws}/ws?token=t-ann") as ann:
            ann.send("2")
            assert ann.receive() == "3"
            ann.send('{"room":"room:x","type":"room.join"}')  # flat, as its send() makes it
            ann.send('{"type":"say","data":{"room":"x","text":"hi"},"correlationId":"c"}')
            heard = [ann.hear(), ann.hear()]
            assert {"type": "say", "data": {"said": True}, "correlationId": "c"} in heard
            (event,) = (message for message in heard if message.get("name") == "said")
            assert event["data"] == {"user": "ann", "text": "hi"}
            assert httpx.post(f"{server.http}/announce").status_code == 200
            assert ann.hear()["data"] == {"user": "server", "text": "closing at six"}
            ann.send('{"type":"room.join","room":"secret","correlationId":"d"}')
            assert ann.hear()["error"] == "Forbidden"
        with connecting(f"{server.ws}/ws?token=none") as stranger:
            assert stranger.closed()[0] == 1008


@pytest.mark.needs("redis-server", "curl")
def test_the_lines_for_a_mixed_fleet(tmp_path: Path, redis_server: RedisServer) -> None:
    files = {"app.py": program(PAGE, "wigwag")}
    with Player(PAGE, tmp_path, files=files, ports={"6379": redis_server.port}) as player:
        player.play()


class Bun:
    """A program that Bun runs in the checkout of OriJS."""

    def __init__(self, name: str, source: str, **variables: str) -> None:
        checkout = Path(os.environ["ORIJS"])
        self._path = checkout / f"wigwag-docs-{name}-{os.getpid()}.ts"
        self._path.write_text(source)
        self.lines: Queue[str] = Queue()
        self._process = subprocess.Popen(
            [os.environ.get("BUN", "bun"), str(self._path)],
            cwd=checkout,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.put(line.strip())

    def __enter__(self) -> Queue[str]:
        return self.lines

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._path.unlink()


@pytest.mark.needs("redis-server", "orijs")
def test_both_in_one_fleet_with_the_unchanged_client(
    column: ModuleType, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener() as free:
        port = free.getsockname()[1]
    orijs = f"127.0.0.1:{port}"
    client = program(PAGE, "OriJS, client")
    variables = {"PORT": str(port), "REDIS_PORT": str(redis_server.port)}

    def listens() -> bool:
        try:
            return httpx.get(f"http://{orijs}/").status_code == 404
        except httpx.TransportError:
            return False

    with (
        Bun("server", program(PAGE, "OriJS"), **variables),
        in_the_fleet(column, redis_server, monkeypatch) as ours,
    ):
        wait_until(listens, "OriJS listens")
        with (
            Bun("client-a", client, SERVER=f"ws://{orijs}") as at_orijs,
            Bun("client-b", client, SERVER=ours.ws) as at_ours,
            connecting(f"{ours.ws}/ws?token=t-bob") as bob,
        ):
            for lines in (at_orijs, at_ours):
                assert lines.get(timeout=20) == "connected"
            bob.send(json.dumps({"type": "room.join", "room": "room:x", "correlationId": 1}))
            while bob.hear().get("type") != "room.join":
                pass
            wait_until(
                lambda: column.sockets.provider.topic_subscriber_count("room:x") == 2, "both have joined"
            )
            for where in (f"http://{orijs}", ours.http):
                assert httpx.post(f"{where}/announce").status_code == 200
                for lines in (at_orijs, at_ours):
                    assert lines.get(timeout=20) == "server: closing at six"
