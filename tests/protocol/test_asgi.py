"""Any ASGI application on the protocol class."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.frames import Opcode

from protocol.serving import Client, frame, serving, until

pytestmark = pytest.mark.anyio

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Echo:
    """Notes what it receives, and sends it back."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.accept: dict[str, Any] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        while True:
            event = await receive()
            self.events.append(event)
            if event["type"] == "websocket.connect":
                await send({"type": "websocket.accept", **self.accept})
            elif event["type"] == "websocket.disconnect":
                return
            else:
                await send({**event, "type": "websocket.send"})


async def test_the_scope_says_who_asks_for_what() -> None:
    echo = Echo()
    async with serving(echo, root_path="/behind") as server:
        client = await server.open("/a%20b?x=%31", sec_websocket_protocol="v1, v2", cookie="a=b")
        (scope,) = echo.scopes
        assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
        assert (scope["path"], scope["raw_path"]) == ("/behind/a b", b"/behind/a%20b")
        assert (scope["root_path"], scope["query_string"]) == ("/behind", b"x=%31")
        assert scope["subprotocols"] == ["v1", "v2"]
        assert (b"cookie", b"a=b") in scope["headers"]
        assert scope["client"] == client._socket.getsockname()
        assert scope["server"] == server.address
        assert "websocket.http.response" in scope["extensions"]


async def test_the_answer_has_the_subprotocol_and_the_headers_of_the_application() -> None:
    echo = Echo()
    echo.accept = {"subprotocol": "v2", "headers": [(b"x-one", b"1")]}
    async with serving(echo, headers=[("x-all", "2")]) as server:
        client = await server.open(sec_websocket_protocol="v1, v2")
        assert client.headers["sec-websocket-protocol"] == "v2"
        assert (client.headers["x-one"], client.headers["x-all"]) == ("1", "2")
        assert "sec-websocket-extensions" not in client.headers


async def test_a_header_that_breaks_its_line_is_an_error_of_the_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    echo = Echo()
    echo.accept = {"headers": [(b"x", b"1\r\nset-cookie: a=b")]}
    async with serving(echo) as server:
        client = await server.connect()
        client.ask()
        assert (await client.answer())[0] == 500
    assert "can't be sent as a header" in caplog.text


async def test_messages_go_there_and_back() -> None:
    echo = Echo()
    async with serving(echo) as server:
        client = await server.open()
        for message in ("", "ü☃", b"", bytes(range(256)), "x" * 70_000):
            await client.say(message)
            heard = await client.hear()
            is_text = isinstance(message, str)
            assert heard.opcode is (Opcode.TEXT if is_text else Opcode.BINARY)
            assert bytes(heard.data) == (message.encode() if isinstance(message, str) else message)
        await client.send(frame(Opcode.TEXT, "a", fin=False) + frame(Opcode.PING, "p"))
        await client.send(frame(Opcode.CONT, "b"))
        assert (await client.hear()).opcode is Opcode.PONG
        assert await client.hear_text() == "ab"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4001, "enough")])
async def test_a_client_that_closes_is_answered_and_the_application_is_told(code: int, reason: str) -> None:
    echo = Echo()
    async with serving(echo) as server:
        client = await server.open()
        await client.say("last")
        await client.close(code, reason)
        assert await client.hear_text() == "last"  # what came before is answered
        assert await client.hear_close() == (code, "")
        assert await client.ended() == b""
        await until(lambda: len(echo.events) == 3, "the application to be told")
        assert echo.events[-1] == {"type": "websocket.disconnect", "code": code, "reason": reason}


async def test_who_vanishes_is_1006_and_a_send_then_raises_oserror() -> None:
    outcome: list[Any] = []
    go_on = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        outcome.append(await receive())
        outcome.append(await receive())  # again, and for ever
        with pytest.raises(ClientDisconnected):  # an OSError, as ASGI wants it
            await send({"type": "websocket.send", "text": "to nobody"})
        go_on.set()

    async with serving(app) as server:
        client = await server.open()
        client.vanish()
        await asyncio.wait_for(go_on.wait(), 10)
    assert outcome == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}] * 2


async def test_the_application_closes_and_the_client_has_the_last_word() -> None:
    received: list[Any] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "bye"})
        await send({"type": "websocket.close", "code": 4000, "reason": "done"})
        received.append(await receive())
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "late"})

    async with serving(app) as server:
        client = await server.open()
        assert await client.hear_text() == "bye"
        assert await client.hear_close() == (4000, "done")
        await client.say("ignored")
        await client.close(4000)
        assert await client.ended() == b""
    assert received == [{"type": "websocket.disconnect", "code": 4000, "reason": "done"}]


async def test_a_client_without_a_last_word_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    monkeypatch.setattr("wigwag.uvicorn.protocol.WebSocketProtocol.close.__defaults__", (0.01,))
    async with serving(app) as server:
        client = await server.open()
        assert await client.hear_close() == (1000, "")  # for an application that simply returns
        assert await client.ended() == b""


