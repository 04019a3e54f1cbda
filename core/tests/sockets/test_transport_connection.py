"""Over a raw transport that a server hands over."""

from __future__ import annotations

import gc
import json
import tracemalloc
import weakref
from typing import Any

import anyio
import anyio.abc
import pytest
from starlette.requests import HTTPConnection

from clocks import settle
from sockets.scripted_asgi import World, noting, pass_time
from sockets.scripted_transport import TakingServer, connect
from wigwag import Limits, SocketContext, SocketRouter, Sockets
from wigwag.frames.deflate import Deflater
from wigwag.sockets.transport import EXTENSION

pytestmark = pytest.mark.anyio

Notes = list[Any]


async def publish(sockets: Sockets[Any], *messages: str | bytes) -> None:
    """One after the other, each in a turn of its own."""
    for message in messages:
        await sockets.emitter.publish("t", message)
        await settle()


async def test_serve_accepts_hands_over_and_returns(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes, subprotocols=["v1"])
    server, peer = await connect(world, sockets, subprotocols=["v1"])
    assert [event["type"] for event in peer.events] == ["websocket.accept"]
    assert not peer.is_served
    assert sockets.provider.connection_count() == 1
    (ctx,) = notes
    assert ctx.connection is server.connection
    assert ctx.connection.client == ("192.0.2.1", 50000)
    assert ctx.connection.subprotocol == "v1"
    await server.leave(1001, "bye")
    assert notes[1:] == [(1001, "bye", ["t"])]
    assert sockets.provider.connection_count() == 0


async def test_an_idle_socket_has_no_task(world: World) -> None:
    async with anyio.create_task_group() as tasks:
        server, _ = await connect(world, Sockets(message=lambda ctx, message: None), tasks)
        await server.say("x")
    # The group ended by itself: nothing of an open socket was left in it.
    server.transport.tasks = world.tasks


async def test_the_request_is_not_kept_for_the_life_of_its_socket(world: World) -> None:
    requests: list[weakref.ref[HTTPConnection]] = []

    async def hook(connection: HTTPConnection) -> str:
        requests.append(weakref.ref(connection))
        return "user"

    await connect(world, Sockets[str](upgrade=hook))
    gc.collect()
    assert [request() for request in requests] == [None]


async def test_messages_are_frames_that_a_client_can_read(world: World) -> None:
    sockets = noting([])
    server, _ = await connect(world, sockets)
    messages: list[str | bytes] = [
        "",
        "é☃😀",
        b"",
        b"\xff\x00",
        "x" * 125,
        "x" * 126,
        b"y" * 65535,
        "z" * 65536,
    ]
    await publish(sockets, *messages)
    assert server.take() == messages


async def test_fan_out_writes_the_same_bytes_to_each(world: World) -> None:
    sockets = noting([])
    first, second = [(await connect(world, sockets))[0] for _ in range(2)]
    await publish(sockets, "hello")
    assert first.transport.written[0] is second.transport.written[0]


async def test_messages_are_handled_and_replied_in_order(world: World) -> None:
    router = SocketRouter[None]()

    @router.on("m")
    async def handle(ctx: SocketContext[None], data: int) -> int:
        await anyio.sleep(1)
        return data

    server, _ = await connect(world, Sockets(routers=[router]))
    await server.say({"type": "m", "data": 1}, {"type": "m", "data": 2}, "2")
    assert server.take() == ["3"]
    await pass_time(2.1)
    assert [json.loads(reply)["data"] for reply in server.take()] == [1, 2]


async def test_while_the_transport_is_paused_frames_wait_and_go_on_together(world: World) -> None:
    sockets = noting([])
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await publish(sockets, "1", "2", "3")
    assert server.take() == ["1"]  # pause_writing was called inside its write
    assert server.connection.buffered_bytes == 2 * 3
    server.transport.sent()
    assert server.take() == ["2", "3"]  # and again inside the next
    assert len(server.transport.written) == 2
    await publish(sockets, "4")
    assert server.take() == []
    server.transport.is_stuck = False
    server.transport.sent()
    assert server.take() == ["4"]
    await publish(sockets, "5")
    assert server.take() == ["5"]


async def test_what_waits_goes_on_in_pieces_that_the_kernel_may_take(world: World) -> None:
    sockets = noting([])
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await publish(sockets, "first", *["x" * 40_000] * 4)
    server.transport.sent()
    assert [len(message) for message in server.take()] == [5, 40_000, 40_000]
    assert server.connection.buffered_bytes == 2 * (40_000 + 4)


async def test_what_waits_is_kept_once_and_for_all_who_wait_together(world: World) -> None:
    sockets = noting([])
    servers = [(await connect(world, sockets))[0] for _ in range(3)]
    for server in servers:
        server.transport.is_stuck = True
    await publish(sockets, "first")
    gc.collect()
    tracemalloc.start()
    try:
        await publish(sockets, *["x" * 100_000] * 10)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(server.connection.buffered_bytes > 1_000_000 for server in servers)
    assert grown < 1_100_000


