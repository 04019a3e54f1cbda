"""One connection: keeping alive, pausing, taking turns, failing."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest
from websockets.frames import Opcode

from protocol.serving import Client, frame, serving, until
from protocol.test_asgi import Echo, Receive, Send
from wigwag import Limits, SocketContext, Sockets
from wigwag.uvicorn import WebSocketProtocol

pytestmark = pytest.mark.anyio


def application(sockets: Sockets[Any, Any]) -> Any:
    """An ASGI application of nothing but these."""
    return sockets.route("/").app


def unpacked(data: bytes) -> bytes:
    """Of a compressed message."""
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


# Keeping alive


async def test_who_answers_pings_lives_and_who_is_silent_is_closed_with_1011() -> None:
    echo = Echo()
    async with serving(echo, ws_ping_interval=0.04, ws_ping_timeout=0.04) as server:
        answering, silent = await server.open(), await server.open()
        for _ in range(5):
            ping = await answering.hear()
            assert ping.opcode is Opcode.PING
            await answering.send(frame(Opcode.PONG, bytes(ping.data)))
        assert await silent.hear_close() == (1011, "keepalive ping timeout")
        await answering.say("still here")
        while (heard := await answering.hear()).opcode is Opcode.PING:
            await answering.send(frame(Opcode.PONG, bytes(heard.data)))
        assert bytes(heard.data) == b"still here"
        await until(lambda: len(echo.events) == 4, "the application to be told")
        assert {
            "type": "websocket.disconnect",
            "code": 1011,
            "reason": "keepalive ping timeout",
        } in echo.events


async def test_without_a_timeout_who_is_silent_is_pinged_on() -> None:
    async with serving(Echo(), ws_ping_interval=0.02, ws_ping_timeout=None) as server:
        client = await server.open()
        assert [(await client.hear()).opcode for _ in range(5)] == [Opcode.PING] * 5


async def test_an_answer_may_take_longer_than_the_time_between_pings() -> None:
    """Who answers is pinged so often all the same, which is what proxies want to see."""
    async with serving(Echo(), ws_ping_interval=0.04, ws_ping_timeout=30) as server:
        client = await server.open()
        for _ in range(5):
            assert (await client.hear()).opcode is Opcode.PING
            await client.send(frame(Opcode.PONG))
        assert (await client.hear()).opcode is Opcode.PING
        silent = asyncio.create_task(client.hear())  # of an unanswered ping it is not pinged again
        await asyncio.wait([silent], timeout=0.3)
        assert not silent.done()
        silent.cancel()


async def test_who_reads_slowly_but_reads_is_not_taken_for_dead() -> None:
    async with serving(Echo(), ws_ping_interval=0.05, ws_ping_timeout=0.05, ws_max_size=1 << 26) as server:
        client = await server.open()
        sending = asyncio.create_task(client.say(b"x" * (16 << 20)))
        taken = 10
        await client.take(10)
        while taken < 10 + (16 << 20):  # with pauses, in all far longer than a ping may take
            taken += len(await client.take(min(1 << 20, 10 + (16 << 20) - taken)))
            await asyncio.sleep(0.02)
        await sending


async def test_a_trickle_that_the_kernel_sees_alone_is_a_life_sign() -> None:
    echo = Echo()
    async with serving(echo, ws_ping_interval=0.05, ws_ping_timeout=0.4, ws_max_size=1 << 26) as server:
        client = await server.connect(receive_bytes=1 << 16)
        client.ask()
        await client.answer()
        sending = asyncio.create_task(client.say(b"x" * (16 << 20)))
        (protocol,) = server.connections
        await until(lambda: not protocol._is_writable, "more than the kernel takes")
        await sending
        for _ in range(15):  # in all far longer than nothing may move, and less than the transport is told of
            await client.take(100_000)
            await asyncio.sleep(0.1)
        assert echo.events[-1]["type"] == "websocket.receive"


async def test_who_stops_reading_is_dropped_when_nothing_moves() -> None:
    echo = Echo()
    async with serving(echo, ws_ping_interval=0.05, ws_ping_timeout=0.05, ws_max_size=1 << 26) as server:
        client = await server.open()
        await client.say(b"x" * (16 << 20))
        await until(lambda: echo.events[-1]["type"] == "websocket.disconnect", "its end")
        assert echo.events[-1]["reason"] == "nothing was read for too long"


# Pausing


async def test_an_application_that_receives_nothing_is_read_for_no_longer() -> None:
    go_on = asyncio.Event()
    received: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go_on.wait()
        while (event := await receive())["type"] == "websocket.receive":
            received.append(event["text"])

    async with serving(app, ws_max_queue=4) as server:
        client = await server.open()
        data = frame(Opcode.TEXT, "x" * 1000)
        count, rest = 0, b""
        while True:  # until neither the server nor the kernel takes any more
            sent = client.push(rest or data)
            if not sent:
                await asyncio.sleep(0.05)
                if not (sent := client.push(rest or data)):
                    break
            rest = (rest or data)[sent:]
            count += not rest
        assert count * len(data) < 64 << 20
        go_on.set()
        if rest:
            await client.send(rest)
            count += 1
        await until(lambda: len(received) == count, "all of it")


async def test_an_application_that_sends_too_fast_waits() -> None:
    sent = 0

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal sent
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(200):
            await send({"type": "websocket.send", "bytes": b"x" * 1_000_000})
            sent += 1

    async with serving(app) as server:
        client = await server.open()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 100
        for _ in range(200):
            assert len((await client.hear()).data) == 1_000_000
        assert sent == 200


async def test_pings_that_are_not_read_are_answered_once() -> None:
    async with serving(Echo(), ws_max_size=1 << 26) as server:
        client = await server.open()
        await client.say(b"x" * (16 << 20))  # fills what there is on the way back
        for number in range(1000):
            await client.send(frame(Opcode.PING, str(number)))
        await client.say("done")
        pongs = []
        while (heard := await client.hear()).opcode is not Opcode.TEXT:
            if heard.opcode is Opcode.PONG:
                pongs.append(int(bytes(heard.data)))
        assert pongs == sorted(set(pongs))
        assert len(pongs) < 1000


async def test_replies_of_one_read_that_are_not_read_count_against_the_limit() -> None:
    sockets = Sockets(
        message=lambda ctx, message: ctx.send(b"x" * (1 << 20)),
        limits=Limits(send_bytes=1 << 20, slow="close"),
    )
    async with sockets, serving(application(sockets)) as server:
        client = await server.open()
        (session,) = sockets._app.sessions
        (protocol,) = server.connections
        most = 0
        for _ in range(50):
            client.push(frame(Opcode.TEXT, "x") * 60)
            await asyncio.sleep(0.001)
            most = max(most, protocol._transport.get_write_buffer_size())
        assert session.connection.is_backed_up
        assert most < 4 << 20


async def test_a_response_that_still_waits_is_sent_before_the_upgrade() -> None:
    """As where a client asks for a page, and then for a WebSocket on the same connection."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            asked.set()
            await go_on.wait()
            await Echo()(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % (8 << 20))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * (8 << 20)})

    async with serving(app) as server:
        client = await server.connect(receive_bytes=1 << 16)
        client.push(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"\r\n\r\n" not in client._read:
            await client._more()
        await until(lambda: not server.server.server_state.tasks, "all of it to be written")
        client.ask()
        await asked.wait()
        _, _, client._read = client._read.partition(b"\r\n\r\n")
        body = await client.take(300_000)  # so that the kernel has room, and has not said so
        go_on.set()
        await asyncio.sleep(0.05)
        body += await client.take((8 << 20) - len(body))
        assert body == b"x" * (8 << 20)
        assert (await client.answer())[0] == 101
        await client.say("x")
        assert await client.hear_text() == "x"


# Taking turns


async def test_fragments_count_as_messages_do() -> None:
    order: list[str] = []

    def message(ctx: SocketContext, message: str | bytes) -> None:
        order.append(str(message)[:1])

    sockets = Sockets(message=message)
    async with sockets, serving(application(sockets)) as server:
        flooding, other = await server.open(), await server.open()
        turns = 0
        inner = WebSocketProtocol._read

        def counting(self: Any) -> None:
            nonlocal turns
            turns += 1
            inner(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WebSocketProtocol, "_read", counting)
            parts = frame(Opcode.TEXT, "f", fin=False) + frame(0, "f", fin=False) * 6400 + frame(0)
            await flooding.send(parts)
            await other.say("o")
            await until(lambda: len(order) == 2, "both")
        assert turns >= 100


async def test_a_flood_of_one_does_not_hold_up_another() -> None:
    order: list[str] = []

    def message(ctx: SocketContext, message: str | bytes) -> None:
        order.append(str(message)[0])

    sockets = Sockets(message=message)
    async with sockets, serving(application(sockets)) as server:
        flooding, other = await server.open(), await server.open()
        flood = frame(Opcode.TEXT, "f") * 20_000
        await flooding.send(flood[: len(flood) // 2])
        await other.say("o")
        await flooding.send(flood[len(flood) // 2 :])
        await until(lambda: len(order) == 20_001, "all messages")
        behind = len(order) - 1 - order.index("o")
        assert behind > 1000  # one read alone has ten thousand


# Order


@pytest.mark.parametrize("end", ["ctx.close", "violation", "Sockets"])
async def test_what_was_published_before_a_socket_is_closed_goes_out_before(end: str) -> None:
    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await ctx.subscribe("t")
        await ctx.emitter.publish("t", "published")
        if end == "ctx.close":
            await ctx.close(4000)
        elif end == "violation":
            (session,) = sockets._app.sessions
            session.violated("too much")
            session.violated("too much")
        else:
            (session,) = sockets._app.sessions
            session.connection.go_away()  # type: ignore[attr-defined]

    sockets = Sockets(message=message, limits=Limits(violations_per_minute=1))
    async with sockets, serving(application(sockets)) as server:
        client = await server.open()
        await client.say("x")
        assert await client.hear_text() == "published"
        assert (await client.hear_close())[0] in (1008, 1012, 4000)


# Failing


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x01x", 1002),
        (frame(Opcode.TEXT, b"\xff"), 1007),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big"), 1009),
        (frame(Opcode.CLOSE, b"\x03"), 1002),
    ],
    ids=["not masked", "not UTF-8", "too large", "half a code"],
)
async def test_who_breaks_the_protocol_is_told_why_and_read_no_more(sent: bytes, code: int) -> None:
    echo = Echo()
    async with serving(echo) as server:
        client = await server.open()
        await client.say("before")
        # What follows would reset the connection, were it closed at once.
        await client.send(sent + frame(Opcode.TEXT, "after") * 10_000)
        assert await client.hear_text() == "before"
        assert (await client.hear_close())[0] == code
        client.end()
        assert await client.ended() == b""
        texts = [event.get("text") for event in echo.events]
        assert "after" not in texts
        await until(lambda: echo.events[-1].get("code") == code, "the application to be told")


async def test_what_comes_with_a_broken_frame_is_answered_before() -> None:
    sockets = Sockets(message=lambda ctx, message: ctx.send(message))
    async with sockets, serving(application(sockets)) as server:
        client = await server.open()
        await client.send(frame(Opcode.TEXT, "one") + frame(Opcode.TEXT, "two") + b"\xff\xff")
        assert [await client.hear_text() for _ in range(2)] == ["one", "two"]
        assert (await client.hear_close())[0] == 1002
        assert sockets._app.counters.refused == {"protocol error": 1}


async def test_the_limit_of_sockets_holds_before_the_servers() -> None:
    sockets = Sockets(limits=Limits(message_bytes=100))
    async with sockets, serving(application(sockets)) as server:
        client = await server.open()
        await client.send(b"\x82\xfe\x00\x65mask")  # 101 bytes are announced, and none of them sent
        assert await client.hear_close() == (1009, "at most 100 bytes")
        assert sockets._app.counters.refused == {"too big": 1}


async def test_a_defect_of_ours_costs_one_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = Sockets(message=lambda ctx, message: ctx.send(message))
    async with sockets, serving(application(sockets)) as server:
        broken, other = await server.open(), await server.open()
        (session, *_) = sockets._app.sessions
        victim = broken if session.connection.client == broken._socket.getsockname() else other
        monkeypatch.setattr(session, "_may_begin", None)
        monkeypatch.setattr("wigwag.sockets.session.deque", None)
        await victim.say("x")
        assert await victim.hear_close() == (1011, "internal error")
        assert "a WebSocket failed" in caplog.text
        survivor = other if victim is broken else broken
        await survivor.say("y")
        assert await survivor.hear_text() == "y"


# Compression


async def test_compression_is_agreed_on_where_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_COMPRESSION", "true")
    joined = asyncio.Event()

    async def opened(ctx: SocketContext) -> None:
        await ctx.subscribe("t")
        joined.set()

    sockets = Sockets(open=opened, message=lambda ctx, message: ctx.send(message))
    async with sockets, serving(application(sockets)) as server:
        client = await server.open(sec_websocket_extensions="permessage-deflate; client_max_window_bits")
        assert "server_no_context_takeover" in client.headers["sec-websocket-extensions"]
        await joined.wait()
        plain = await server.open(sec_websocket_extensions="x-unknown")
        assert "sec-websocket-extensions" not in plain.headers
        for text, is_compressed in (("short", False), ("long" * 1000, True)):
            await sockets.emitter.publish("t", text)
            heard = await client.hear()
            data = bytes(heard.data)
            assert heard.rsv1 is is_compressed
            assert (unpacked(data) if is_compressed else data) == text.encode()
            assert bytes((await plain.hear()).data) == text.encode()
        packed = zlib.compressobj(wbits=-15)
        data = packed.compress(b"z" * 5000) + packed.flush(zlib.Z_SYNC_FLUSH)
        whole = bytearray(frame(Opcode.TEXT, data[:-4]))
        whole[0] |= 0x40
        await client.send(bytes(whole))
        assert unpacked(bytes((await client.hear()).data)) == b"z" * 5000


async def test_settings_that_can_not_be_read_leave_it_off_and_say_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WIGWAG_COMPRESSION", "perhaps")
    async with serving(Echo()) as server:
        client = await server.open(sec_websocket_extensions="permessage-deflate")
        assert "sec-websocket-extensions" not in client.headers
    assert "WIGWAG_COMPRESSION" in caplog.text


# Stopping


async def test_a_server_that_stops_closes_with_1012(monkeypatch: pytest.MonkeyPatch) -> None:
    started = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/hangs":
            started.set()
            await asyncio.Event().wait()
        await echo(scope, receive, send)

    echo = Echo()
    async with serving(app, timeout_graceful_shutdown=1) as server:
        client: Client = await server.open()
        asking = await server.connect()
        asking.ask("/hangs")
        await started.wait()
        stopping = asyncio.create_task(server.stop())
        assert await client.hear_close() == (1012, "")
        await client.close(1012)
        assert await client.ended() == b""
        assert (await asking.answer())[0] == 503
        await stopping
        assert echo.events[-1] == {"type": "websocket.disconnect", "code": 1012, "reason": ""}


async def test_sockets_that_are_taken_over_are_closed_with_1012_too() -> None:
    closed: list[Any] = []
    sockets = Sockets(close=lambda ctx, code, reason: closed.append((code, reason)))
    async with sockets, serving(application(sockets)) as server:
        client = await server.open()
        stopping = asyncio.create_task(server.stop())
        assert await client.hear_close() == (1012, "going away")
        await client.close(1012)
        await stopping
        assert closed == [(1012, "going away")]
