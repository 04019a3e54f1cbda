"""The client in Chromium, in Node with its own WebSocket and with that of ws, and in Bun, against `wigwag serve`."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from client_typescript.places import Places, start
from client_typescript.runtimes import Runtime
from e2e.browsing import post
from e2e.process import Service
from servers.proxy import TcpProxy

pytestmark = [pytest.mark.anyio, pytest.mark.needs("node")]

PLACES = [
    pytest.param("chromium", marks=pytest.mark.needs("chromium")),
    "node",
    "node-ws",
    pytest.param("bun", marks=pytest.mark.needs("bun")),
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Client:
    """A client in a runtime, connected to a server by some way."""

    def __init__(self, runtime: Runtime, address: str) -> None:
        self._runtime = runtime
        self._address = address

    async def begin(self, query: str = "?user=u", **options: Any) -> None:
        """Make a client."""
        url = f"ws://{self._address}/ws{query}"
        await self.run(f"begin({json.dumps(url)}, {json.dumps(options)})")

    async def run(self, js: str) -> Any:
        return await self._runtime.run(js)

    async def until(self, holds: str) -> None:
        await self.run(f"await until(() => {holds})")

    async def log(self) -> list[Any]:
        log: list[Any] = await self.run("return log")
        return log


class Connecting:
    """Opens clients, in the place that the test is run for."""

    def __init__(self, places: Places, place: str, stack: AsyncExitStack) -> None:
        self._places = places
        self._place = place
        self._stack = stack

    async def __call__(self, address: str) -> Client:
        """Return a client of the server at HOST:PORT, whose page comes from there as well."""
        if self._place == "chromium":
            return Client(await self._places.tab(f"http://{address}/", self._stack), address)
        return Client(await self._places.agent(self._place), address)


@pytest.fixture
async def connecting(places: Places, place: str) -> AsyncGenerator[Connecting]:
    async with AsyncExitStack() as stack:
        yield Connecting(places, place, stack)


async def test_it_joins_asks_and_hears(server: Service, connecting: Connecting) -> None:
    client = await connecting(server.public)
    await client.begin()
    await client.run("await client.connect(); await client.joinRoom('a')")
    await client.run("client.send('say', { room: 'a', text: 'hi' }); await until(() => log.includes('hi'))")
    anything = [1, {"ü": None}, "☃"]
    assert (
        await client.run(f"return client.request('echo', {{ anything: {json.dumps(anything)} }})") == anything
    )
    assert await client.run(
        "return client.request('refuse', {}).catch(({ name, error, details }) => ({ name, error, details }))"
    ) == {
        "name": "RequestFailed",
        "error": "Room is full",
        "details": [{"path": "$.room", "message": "12 of 12"}],
    }
    assert await client.run("return client.joinRoom('forbidden').catch(({ error }) => error)") == "Forbidden"
    await client.run(
        "client.send('nope'); await until(() => errors.some((e) => e.message.startsWith('nope')))"
    )


async def test_it_hears_what_was_published_as_it_is(server: Service, connecting: Connecting) -> None:
    client = await connecting(server.public)
    await client.begin()
    await client.run(
        """client.on(wigwag.Raw, (data) =>
            log.push(typeof data === "string" ? data : [...new Uint8Array(data)]));
        await client.connect(); await client.joinRoom("raw")"""
    )
    messages = [{"topic": "raw", "text": "plain"}, {"topic": "raw", "base64": "AAEC"}]
    await anyio.to_thread.run_sync(post, f"{server.api}/publish", {"messages": messages})
    await client.until("log.length === 4")
    assert (await client.log())[2:] == ["plain", [0, 1, 2]]


async def test_a_server_that_was_killed_comes_back(server: Service, connecting: Connecting) -> None:
    client = await connecting(server.public)
    await client.begin()
    await client.run(
        "await client.connect(); await Promise.all([client.joinRoom('a'), client.joinRoom('b')])"
    )
    assert await client.run("return client.request('joins')") == {"a": 1, "b": 1}
    await client.run("globalThis.lost = client.request('hang').catch(({ name, code }) => [name, code])")
    await anyio.to_thread.run_sync(server.kill)
    await client.until("client.connectionState === 'reconnecting' && attempts.length > 2")
    assert await client.run("return lost") == ["ConnectionClosed", 1006]
    await client.run("client.send('say', { room: 'a', text: 'meanwhile' })")
    await client.run("globalThis.waiting = client.request('joins', undefined, { timeout: 20_000 })")
    await start(server)
    await client.until("client.isConnected && log.includes('meanwhile')")
    # Its rooms were joined once, and before what waited was sent.
    assert await client.run("return waiting") == {"a": 1, "b": 1}
    log = [entry for entry in await client.log() if entry != "meanwhile"]
    lost = {"code": 1006, "reason": "", "willReconnect": True}
    assert log == ["connecting", "connected", "reconnecting", lost, "connected"]


async def test_a_server_that_goes_away_says_so(server: Service, connecting: Connecting) -> None:
    client = await connecting(server.public)
    await client.begin()
    await client.run("await client.connect(); await client.joinRoom('a')")
    await anyio.to_thread.run_sync(server.stop, signal.SIGTERM)
    await client.until("log.some((entry) => entry.code === 1012 && entry.willReconnect)")
    await start(server)
    await client.until("client.isConnected")
    assert await client.run("return client.request('joins')") == {"a": 1}


async def test_a_network_that_is_cut_comes_back(server: Service, connecting: Connecting) -> None:
    async with TcpProxy(int(server.public.rpartition(":")[2])) as proxy:
        client = await connecting(f"127.0.0.1:{proxy.port}")
        await client.begin()
        await client.run("await client.connect(); await client.joinRoom('a')")
        proxy.cut(refuse=True)
        await client.until("client.connectionState === 'reconnecting' && attempts.length > 2")
        proxy.refuse = False
        await client.until("client.isConnected")
        assert await client.run("return client.request('joins')") == {"a": 1}


async def test_a_network_that_swallows_is_found_out(server: Service, connecting: Connecting) -> None:
    async with TcpProxy(int(server.public.rpartition(":")[2])) as proxy:
        client = await connecting(f"127.0.0.1:{proxy.port}")
        await client.begin(heartbeatTimeout=300, connectionTimeout=500)
        await client.run("await client.connect(); await client.joinRoom('a')")
        proxy.drop("down")
        await client.until("errors.some((error) => error.message === 'the server was silent for 300 ms')")
        await client.until("errors.some((error) => error.message === 'no connection within 500 ms')")
        proxy.resume()
        proxy.cut()  # what was swallowed of a handshake stays lost
        await client.until("client.isConnected")
        assert await client.run("return client.request('joins')") == {"a": 1}


async def test_close_codes_decide(server: Service, connecting: Connecting) -> None:
    client = await connecting(server.public)
    await client.begin()
    await client.run("await client.connect()")
    for number, code in enumerate((1011, 1012, 1013, 4000), start=2):
        await client.run(f"client.send('close', {{ code: {code} }})")
        await client.until(f"client.isConnected && attempts.length === {number}")
        ended = {"code": code, "reason": "as you wish", "willReconnect": True}
        assert (await client.log())[-2:] == [ended, "connected"]
    for code, state in ((1000, "failed"), (1008, "refused")):
        await client.run(f"await client.connect(); client.send('close', {{ code: {code} }})")
        await client.until(f"client.connectionState === '{state}'")
        made = await client.run("return attempts.length")
        # Longer than the longest pause.
        await client.run("await new Promise((resolve) => setTimeout(resolve, 500))")
        assert await client.run("return attempts.length") == made
        assert (await client.log())[-1] == {"code": code, "reason": "as you wish", "willReconnect": False}


async def test_who_is_refused_at_the_door_comes_again_with_a_better_token(
    server: Service, connecting: Connecting
) -> None:
    client = await connecting(server.public)
    await client.begin(query="")
    refused = await client.run("return client.connect().catch(({ name, code }) => ({ name, code }))")
    assert refused == {"name": "ConnectionRefused", "code": 1008}
    assert await client.log() == ["connecting", "refused"]
    assert await client.run("return attempts.length") == 1
    url = json.dumps(f"ws://{server.public}/ws")
    await client.run(f"let n = 0; begin(async () => {url} + (n++ ? '?user=u' : ''))")
    await client.run("await client.connect().catch(() => client.connect())")
    assert await client.log() == ["connecting", "refused", "connecting", "connected"]


async def test_connect_and_disconnect_in_any_order_end_as_they_say(
    server: Service, connecting: Connecting
) -> None:
    client = await connecting(server.public)
    await client.begin()
    await client.run(
        "for (let i = 0; i < 20; i++) { client.connect(); client.disconnect(); client.connect() }"
    )
    await client.until("client.isConnected")
    assert await client.run("return client.request('echo', { anything: 1 })") == 1
    await client.run("client.disconnect()")
    assert await client.run("return client.connectionState") == "disconnected"