async def test_what_one_turn_publishes_is_one_write(world: World, anyio_backend_name: str) -> None:
    sockets = noting([])
    first, second = [(await connect(world, sockets))[0] for _ in range(2)]
    for number in range(10):
        await sockets.emitter.publish("t", str(number))
    await settle()
    # On trio there is no transport for which joining would pay.
    assert len(first.transport.written) == (1 if anyio_backend_name == "asyncio" else 10)
    assert first.transport.written[0] is second.transport.written[0]
    assert first.take() == [str(number) for number in range(10)]


async def test_of_what_the_kernel_took_half_the_rest_follows(world: World) -> None:
    sockets = noting([])
    server, _ = await connect(world, sockets)

    def half(data: bytes) -> int:
        server.transport.is_stuck = True
        server.transport.written.append(data[:3])
        return 3

    server.session.send_now = half
    await publish(sockets, "hello")
    assert server.take() == ["hello"]
    assert server.transport.rests == [b"ello"]  # ahead of what the server has corked
    await publish(sockets, "waits")
    assert server.take() == []
    server.transport.is_stuck = False
    server.transport.sent()
    assert server.take() == ["waits"]
    await publish(sockets, "again")
    assert server.take() == ["again"]


async def test_a_pong_passes_what_waits(world: World) -> None:
    sockets = noting([])
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await publish(sockets, "1", "2")
    await server.say("2")
    server.transport.is_stuck = False
    server.transport.sent()
    assert server.take() == ["1", "3", "2"]


async def test_nothing_follows_a_close_frame(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes)
    server, _ = await connect(world, sockets)
    server.transport.on_close = lambda code, reason: None  # the client does not answer yet
    await publish(sockets, "1")
    await notes[0].close(4000)
    await publish(sockets, "2")
    await notes[0].send("3")
    assert server.take() == ["1", (4000, "")]
    server.connection.lost(4000, "")


async def test_who_agreed_to_compression_gets_what_is_compressed(world: World) -> None:
    sockets = noting([])
    deflater = Deflater(100)
    servers = []
    for agreed in (None, deflater, deflater):
        server = TakingServer(world.tasks)
        server.transport.deflater = agreed
        await world.connect(sockets, extensions={EXTENSION: server})
        servers.append(server)
    plain, first, second = (server.transport for server in servers)
    await publish(sockets, "short", "x" * 1000)
    assert [len(data) for data in plain.written] == [7, 1004]
    assert first.written[0] == plain.written[0]
    assert len(first.written[1]) < 50
    assert first.written[1] == second.written[1]


async def test_too_slow_is_closed_with_1013_behind_what_was_begun(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes, Limits(send_messages=2, close_timeout_s=3))
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await publish(sockets, "1", "2", "3", "4", "5")
    assert server.transport.calls == ["close"]
    assert server.transport.close_timeout_s == 3
    assert server.take() == ["1", (1013, "too slow")]
    await settle()
    assert notes[1:] == [(1013, "too slow", ["t"])]
    assert sockets._app.counters.dropped == {"close": 3}
    server.transport.sent()  # what it calls after the end does nothing
    assert server.take() == []


async def test_drop_says_how_many_and_drain_is_told(world: World) -> None:
    notes: Notes = []
    limits = Limits(send_messages=1, slow="drop")
    sockets = noting(notes, limits, drain=lambda ctx: notes.append("drained"))
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await publish(sockets, "1", "2", "3", "4")
    assert server.take() == ["1"]
    server.transport.sent()
    two, notice = server.take()
    assert two == "2"
    assert json.loads(notice)["data"] == {"count": 2}
    await settle()
    assert "drained" not in notes  # the notice waits in the transport
    server.transport.sent()
    await settle()
    assert notes[1:] == ["drained"]
    server.transport.is_stuck = False
    await publish(sockets, "5")
    server.transport.sent()
    await settle()
    assert notes[1:] == ["drained"]


async def test_a_close_follows_what_was_written_before(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes)
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await publish(sockets, "1", "2", "3")
    await notes[0].close(4000, "é" * 100)
    await notes[0].send("too late")
    await notes[0].close(4001)
    assert server.take() == ["1", "2", "3", (4000, "é" * 61)]
    assert server.transport.calls == ["close"]
    await server.say("x")
    assert notes[1:] == [(4000, "é" * 100, ["t"])]
    assert sockets._app.counters.received == 0


async def test_close_frames_as_they_stand(world: World) -> None:
    sockets = Sockets(connection_guards=[lambda ctx: False])
    server, _ = await connect(world, sockets)
    assert server.take() == [(1008, "refused")]
    assert server.transport.calls == ["close"]
    assert not sockets._app.sessions
