"""Connections before they are WebSockets: how long, how large, how many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from protocol.serving import Client, Serving, asking, serving, until
from wigwag import Sockets
from wigwag.uvicorn.http import MAX_WAITING, Gate, limited_http

pytestmark = pytest.mark.anyio

#: Short, for who is slow; a limit that must not be reached is left as it is.
SOON_S = 0.2
HEAD = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


waiting: list[Request] = []


async def wait(request: Request) -> Response:
    waiting.append(request)
    while not await request.is_disconnected():  # noqa: ASYNC110 - Starlette tells no other way
        await asyncio.sleep(0.01)
    waiting.remove(request)
    return PlainTextResponse("nobody hears it")


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[tuple[Serving, Gate]]:
    sockets = Sockets(message=lambda ctx, message: None)
    app = Starlette(
        routes=[
            sockets.route("/"),
            Route("/hello", hello, methods=["GET", "POST"]),
            Route("/length", length, methods=["POST"]),
            Route("/wait", wait),
        ],
        lifespan=sockets.lifespan,
    )
    gate = Gate(**limits)
    async with serving(app, http=limited_http(gate), lifespan="on") as server:
        yield server, gate
        server.close_clients()
        await until(lambda: not server.connections, "every connection has ended")
        assert gate.sockets == 0
        assert not gate._http
        assert not gate._resting
        assert gate.silent == 0


async def answer(client: Client) -> tuple[int, bytes]:
    """Status and body of an answer that says how long it is."""
    while b"\r\n\r\n" not in client._read:
        await client._more()
    head, _, client._read = client._read.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split()[1]), await client.take(size)


# How long


async def test_who_connects_and_says_nothing_is_closed() -> None:
    async with served(head_timeout_s=SOON_S) as (server, gate):
        client = await server.connect()
        assert await client.ended() == b""
        assert gate.refused == {"silent": 1}


async def test_who_says_it_byte_by_byte_is_closed_all_the_same() -> None:
    async with served(head_timeout_s=SOON_S) as (server, gate):
        client = await server.connect()
        await client.send(b"GET / HTTP/1.1\r\nx: ")

        async def drip() -> None:
            while True:
                client.push(b"x")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        status, _, body = await client.answer()
        dripping.cancel()
        assert (status, body) == (408, b"the request took too long\n")
        assert gate.refused == {"slow": 1}


async def test_a_thousand_that_say_nothing_keep_nobody_out() -> None:
    async with served(head_timeout_s=SOON_S) as (server, gate):
        for _ in range(200):
            await server.connect()
        await server.open()
        await until(lambda: gate.refused["silent"] == 200, "all that were silent are closed")
        assert gate.sockets == 1


async def test_a_handshake_and_a_request_in_time_have_no_limit_after_it() -> None:
    async with served(head_timeout_s=SOON_S) as (server, gate):
        client = await server.open()
        await asyncio.sleep(4 * SOON_S + 0.5)
        await client.say("still here")
        await client.close()
        assert (await client.hear_close())[0] == 1000
        assert not gate.refused


async def test_who_has_been_answered_has_as_long_for_the_next_request() -> None:
    async with served(head_timeout_s=SOON_S) as (server, gate):
        client = await server.connect()
        await client.send(HEAD)
        assert await answer(client) == (200, b"hello")
        await client.send(HEAD)
        assert await answer(client) == (200, b"hello")
        await client.send(b"GET /he")  # which keeps uvicorn's own timer from closing it
        status, _, _ = await client.answer()
        assert status == 408
        assert gate.refused == {"slow": 1}


async def test_who_goes_on_with_a_body_that_nobody_asked_for_is_closed() -> None:
    async with served(head_timeout_s=SOON_S) as (server, gate):
        client = await server.connect()
        await client.send(b"POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert await answer(client) == (200, b"hello")

        async def drip() -> None:
            while True:
                client.push(b"x")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await client.ended()
        dripping.cancel()
        assert sum(gate.refused.values()) == 1


# How large


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"x-%d: y\r\n" % number for number in range(200)),
        b"x: " + b"y" * 70_000 + b"\r\n",
        b"".join(b"x-%d: %b\r\n" % (number, b"y" * 1000) for number in range(100)),
    ],
    ids=["many", "long", "many and long"],
)
@pytest.mark.parametrize("is_handshake", [True, False])
async def test_a_head_that_is_too_large_is_refused(headers: bytes, is_handshake: bool) -> None:
    async with served() as (server, gate):
        client = await server.connect()
        request = asking() if is_handshake else HEAD
        await client.send(request[:-2] + headers + b"\r\n")
        status, _, body = await client.answer()
        assert status == 431
        assert body.startswith(b"at most 128 headers")
        assert sum(gate.refused.values()) == 1


@pytest.mark.parametrize("first", [b"GET /", b"GET / HTTP/1.1\r\nx: ", b"GET / HTTP/1.1\r\n"])
async def test_a_head_without_end_is_cut_off(first: bytes) -> None:
    async with served() as (server, gate):
        client = await server.connect()
        await client.send(first)
        sent = 0
        piece = b"x: y\r\n" * 1000 if first.endswith(b"\n") else b"x" * 6000
        while sent < 50_000_000 and not gate.refused:
            sent += client.push(piece)
            await asyncio.sleep(0)
        assert gate.refused == {"head": 1}
        await client.ended()
        assert sent < 20_000_000  # what the kernel had taken


@pytest.mark.parametrize("endless", [b"5;x=", b"0\r\nx: "], ids=["chunk extension", "trailer"])
async def test_what_is_neither_head_nor_body_has_no_end_either(endless: bytes) -> None:
    async with served() as (server, gate):
        client = await server.connect()
        head = b"POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        await client.send(head + endless)
        for _ in range(100_000):
            client.push(b"x" * 6000)
            await asyncio.sleep(0)
            if gate.refused:
                break
        assert sum(gate.refused.values()) == 1
        await client.ended()


async def test_a_body_is_the_applications_to_limit() -> None:
    async with served() as (server, gate):
        client = await server.connect()
        await client.send(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        await client.send(b"x" * 1_000_000)
        assert await answer(client) == (200, b"1000000")
        pieces = b"".join(b"%x\r\n%b\r\n" % (1000, b"x" * 1000) for _ in range(500))
        await client.send(b"POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        await client.send(pieces + b"0\r\n\r\n")
        assert await answer(client) == (200, b"500000")
        assert not gate.refused


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\x00\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_without_a_line_in_the_log(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as (server, gate):
        client = await server.connect()
        caplog.clear()  # of what the server said as it started
        await client.send(garbage)
        status, _, _ = await client.answer()
        assert status == 400
        assert gate.refused == {"malformed": 1}
        assert caplog.text == ""


async def test_two_requests_in_one_packet_are_both_answered() -> None:
    async with served() as (server, gate):
        client = await server.connect()
        await client.send(HEAD * 3)
        assert [await answer(client) for _ in range(3)] == [(200, b"hello")] * 3
        assert not gate.refused


async def test_requests_that_wait_are_few_and_the_others_are_not_answered() -> None:
    async with served() as (server, gate):
        client = await server.connect()
        await client.send(HEAD * 1000)
        answers = (await client.ended()).split(b"HTTP/1.1 200 OK")[1:]
        assert len(answers) == 1 + MAX_WAITING
        assert gate.refused == {"waiting": 1}


async def test_who_leaves_is_missed_by_the_request_that_is_being_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as (server, _):
        client = await server.connect()
        await client.send(HEAD.replace(b"hello", b"wait") * 3)
        await until(lambda: waiting, "the first is being answered")
        caplog.clear()
        client.vanish()
        await until(lambda: not waiting, "it is told")
        assert "Traceback" not in caplog.text


# Where a request ends, a proxy before it must see as it does


def smuggling(name: str, *fields: bytes, body: bytes = b"") -> Any:
    head = b"".join(field + b"\r\n" for field in fields)
    return pytest.param(b"POST /length HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n", body, id=name)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        smuggling("two lengths", b"content-length: 0", b"content-length: %d" % len(HEAD), body=HEAD),
        smuggling("a length twice", b"content-length: 5", b"content-length: 5", body=b"hello"),
        smuggling(
            "length and chunks",
            b"content-length: 5",
            b"transfer-encoding: chunked",
            body=b"0\r\n\r\n" + HEAD,
        ),
        smuggling("chunked and more", b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"),
        smuggling("not quite chunked", b"transfer-encoding: xchunked", body=b"0\r\n\r\n" + HEAD),
        smuggling("a space before the colon", b"content-length : 5", body=b"hello"),
        smuggling("a sign", b"content-length: +5", body=b"hello"),
        smuggling("a negative length", b"content-length: -1", body=HEAD),
        smuggling("a folded line", b"x: a", b" content-length: 5", body=b"hello"),
        smuggling("a bare line feed", b"x: a\ncontent-length: 0", body=HEAD),
        smuggling(
            "an upgrade",
            b"connection: upgrade",
            b"upgrade: h2c",
            b"content-length: %d" % len(HEAD),
            body=HEAD,
        ),
        smuggling(
            "an upgrade with chunks",
            b"connection: upgrade",
            b"upgrade: other",
            b"transfer-encoding: chunked",
            body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HEAD), HEAD),
        ),
        smuggling(
            "a handshake that is none",
            b"connection: upgrade",
            b"upgrade: websocket",
            b"content-length: %d" % len(HEAD),
            body=HEAD,
        ),
    ],
)
@pytest.mark.parametrize("in_one_packet", [True, False])
async def test_no_request_is_found_in_another(head: bytes, body: bytes, in_one_packet: bool) -> None:
    async with served() as (server, _):
        client = await server.connect()
        await client.send(head + body if in_one_packet else head)
        if not in_one_packet:
            with suppress(OSError):
                await client.send(body)
        status, _, rest = await client.answer()  # to the end of the connection
        assert status in (400, 405)
        assert b"HTTP/" not in rest


async def test_an_upgrade_that_is_not_offered_is_answered_as_a_request_and_is_the_last() -> None:
    async with served() as (server, gate):
        client = await server.connect()
        await client.send(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        assert await answer(client) == (200, b"hello")
        with suppress(OSError):
            await client.send(HEAD)
        assert await client.ended() == b""
        assert not gate.refused


# How many


async def test_no_more_sockets_than_there_may_be() -> None:
    async with served(max_sockets=2) as (server, gate):
        first, _ = await server.open(), await server.open()
        assert gate.is_full
        client = await server.connect()
        client.ask()
        status, headers, _ = await client.answer()
        assert status == 503
        assert 1 <= int(headers["retry-after"]) <= 5
        assert gate.refused == {"sockets": 1}
        asking_for_a_page = await server.connect()
        await asking_for_a_page.send(HEAD)
        assert await answer(asking_for_a_page) == (200, b"hello")
        first.vanish()
        await until(lambda: not gate.is_full, "one has gone")
        await server.open()


async def test_of_too_many_connections_those_go_that_have_asked_for_nothing_for_longest() -> None:
    async with served(max_sockets=3, spare_connections=5) as (server, gate):
        sockets = [await server.open() for _ in range(3)]
        waiting = [await server.connect() for _ in range(5)]
        await until(lambda: len(server.connections) == 8, "all are there")
        await waiting[0].send(HEAD)  # it has been answered since
        assert await answer(waiting[0]) == (200, b"hello")
        newcomer = await server.connect()
        await newcomer.send(HEAD)
        assert await answer(newcomer) == (200, b"hello")
        assert await waiting[1].ended() == b""
        assert gate.refused == {"connections": 1}
        for socket in sockets:
            await socket.say("still here")
        await waiting[0].send(HEAD)
        assert await answer(waiting[0]) == (200, b"hello")


async def test_no_more_handshakes_in_a_second_than_there_may_be() -> None:
    async with served(handshakes_per_s=5) as (server, gate):
        clients = [await server.connect() for _ in range(30)]
        for client in clients:
            client.ask()
        statuses = [(await client.answer())[0] for client in clients]
        # Ten at once; and what a busy machine had time for.
        assert 10 <= statuses.count(101) <= 15
        assert gate.refused == {"handshakes": 30 - statuses.count(101)}
        assert set(statuses) == {101, 503}


async def test_what_is_no_handshake_is_not_counted_as_one() -> None:
    async with served(handshakes_per_s=0.001) as (server, gate):
        for _ in range(3):
            client = await server.connect()
            await client.send(HEAD)
            assert await answer(client) == (200, b"hello")
        client = await server.connect()
        await client.send(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        assert await answer(client) == (200, b"hello")
        assert not gate.refused
