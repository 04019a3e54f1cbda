"""docs/migrating/python-socketio.md: both columns do the same, and both at once while clients are moving."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import httpx
import pytest
import socketio

from documentation.beside import Script, modules
from documents import ROOT
from e2e.servers import serving
from wigwag.client import ConnectionRefused, Event, SocketClient

PAGE = ROOT / "docs/migrating/python-socketio.md"
LIMIT_S = 20.0


class Client(Protocol):
    """What both kinds of client can do."""

    async def ask(self, what: str, data: Any) -> Any: ...
    async def tell(self, what: str, data: Any) -> None: ...
    async def hear(self) -> tuple[str, Any]: ...


class SocketIo:
    def __init__(self, client: socketio.AsyncSimpleClient) -> None:
        self._client = client

    async def ask(self, what: str, data: Any) -> Any:
        return await self._client.call(what, data)

    async def tell(self, what: str, data: Any) -> None:
        await self._client.emit(what, data)

    async def hear(self) -> tuple[str, Any]:
        name, data = await self._client.receive(timeout=LIMIT_S)
        return name, data


class Wigwag:
    def __init__(self, client: SocketClient) -> None:
        self._client = client
        self._events = client.events()

    async def ask(self, what: str, data: Any) -> Any:
        return await self._client.request(what, data)

    async def tell(self, what: str, data: Any) -> None:
        await self._client.send(what, data)

    async def hear(self) -> tuple[str, Any]:
        async with asyncio.timeout(LIMIT_S):
            event = await anext(self._events)
        assert isinstance(event, Event)
        return event.name, event.data


@asynccontextmanager
async def socket_io(url: str, token: str) -> AsyncIterator[Client]:
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(url, auth={"token": token})
        yield SocketIo(client)


@asynccontextmanager
async def wigwag(url: str, token: str) -> AsyncIterator[Client]:
    async with SocketClient(f"{url}/ws?token={token}".replace("http://", "ws://")) as client:
        yield Wigwag(client)


Connect = Callable[[str, str], Any]


@pytest.fixture
def columns(tmp_path: Path) -> Iterator[dict[str, ModuleType]]:
    titles = {
        "before": "python-socketio",
        "after": "wigwag",
        "before_client": "python-socketio, client",
        "after_client": "wigwag, client",
        "both": "both.py",
    }
    with modules(PAGE, tmp_path, **titles) as found:
        yield dict(zip(titles, found, strict=True))


async def scenario(url: str, connect: Connect, talk: Callable[[str], Awaitable[list[Any]]]) -> None:
    async with connect(url, "t-bob") as bob:
        assert await bob.ask("join", {"room": "x"}) == {"joined": "x"}

        talking = asyncio.ensure_future(talk(url))
        while not talking.done():  # until she is there
            await bob.tell("say", {"room": "x", "text": "hi"})
            await asyncio.sleep(0.05)
        assert await talking == ["x", ("said", "hi")]
        assert await bob.hear() == ("left", {"user": "ann"})  # and none of what he has said

        async with connect(url, "t-ann") as ann:
            assert await ann.ask("join", {"room": "x"}) == {"joined": "x"}
            await bob.tell("say", {"room": "x", "text": "hello"})
            assert await ann.hear() == ("said", {"user": "bob", "text": "hello"})
            async with httpx.AsyncClient() as http:
                assert (await http.post(f"{url}/announce")).status_code == 200
            for client in (ann, bob):
                assert await client.hear() == ("said", {"user": "server", "text": "closing at six"})


def test_the_left_column(columns: dict[str, ModuleType]) -> None:
    with serving("uvicorn-sansio", columns["before"].app) as server:
        asyncio.run(scenario(server.http, socket_io, columns["before_client"].talk))

        async def refused() -> None:
            with pytest.raises(socketio.exceptions.ConnectionError):
                async with socket_io(server.http, "none"):
                    pass

        asyncio.run(refused())


def test_the_right_column(columns: dict[str, ModuleType]) -> None:
    async def talk(url: str) -> list[Any]:
        found: list[Any] = await columns["after_client"].talk(url.replace("http://", "ws://"))
        return found

    with serving("uvicorn-wigwag", columns["after"].app) as server:
        asyncio.run(scenario(server.http, wigwag, talk))

        async def refused() -> None:
            with pytest.raises(ConnectionRefused):
                async with wigwag(server.http, "none"):
                    pass

        asyncio.run(refused())


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    ("column", "title"), [("before", "python-socketio, page"), ("after", "wigwag, page")]
)
def test_the_script_of_a_page(
    columns: dict[str, ModuleType], tmp_path: Path, column: str, title: str
) -> None:
    script = Script(PAGE, title, tmp_path)
    connect: Connect = socket_io if column == "before" else wigwag

    async def run(url: str) -> list[str]:
        script_url = url if column == "before" else url.replace("http://", "ws://")
        async with script.running(script_url) as read, connect(url, "t-bob") as bob:
            said = [await read()]
            await bob.tell("say", {"room": "x", "text": "hi"})
            return [*said, await read()]

    with serving("uvicorn-wigwag" if column == "after" else "uvicorn-sansio", columns[column].app) as server:
        assert asyncio.run(run(server.http)) == ["joined x", "bob: hi"]


def test_both_at_once(columns: dict[str, ModuleType]) -> None:
    async def run(url: str) -> None:
        async with socket_io(url, "t-ann") as old, wigwag(url, "t-bob") as new, httpx.AsyncClient() as http:
            for client in (old, new):
                await client.ask("join", {"room": "x"})
            await http.post(f"{url}/rooms/x/announce")
            for client in (old, new):
                assert await client.hear() == ("said", {"user": "server", "text": "closing at six"})

    with serving("uvicorn-wigwag", columns["both"].app) as server:
        asyncio.run(run(server.http))
