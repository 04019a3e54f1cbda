"""docs/migrating/channels.md: both columns do the same, and what a view says reaches the clients of both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from websockets.exceptions import InvalidStatus

from documentation.beside import Script, modules
from documents import ROOT
from e2e.servers import Server, serving
from e2e.wire import Client, connecting
from servers.redis import RedisServer

PAGE = ROOT / "docs/migrating/channels.md"
TITLES = {"before": "Channels", "after": "wigwag", "both": "both.py"}


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """Once: Django's settings can't be configured twice."""
    with modules(PAGE, tmp_path_factory.mktemp("columns"), **TITLES) as found:
        yield dict(zip(TITLES, found, strict=True))


class WithLifespan:
    """Channels knows no lifespan, which our server in tests waits for."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        for what in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{what}"
            await send({"type": f"lifespan.{what}.complete"})


@pytest.fixture
def before(columns: dict[str, ModuleType]) -> Iterator[Server]:
    with serving("uvicorn-sansio", WithLifespan(columns["before"].app)) as server:
        yield server


@pytest.fixture
def after(
    columns: dict[str, ModuleType], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("WIGWAG_PROVIDER", "redis")
    monkeypatch.setenv("WIGWAG_REDIS_URL", redis_server.url)
    with serving("uvicorn-wigwag", columns["after"].app) as server:
        yield server
        columns["after"].emitter().close()
        columns["after"].emitter.cache_clear()


def hear(client: Client) -> dict[str, Any]:
    """The next message; who connects before the link to Redis is there is told by wigwag.resync when it is."""
    while True:
        said: dict[str, Any] = client.hear()
        if said.get("name") != "wigwag.resync":
            return said


def event(client: Client) -> tuple[str, Any]:
    """The next event, in either form."""
    said = hear(client)
    if "name" in said:
        return said["name"], said["data"]
    return said.pop("type"), said


def joined(client: Client) -> Client:
    """Join the room, by the message that either understands."""
    client.send(json.dumps({"type": "join", "room": "x"}))
    reply = hear(client)
    assert reply in ({"type": "joined", "room": "x"}, {"type": "join", "data": {"room": "x"}})
    return client


def scenario(url: str, announce: Callable[[], int]) -> None:
    """``announce`` calls the view, and says what status it answers with."""
    with connecting(f"{url}?token=t-ann") as ann:
        joined(ann)
        with connecting(f"{url}?token=t-bob") as bob:
            joined(bob).send(json.dumps({"type": "say", "room": "x", "text": "hi"}))
            assert event(ann) == ("said", {"user": "bob", "text": "hi"})
            ann.send(json.dumps({"type": "say", "room": "x", "text": "hello"}))
            assert event(bob) == ("said", {"user": "ann", "text": "hello"})  # and not what he has said
        assert event(ann) == ("left", {"user": "bob"})
        assert announce() == 200
        assert event(ann) == ("said", {"user": "server", "text": "closing at six"})


def test_the_left_column(before: Server) -> None:
    scenario(f"{before.ws}/ws", lambda: httpx.get(f"{before.http}/announce").status_code)
    with pytest.raises(InvalidStatus, match="403"), connecting(f"{before.ws}/ws?token=none"):
        pass


@pytest.mark.needs("redis-server")
def test_the_right_column(columns: dict[str, ModuleType], after: Server) -> None:
    scenario(f"{after.ws}/ws", lambda: columns["after"].announce(None).status_code)
    with connecting(f"{after.ws}/ws?token=none") as stranger:
        assert stranger.closed()[0] == 1008


async def script_says(script: Script, server: Server) -> list[str]:
    async with script.running(server.ws) as read:
        said = [await read()]
        with connecting(f"{server.ws}/ws?token=t-bob") as bob:
            bob.send(json.dumps({"type": "say", "room": "x", "text": "hi"}))
            return [*said, await read()]


@pytest.mark.needs("node")
def test_the_script_of_the_left_page(before: Server, tmp_path: Path) -> None:
    script = Script(PAGE, "Channels, page", tmp_path)
    assert asyncio.run(script_says(script, before)) == ["joined x", "bob: hi"]


@pytest.mark.needs("node", "redis-server")
def test_the_script_of_the_right_page(after: Server, tmp_path: Path) -> None:
    script = Script(PAGE, "wigwag, page", tmp_path)
    assert asyncio.run(script_says(script, after)) == ["joined x", "bob: hi"]


@pytest.mark.needs("redis-server")
def test_both_at_once(columns: dict[str, ModuleType], before: Server, after: Server) -> None:
    with connecting(f"{before.ws}/ws?token=t-ann") as old, connecting(f"{after.ws}/ws?token=t-bob") as new:
        joined(old)
        joined(new)
        before.run(sync_to_async(columns["both"].announce), None)  # a view of the left column's process
        for client in (old, new):
            assert event(client) == ("said", {"user": "server", "text": "closing at six"})