async def refused(app: Any) -> tuple[int, dict[str, str], bytes]:
    async with serving(app) as server:
        client: Client = await server.connect()
        client.ask()
        return await client.answer()


async def test_a_close_before_accepting_is_403() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    assert (await refused(app))[0] == 403


async def test_an_http_answer_is_sent_as_it_is_made() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        start = {"type": "websocket.http.response.start", "status": 429, "headers": [(b"retry-after", b"7")]}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"now"})
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.accept"})

    status, headers, body = await refused(app)
    assert (status, headers["retry-after"], body) == (429, "7", b"not now")
    assert headers["connection"] == "close"


@pytest.mark.parametrize("fails", [True, False])
async def test_an_application_that_does_not_answer_the_handshake_is_a_500(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if fails:
            raise LookupError("a secret")

    status, _, body = await refused(app)
    assert status == 500
    assert b"secret" not in body
    assert ("LookupError: a secret" in caplog.text) is fails
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


async def test_an_application_that_fails_later_closes_with_1011() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise LookupError("a secret")

    async with serving(app) as server:
        client = await server.open()
        assert await client.hear_close() == (1011, "")


@pytest.mark.parametrize("kind", ["websocket.send", "http.response.start"])
async def test_what_may_not_be_sent_is_said(kind: str) -> None:
    caught: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            await send({"type": kind, "text": "too early"})
        except RuntimeError as exc:
            caught.append(str(exc))
        await send({"type": "websocket.close"})

    await refused(app)
    assert caught == [f"unexpected ASGI message {kind!r}: the handshake is not answered yet"]


# What an application may do


async def test_a_receive_that_was_cancelled_costs_the_next_one_nothing() -> None:
    received: list[str] = []
    cancelled = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            first = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
        call: Any = scope["extensions"]["wigwag.connection"]
        assert not call._receiving
        cancelled.set()
        while (event := await receive())["type"] == "websocket.receive":
            received.append(event["text"])
        received.append("gone")

    async with serving(app) as server:
        client = await server.open()
        await cancelled.wait()
        await client.say("one", "two")
        await client.close()
        await until(lambda: received == ["one", "two", "gone"], received)


async def test_a_receive_that_is_cancelled_as_it_is_woken_leaves_the_message_to_another() -> None:
    received: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        async def one() -> None:
            received.append((await receive())["text"])

        await receive()
        await send({"type": "websocket.accept"})
        first, second = asyncio.ensure_future(one()), asyncio.ensure_future(one())
        await asyncio.sleep(0)
        call: Any = scope["extensions"]["wigwag.connection"]
        call.received("x")
        first.cancel()  # woken, and has not run
        await second

    async with serving(app) as server:
        await server.open()
        await until(lambda: received == ["x"], received)


async def test_all_that_receive_are_told_of_the_end() -> None:
    ends: list[int] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        async def one() -> None:
            ends.append((await receive())["code"])

        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.gather(one(), one(), one())

    async with serving(app) as server:
        client = await server.open()
        await client.close(4000)
        await until(lambda: ends == [4000] * 3, ends)


async def test_who_sends_early_and_leaves_is_not_waited_for() -> None:
    events: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        while not events or events[-1] != "websocket.disconnect":
            events.append((await receive())["type"])

    async with serving(app) as server:
        client = await server.connect()
        client.ask()
        await until(lambda: events, "the request")
        client.push(b"x")
        await asyncio.sleep(0.01)
        client.vanish()
        await until(lambda: events == ["websocket.connect", "websocket.disconnect"], events)


async def test_what_is_sent_before_the_answer_is_bounded_and_read_when_it_is_given() -> None:
    go_on = asyncio.Event()
    echo = Echo()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        client.ask()
        await until(lambda: server.server.server_state.tasks, "the request")
        whole = frame(Opcode.TEXT, "x" * 1000) * 1000
        sending = asyncio.create_task(client.send(whole))
        (protocol,) = server.connections
        await until(lambda: not protocol._is_reading, "it to stop reading")
        assert len(protocol._parser.unread) < 1 << 19
        go_on.set()
        assert (await client.answer())[0] == 101
        for _ in range(1000):
            assert await client.hear_text() == "x" * 1000
        await sending


async def test_a_message_without_data_is_not_sent_and_one_after_the_end_is_an_error() -> None:
    errors: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send"})
        await send({"type": "websocket.send", "bytes": None, "text": ""})
        await send({"type": "websocket.close"})
        try:
            await send({"type": "websocket.send", "text": "x"})
        except RuntimeError as exc:
            errors.append(str(exc))

    async with serving(app) as server:
        client = await server.open()
        assert await client.hear_text() == ""
        assert await client.hear_close() == (1000, "")
    assert errors == ["unexpected ASGI message 'websocket.send': the WebSocket is closed"]


@pytest.mark.parametrize("status", [101, 99, 1000])
async def test_a_status_that_is_none_is_an_error_of_the_application(status: int) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})

    async with serving(app) as server:
        client = await server.connect()
        client.ask()
        assert (await client.answer())[0] == 500
