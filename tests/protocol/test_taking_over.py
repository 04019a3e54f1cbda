"""Between the accepted handshake and the moment at which Sockets takes the WebSocket over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.frames import Opcode

from protocol.serving import serving, until
from wigwag import Limits, SocketContext, Sockets

pytestmark = pytest.mark.anyio


class Endpoint:
    """Accepts, and serves when it is told to."""

    def __init__(self, sockets: Sockets[Any, Any], first: bytes = b"") -> None:
        self.accepted = asyncio.Event()
        self.go_on = asyncio.Event()
        self.app = Starlette(routes=[WebSocketRoute("/", self._endpoint)])
        self._sockets = sockets
        self._first = first

    async def _endpoint(self, websocket: WebSocket) -> None:
        await websocket.accept()
        if self._first:
            await websocket.send_bytes(self._first)
        self.accepted.set()
        await self.go_on.wait()
        await self._sockets.serve(websocket, None)


async def test_what_the_endpoint_sent_goes_ahead_of_what_open_causes() -> None:
    async def opened(ctx: SocketContext) -> None:
        await ctx.subscribe("t")
        await ctx.emitter.publish("t", "published")
        await ctx.unsubscribe("t")

    sockets = Sockets(open=opened)
    endpoint = Endpoint(sockets, first=b"x" * (8 << 20))  # more than the kernel takes
    async with sockets, serving(endpoint.app) as server:
        client = await server.open()
        await endpoint.accepted.wait()
        endpoint.go_on.set()
        await until(lambda: sockets._app.sessions, "the session")
        assert bytes((await client.hear()).data) == b"x" * (8 << 20)
        assert await client.hear_text() == "published"


async def test_a_server_that_stops_meanwhile_lets_nobody_in() -> None:
    calls: list[Any] = []
    sockets = Sockets(open=lambda ctx: calls.append("open"), close=lambda ctx, *how: calls.append(how))
    endpoint = Endpoint(sockets)
    async with sockets, serving(endpoint.app) as server:
        client = await server.open()
        await endpoint.accepted.wait()
        stopping = asyncio.create_task(server.stop())
        assert (await client.hear_close())[0] == 1012
        endpoint.go_on.set()
        await client.close(1012)
        await stopping
        await until(lambda: not sockets._app.sessions, "the session to end")
        assert calls == []
        assert not sockets._app.counters.closed


@pytest.mark.parametrize("message", ["é" * 51, b"x" * 101], ids=["text", "binary"])
async def test_a_message_that_came_before_is_measured_by_the_limit_of_sockets(message: str | bytes) -> None:
    handled: list[str | bytes] = []
    sockets = Sockets(message=lambda ctx, message: handled.append(message), limits=Limits(message_bytes=100))
    endpoint = Endpoint(sockets)
    async with sockets, serving(endpoint.app) as server:
        client = await server.open()
        await endpoint.accepted.wait()
        await client.say("é" * 50, message, "never")
        (protocol,) = server.connections
        await until(lambda: len(protocol._receiver._events) == 3, "the messages")
        endpoint.go_on.set()
        assert await client.hear_close() == (1009, "at most 100 bytes")
        assert handled == ["é" * 50]
        assert sockets._app.counters.refused == {"too big": 1}


async def test_who_left_meanwhile_is_wound_up_and_what_it_said_is_handled() -> None:
    handled: list[Any] = []
    sockets = Sockets(
        message=lambda ctx, message: handled.append(message),
        close=lambda ctx, code, reason: handled.append(code),
    )
    endpoint = Endpoint(sockets)
    async with sockets, serving(endpoint.app) as server:
        client = await server.open()
        await endpoint.accepted.wait()
        await client.say("said")
        await client.close(4000)
        while (await client.hear()).opcode is not Opcode.CLOSE:
            pass
        endpoint.go_on.set()
        await until(lambda: handled and not sockets._app.sessions, "the end")
        assert handled == ["said", 4000]
