"""Wherever in its life a connection ends, and however, nothing of it is left: no task, no timer, no open file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from websockets.frames import Opcode

from protocol.serving import Client, Left, Serving, frame, serving, until
from protocol.test_asgi import Receive, Send
from wigwag import Limits, SocketContext, Sockets

pytestmark = pytest.mark.anyio


class Life:
    """An application, of ours or plain ASGI, that stands still where a test wants it to."""

    is_plain = False

    def __init__(self) -> None:
        self.begin("")
        self.sockets: Sockets[Any, Any] = Sockets(
            upgrade=self.upgrade,
            connection_guards=[self.guard],
            open=self.open,
            message=self.message,
            close=self.close,
            limits=Limits(close_timeout_s=0.1, upgrade_timeout_s=5),
        )
        self.app = Starlette(routes=[self.sockets.route("/")], lifespan=self.sockets.lifespan)

    def begin(self, at: str) -> None:
        """Stand still there, the next time that it is reached."""
        self.at = at
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def pass_by(self, here: str) -> None:
        if self.at == here:
            self.reached.set()
            await self.go_on.wait()

    async def upgrade(self, connection: HTTPConnection) -> str:
        await self.pass_by("upgrade")
        return "user"

    async def guard(self, ctx: SocketContext[str]) -> bool:
        await self.pass_by("guard")
        return True

    async def open(self, ctx: SocketContext[str]) -> None:
        await ctx.subscribe("t")
        await self.pass_by("open")

    async def message(self, ctx: SocketContext[str], message: str | bytes) -> None:
        if message == "close":
            await ctx.close(4000)
        await self.pass_by("message")
        await ctx.send(message)

    async def close(self, ctx: SocketContext[str], code: int, reason: str) -> None:
        await self.pass_by("close")

    async def plain(self, scope: Any, receive: Receive, send: Send) -> None:
        """An ASGI application that does the same."""
        await receive()
        await self.pass_by("upgrade")
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            if event.get("text") == "close":
                await send({"type": "websocket.close", "code": 4000})
            await self.pass_by("message")
            await send({**event, "type": "websocket.send"})


async def at_the_handshake(client: Client, life: Life) -> None:
    client.ask()
    await life.reached.wait()


async def idle(client: Client, life: Life) -> None:
    client.ask()
    assert (await client.answer())[0] == 101


async def in_a_handler(client: Client, life: Life) -> None:
    await idle(client, life)
    await client.say("x")
    await life.reached.wait()


async def in_the_middle_of_a_frame(client: Client, life: Life) -> None:
    await idle(client, life)
    whole = frame(Opcode.TEXT, "half of this")
    await client.send(whole[:9])
    client.rest = whole[9:]


async def in_the_middle_of_a_message(client: Client, life: Life) -> None:
    await idle(client, life)
    await client.send(frame(Opcode.TEXT, "a part", fin=False) + frame(Opcode.PING))
    assert (await client.hear()).opcode is Opcode.PONG


async def not_reading(client: Client, life: Life) -> None:
    await idle(client, life)
    while client.push(frame(Opcode.BINARY, b"x" * 60_000)):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)


async def closed_without_an_answer(client: Client, life: Life) -> None:
    await idle(client, life)
    await client.say("close")
    assert await client.hear_close() == (4000, "")


async def broken(client: Client, life: Life) -> None:
    await idle(client, life)
    await client.send(b"\xff\xff\xff\xff")
    assert (await client.hear_close())[0] == 1002


Point = Callable[[Client, Life], Awaitable[None]]
#: Where the application stands still, and what the client has done.
POINTS: list[tuple[str, Point]] = [
    ("upgrade", at_the_handshake),
    ("guard", at_the_handshake),
    ("open", at_the_handshake),
    ("", idle),
    ("message", in_a_handler),
    ("", in_the_middle_of_a_frame),
    ("", in_the_middle_of_a_message),
    ("", not_reading),
    ("", closed_without_an_answer),
    ("", broken),
    ("close", idle),
]


async def reset(client: Client, server: Serving) -> None:
    client.vanish()


async def end_of_stream(client: Client, server: Serving) -> None:
    client.end()


async def close_frame(client: Client, server: Serving) -> None:
    client.push(client.rest + frame(Opcode.CLOSE, b"\x03\xe8"))


async def cancelled(client: Client, server: Serving) -> None:
    """All that the server runs for its connections is cancelled, as it does when its time is over."""
    for task in list(server.server.server_state.tasks):
        task.cancel()
    client.vanish()


@pytest.fixture(params=["sockets", "asgi"])
def life(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr("wigwag.uvicorn.protocol.CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr("wigwag.uvicorn.protocol.WebSocketProtocol.close.__defaults__", (0.1,))
    life = Life()
    life.is_plain = request.param == "asgi"
    return life


def serve(life: Life, ping_s: float | None = None) -> AbstractAsyncContextManager[Serving]:
    return serving(
        life.plain if life.is_plain else life.app,
        interface="asgi3",
        lifespan="off" if life.is_plain else "on",
        timeout_graceful_shutdown=1,
        ws_ping_interval=ping_s,
        ws_ping_timeout=ping_s,
    )


def points(life: Life) -> list[tuple[str, Point]]:
    return [(at, point) for at, point in POINTS if not life.is_plain or at in ("", "upgrade", "message")]


async def live(server: Serving, life: Life, at: str, point: Point, end: Any) -> None:
    """One connection, until nothing of it is left in the server."""
    life.begin(at)
    client = await server.connect()
    await asyncio.wait_for(point(client, life), 10)
    hub, state = server.hub, server.server.server_state
    assert hub is not None
    await end(client, server)
    if at == "close":
        await asyncio.wait_for(life.reached.wait(), 10)
    life.go_on.set()
    where = f"the end of a connection {point.__name__} {at}"
    await until(lambda: not state.connections and not state.tasks, where)
    await until(lambda: not life.sockets._app.sessions, f"{where}: its session")
    assert (hub._wheel.is_empty, hub._tick) == (True, None), where
    client.vanish()


@pytest.mark.parametrize("end", [reset, end_of_stream, close_frame, cancelled])
async def test_however_a_connection_ends_nothing_of_it_is_left(life: Life, end: Any) -> None:
    left = Left.now()
    async with serve(life) as server:
        for at, point in points(life):
            if point is not not_reading:
                await live(server, life, at, point, end)
    del server
    await until(left.nothing, left)


@pytest.mark.parametrize("end", [reset, end_of_stream, close_frame, cancelled])
async def test_who_neither_reads_nor_is_read_is_found_by_time(life: Life, end: Any) -> None:
    left = Left.now()
    async with serve(life, ping_s=0.2) as server:
        await live(server, life, "", not_reading, end)
    del server
    await until(left.nothing, left)


async def test_wherever_a_connection_is_when_the_server_stops_nothing_is_left(life: Life) -> None:
    for at, point in points(life):
        left = Left.now()
        life.begin(at)
        async with serve(life) as server:
            client = await server.connect()
            await asyncio.wait_for(point(client, life), 10)
            life.go_on.set()
            await server.stop()
        del client, server
        await until(left.nothing, left)


async def test_a_server_whose_time_is_over_runs_the_close_handlers_and_waits_for_nobody() -> None:
    closed: list[int] = []
    began = asyncio.Event()

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        began.set()
        await asyncio.Event().wait()

    sockets = Sockets(
        message=message,
        close=lambda ctx, code, reason: closed.append(code),
        limits=Limits(close_timeout_s=30),
    )
    app = Starlette(routes=[sockets.route("/")], lifespan=sockets.lifespan)
    async with serving(app, lifespan="on", timeout_graceful_shutdown=1) as server:
        client = await server.open()
        await client.say("x")
        await began.wait()
        stopping = asyncio.create_task(server.stop())
        assert (await client.hear_close())[0] == 1012
        await client.close(1012)
        await stopping  # within the limit of the tests, which is less than a handler may take to end
        assert closed == [1012]
        assert not sockets._app.sessions


async def test_what_a_client_sent_before_it_read_of_the_end_is_handled() -> None:
    heard: list[str | bytes] = []
    sockets = Sockets(message=lambda ctx, message: heard.append(message))
    async with sockets, serving(Starlette(routes=[sockets.route("/")])) as server:
        client = await server.open()
        stopping = asyncio.create_task(server.stop())
        assert (await client.hear_close())[0] == 1012
        await client.say("on its way", "and this")
        await client.close(1012)
        await stopping
    assert heard == ["on its way", "and this"]


async def test_work_that_is_cancelled_before_its_first_step_is_wound_up() -> None:
    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await asyncio.sleep(0)

    sockets = Sockets(message=message)
    app = Starlette(routes=[sockets.route("/")])
    async with sockets, serving(app) as server:
        await server.open()
        state = server.server.server_state
        await until(lambda: not state.tasks, "the handshake's own")
        (protocol,) = server.connections
        protocol.data_received(frame(Opcode.TEXT, "x"))
        for task in list(state.tasks):
            task.cancel()
        (session,) = sockets._app.sessions
        await until(lambda: not session._working, "the message")
        protocol.connection_lost(None)
        for task in list(state.tasks):
            task.cancel()
        await until(lambda: not sockets._app.sessions, "the session")
