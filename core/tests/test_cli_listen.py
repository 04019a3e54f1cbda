"""``wigwag listen`` against applications that have no rooms, or do not want it."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from scripted_server import accept, emit, scripted_server
from wigwag.client import ClientError, SocketClient

listen = importlib.import_module("wigwag.cli.listen")  # in wigwag.cli the command has its name

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Lines(list[str]):
    """What is printed; whoever waits for a text gets it."""

    def __init__(self) -> None:
        self._more = asyncio.Event()

    def echo(self, text: str, err: bool = False) -> None:
        self.append(f"err {text}" if err else text)
        self._more.set()

    async def wait_for(self, text: str) -> None:
        async with asyncio.timeout(10):
            while not any(text in line for line in self):
                self._more.clear()
                await self._more.wait()


async def test_an_application_without_rooms_is_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    monkeypatch.setattr(listen.click, "echo", lines.echo)
    monkeypatch.setattr(listen, "SocketClient", functools.partial(SocketClient, request_timeout_s=0.05))

    async def welcomes(connection: ServerConnection) -> None:
        await emit(connection, "welcome", 1)

    async def is_silent(connection: ServerConnection, message: Any) -> None:
        assert message["type"] == "room.join"

    async with scripted_server() as server:
        server.scripts, server.answer = [welcomes], is_silent
        listening = asyncio.create_task(listen._listen(server.url, ["lobby"]))
        await lines.wait_for("no answer to room.join for lobby")
        await lines.wait_for("listening to")
        await emit(server.last, "later", 2)
        await lines.wait_for("later")
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
    assert "joining lobby" in lines[0]
    received = [json.loads(line) for line in lines if not line.startswith("err ")]
    assert received == [
        {"name": "welcome", "data": 1, "timestamp": 1},
        {"name": "later", "data": 2, "timestamp": 1},
    ]
    assert '"timestamp":1}' in next(line for line in lines if "welcome" in line)
    assert sum("room.join" in line for line in lines) == 1


async def test_who_is_closed_as_it_joins_hears_why_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    monkeypatch.setattr(listen.click, "echo", lines.echo)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def throws_out(connection: ServerConnection, message: Any) -> None:
        await connection.close(1008, "not you")

    async with scripted_server() as server:
        server.answer = throws_out
        with pytest.raises(ClientError, match="not you"):
            await listen._listen(server.url, ["lobby"])
    gc.collect()
    assert complaints == []


async def test_several_rooms_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    monkeypatch.setattr(listen.click, "echo", lines.echo)
    async with scripted_server() as server:
        server.answer = accept
        listening = asyncio.create_task(listen._listen(server.url, ["a", "b"]))
        await lines.wait_for("listening to a, b")
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
    assert server.types(0) == ["room.join", "room.join"]
