"""The proxy that tests put before a broker: whether it cuts, stalls, delays and swallows as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from servers.proxy import TcpProxy

pytestmark = pytest.mark.anyio
LIMIT_S = 20.0
MEANWHILE_S = 0.05
T = TypeVar("T")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def soon(awaited: Awaitable[T]) -> T:
    return await asyncio.wait_for(awaited, LIMIT_S)


class Echo:
    """Sends back what comes, until its end; a reset ends it too."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard.set()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def port(echo: Echo) -> AsyncGenerator[int]:
    """Return where bytes come back."""
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def proxy(port: int) -> AsyncGenerator[TcpProxy]:
    async with TcpProxy(port) as proxy:
        yield proxy


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def echoed(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await soon(self.reader.readexactly(len(data)))

    async def is_silent(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(1), MEANWHILE_S)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Client]:
    reader, writer = await soon(asyncio.open_connection("127.0.0.1", port))
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_it_passes_bytes_both_ways_and_the_end_too(proxy: TcpProxy) -> None:
    data = bytes(range(256)) * 8192
    async with connected(proxy.port) as client:
        assert await client.echoed(b"a") == b"a"
        client.writer.write(data)
        client.writer.write_eof()
        assert await soon(client.reader.read(-1)) == data
    assert proxy.accepted == 1


async def test_a_cut_resets_all_and_new_ones_may_come(proxy: TcpProxy) -> None:
    async with connected(proxy.port) as one, connected(proxy.port) as other:
        await one.echoed(b"a")
        await other.echoed(b"a")
        proxy.cut()
        for client in (one, other):
            with pytest.raises(ConnectionResetError):
                await soon(client.reader.read(1))
    async with connected(proxy.port) as client:
        assert await client.echoed(b"b") == b"b"


async def test_a_cut_may_refuse_what_comes(proxy: TcpProxy) -> None:
    proxy.cut(refuse=True)
    with pytest.raises(ConnectionError):
        async with connected(proxy.port) as client:
            await client.echoed(b"a")
    assert proxy.accepted == 0
    proxy.refuse = False
    async with connected(proxy.port) as client:
        assert await client.echoed(b"b") == b"b"


async def test_a_stall_holds_bytes_and_loses_none(proxy: TcpProxy) -> None:
    async with connected(proxy.port) as client:
        await client.echoed(b"a")
        proxy.stall()
        client.writer.write(b"held")
        assert await client.is_silent()
        proxy.resume()
        assert await soon(client.reader.readexactly(4)) == b"held"


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_what_is_dropped_never_comes(proxy: TcpProxy, direction: str) -> None:
    async with connected(proxy.port) as client:
        await client.echoed(b"a")
        proxy.drop("up" if direction == "up" else "down")
        client.writer.write(b"lost")
        assert await client.is_silent()
        proxy.resume()
        assert await client.echoed(b"b") == b"b"


async def test_one_direction_goes_on_while_the_other_is_dropped(proxy: TcpProxy, echo: Echo) -> None:
    async with connected(proxy.port) as client:
        proxy.drop("down")
        client.writer.write(b"a")
        await soon(echo.heard.wait())
        assert await client.is_silent()


async def test_a_delay_is_each_ways(proxy: TcpProxy) -> None:
    proxy.delay_s = 0.1
    async with connected(proxy.port) as client:
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await client.echoed(b"a") == b"a"
        assert clock() - began >= 0.2


async def test_the_target_may_move_and_may_be_absent(port: int) -> None:
    ports = [1, port]
    async with TcpProxy(lambda: ports[0]) as proxy:
        async with connected(proxy.port) as client:
            with pytest.raises(ConnectionResetError):
                await soon(client.reader.read(1))
        ports.pop(0)
        async with connected(proxy.port) as client:
            assert await client.echoed(b"b") == b"b"


async def test_the_target_may_be_a_unix_socket(echo: Echo, tmp_path: Path) -> None:
    path = str(tmp_path / "echo")
    server = await asyncio.start_unix_server(echo.serve, path)
    async with server, TcpProxy(path) as proxy, connected(proxy.port) as client:
        assert await client.echoed(b"a") == b"a"


async def test_it_closes_with_links_that_stall(port: int) -> None:
    proxy = TcpProxy(port)
    await proxy.start()
    async with connected(proxy.port) as client:
        await client.echoed(b"a")
        proxy.stall()
        client.writer.write(b"b" * 1_000_000)
        await soon(proxy.aclose())
        assert proxy.links == 0
        with pytest.raises(ConnectionResetError):
            await soon(client.reader.read(1))
