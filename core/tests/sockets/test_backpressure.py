"""A client that sends more than its handlers do: it is read no further, and its pings are answered."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from clocks import settle
from sockets.scripted_asgi import World, noting, pass_time, slow_peer, steps
from sockets.scripted_transport import connect
from wigwag import Limits, SocketContext, SocketRouter, Sockets

pytestmark = pytest.mark.anyio


async def test_who_floods_a_slow_handler_is_read_no_further(world: World) -> None:
    seen: list[str | bytes] = []
    gate = anyio.Semaphore(0)

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await gate.acquire()
        seen.append(message)

    limits = Limits(inbox_messages=4)
    peer = await world.connect(Sockets(message=message, limits=limits))
    messages = [f"m{number}" for number in range(100)]
    await peer.say(*messages)
    read = 100 - len(peer._to_receive)
    assert read == 4 + 1  # what waits, and what is handled
    for _ in range(10):
        gate.release()
    await settle()
    assert 100 - len(peer._to_receive) == read + 10
    for _ in range(90):
        gate.release()
    await settle()
    assert seen == messages


async def test_a_ping_is_answered_while_a_handler_is_busy(world: World) -> None:
    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await anyio.sleep(1)
        await ctx.send("handled")

    peer = await world.connect(Sockets(message=message))
    await peer.say("slow", "2", "2")
    assert peer.take() == [3, 3]
    await pass_time(1.1)
    assert peer.take() == ["handled"]


async def test_who_leaves_while_it_is_not_read_is_seen_to_have_left_when_there_is_room(world: World) -> None:
    seen: list[Any] = []
    gate = anyio.Event()

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await gate.wait()
        seen.append(message)

    sockets = Sockets(
        message=message,
        close=lambda ctx, code, reason: seen.append(code),
        limits=Limits(inbox_messages=1),
    )
    peer = await world.connect(sockets)
    await peer.say("a", "b", "c")
    await peer.leave(1001)
    assert peer.is_served
    gate.set()
    await settle()
    assert seen == ["a", "b", "c", 1001]
    assert not peer.is_served


async def test_a_close_of_ours_does_not_wait_for_a_socket_that_is_not_read(world: World) -> None:
    contexts: list[Any] = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await anyio.sleep(1)

    sockets = Sockets(open=contexts.append, message=message, limits=Limits(inbox_messages=1))
    peer = await world.connect(sockets)
    await peer.say("a", "b", "c", "d")
    await contexts[0].close(4000)
    await settle()
    assert peer.closed == (4000, "")
    await pass_time(1.1)  # the handler that had begun ends by itself
    assert not peer.is_served


async def test_messages_after_an_idle_time_find_a_worker_again(world: World) -> None:
    router = SocketRouter[None]()
    router.on("m")(lambda ctx: "ok")
    peer = await world.connect(Sockets(routers=[router]))
    for moment in range(8):
        await steps(moment)
        peer.sends({"type": "m"})
        await steps(moment)
        peer.sends({"type": "m"})
        await settle()
        assert len(peer.take()) == 2


async def test_a_client_that_asks_faster_than_it_reads_is_answered_as_fast_as_it_reads(
    world: World,
) -> None:
    router: SocketRouter[None] = SocketRouter()

    @router.on("n")
    def n(ctx: SocketContext, data: int) -> int:
        return data

    limits = Limits(send_messages=8, inbox_messages=4)
    peer = await world.connect(Sockets(routers=[router], limits=limits))
    peer.sending.shut()
    peer.sends(*({"type": "n", "data": number} for number in range(100)))
    await settle()
    assert not peer.is_closed  # its own replies do not make it too slow
    peer.sending.open()
    await settle()
    assert [reply["data"] for reply in peer.take()] == list(range(100))


async def test_who_waits_for_room_does_not_hold_up_the_end(world: World) -> None:
    notes: list[Any] = []
    sockets = noting(notes, Limits(send_messages=4))
    peer = await slow_peer(world, sockets, "1", "2", "3")
    peer.sends("x")
    await settle()
    await peer.leave()
    assert not peer.is_served
    assert notes[1:] == [(1000, "", ["t"])]


def counting(handled: list[int], **more: Any) -> Sockets[None]:
    """Sockets that answer each number with itself, and have room for few answers."""
    router = SocketRouter[None]()

    @router.on("n")
    def n(ctx: SocketContext[None], data: int) -> int:
        handled.append(data)
        return data

    return Sockets(routers=[router], limits=Limits(send_messages=4, **more))


def numbers(count: int) -> list[Any]:
    return [{"type": "n", "data": number} for number in range(count)]


async def test_after_a_close_of_ours_no_message_is_handled_that_waited_for_room(world: World) -> None:
    handled: list[int] = []
    sockets = counting(handled)
    peer = await world.connect(sockets)
    peer.sending.shut()
    await peer.say(*numbers(10))
    before = list(handled)
    assert 0 < len(before) < 10
    (session,) = sockets._app.sessions
    await sockets.provider.disconnect(session.id, 1008, "kicked")
    peer.sending.open()
    await settle()
    assert handled == before
    assert peer.closed == (1008, "kicked")
    assert not peer.is_served


async def test_it_is_so_over_a_transport_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    handled: list[int] = []
    sockets = counting(handled)
    server, _ = await connect(world, sockets)
    server.transport.is_stuck = True
    await server.say(*numbers(10))
    before = list(handled)
    assert 0 < len(before) < 10
    server.session.close(1008, "kicked")
    await settle()
    assert handled == before
    assert server.take()[-1] == (1008, "kicked")
    assert not caplog.records


async def test_over_a_transport_answers_go_on_when_the_client_reads(world: World) -> None:
    handled: list[int] = []
    server, _ = await connect(world, counting(handled))
    server.transport.is_stuck = True
    await server.say(*numbers(10))
    assert len(handled) < 10
    server.transport.is_stuck = False
    server.transport.sent()
    await settle()
    assert handled == list(range(10))
    assert len(server.take()) == 10


async def test_a_client_that_is_behind_by_bytes_is_answered_no_faster_either(world: World) -> None:
    router = SocketRouter[None]()
    router.on("m")(lambda ctx: "x" * 60)
    peer = await world.connect(Sockets(routers=[router], limits=Limits(send_bytes=200)))
    peer.sending.shut()
    await peer.say(*[{"type": "m"}] * 10)
    (session,) = peer_sessions(world)
    assert session.connection.buffered_bytes <= 200
    peer.sending.open()
    await settle()
    assert len(peer.take()) == 10
    assert not peer.is_closed


def peer_sessions(world: World) -> list[Any]:
    return [session for sockets in world._started for session in sockets._app.sessions]
