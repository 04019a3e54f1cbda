"""Over a raw transport: what the client sends, and how it leaves."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from clocks import settle
from sockets.scripted_asgi import World, noting, pass_time
from sockets.scripted_transport import TakingServer, connect
from wigwag import Limits, SocketContext, Sockets
from wigwag.sockets.transport import EXTENSION, Receiver

pytestmark = pytest.mark.anyio

Notes = list[Any]


async def test_pings_and_pongs_of_the_protocol_are_told(world: World) -> None:
    notes: Notes = []

    async def ping(ctx: SocketContext, data: bytes) -> None:
        notes.append(("ping", data))

    def pong(ctx: SocketContext, data: bytes) -> None:
        notes.append(("pong", data))
        raise LookupError("a handler may fail")

    server, _ = await connect(world, Sockets(ping=ping, pong=pong))
    server.session.pinged(b"a")
    await settle()
    server.session.ponged(b"b")
    await settle()
    assert notes == [("ping", b"a"), ("pong", b"b")]
    await server.leave()
    server.session.pinged(b"late")
    await settle()
    assert len(notes) == 2


async def test_a_flood_of_pings_is_one_call_of_the_handler_and_the_last_that_waits(world: World) -> None:
    notes: Notes = []
    go_on = anyio.Event()

    async def ping(ctx: SocketContext, data: bytes) -> None:
        notes.append(data)
        await go_on.wait()
        notes.append("done")

    server, _ = await connect(world, Sockets(ping=ping, pong=lambda ctx, data: notes.append(("pong", data))))
    for number in range(100):
        server.session.pinged(b"%d" % number)
    server.session.ponged(b"beside")
    await settle()
    assert len(notes) == 2  # of tasks, which trio begins in any order
    assert b"0" in notes
    assert ("pong", b"beside") in notes
    go_on.set()
    await settle()
    assert notes[2:] == ["done", b"99", "done"]
    server.session.pinged(b"again")
    await settle()
    assert notes[5:] == [b"again", "done"]


async def test_the_close_handler_waits_for_a_ping_handler_and_no_other_begins(world: World) -> None:
    notes: Notes = []
    go_on = anyio.Event()

    async def ping(ctx: SocketContext, data: bytes) -> None:
        await go_on.wait()
        notes.append(data)

    server, _ = await connect(world, Sockets(ping=ping, close=lambda ctx, *how: notes.append(how)))
    server.session.pinged(b"a")
    server.session.pinged(b"b")
    await server.leave(4000)
    assert notes == []
    go_on.set()
    await settle()
    assert notes == [b"a", (4000, "")]


async def test_a_ping_handler_that_does_not_end_is_cancelled(world: World) -> None:
    notes: Notes = []

    async def ping(ctx: SocketContext, data: bytes) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            notes.append("cancelled")

    sockets = Sockets(ping=ping, close=lambda ctx, *how: notes.append(how), limits=Limits(close_timeout_s=2))
    server, _ = await connect(world, sockets)
    server.session.pinged(b"a")
    await server.leave(4000)
    await pass_time(2.1)
    assert notes == ["cancelled", (4000, "")]
    assert not sockets._app.sessions


async def test_pings_that_nobody_asked_for_are_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = await connect(world, Sockets())
    server.session.pinged(b"a")
    server.session.ponged(b"b")
    server.session.drained()
    await settle()
    assert not caplog.records


async def test_pings_before_the_guards_have_let_the_socket_in_are_not_told(world: World) -> None:
    notes: Notes = []
    go_on = anyio.Event()

    async def guard(ctx: SocketContext) -> bool:
        await go_on.wait()
        return True

    server, _ = await connect(
        world, Sockets(connection_guards=[guard], ping=lambda ctx, data: notes.append(data))
    )
    server.session.pinged(b"early")
    await settle()
    go_on.set()
    await settle()
    server.session.pinged(b"now")
    await settle()
    assert notes == [b"now"]


async def test_who_floods_is_read_no_further_until_there_is_room(world: World) -> None:
    seen: list[str | bytes] = []
    gate = anyio.Semaphore(0)

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await gate.acquire()
        seen.append(message)

    server, _ = await connect(world, Sockets(message=message, limits=Limits(inbox_messages=2)))
    calls = server.transport.calls
    await server.say("a", "b")  # a was begun in the call that brought it
    assert calls == []
    await server.say("c", "d", "e")  # in one piece with what made it full: still taken
    assert calls == ["pause_reading"]
    gate.release()
    gate.release()
    await settle()
    assert calls == ["pause_reading"]
    gate.release()
    await settle()
    assert calls == ["pause_reading", "resume_reading"]
    gate.release()
    gate.release()
    await settle()
    assert seen == ["a", "b", "c", "d", "e"]


async def test_who_leaves_while_it_is_not_read_is_not_resumed(world: World) -> None:
    seen: list[str | bytes] = []
    gate = anyio.Event()

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await gate.wait()
        seen.append(message)

    server, _ = await connect(world, Sockets(message=message, limits=Limits(inbox_messages=2)))
    await server.say("a")
    await server.say("b", "c")
    await server.leave()
    gate.set()
    await settle()
    assert seen == ["a", "b", "c"]
    assert server.transport.calls == ["pause_reading"]


async def test_stopping_closes_who_is_still_in_its_guards(world: World) -> None:
    async def hang(ctx: SocketContext) -> bool:
        await anyio.sleep_forever()
        return True

    sockets = Sockets(connection_guards=[hang])
    server, _ = await connect(world, sockets)
    await world.stop()
    assert server.take() == [(1012, "going away")]
    assert not sockets._app.sessions


async def test_what_came_before_the_client_left_is_still_handled(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    notes: Notes = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await anyio.sleep(1)
        notes.append(message)

    sockets = noting(notes, message=message)
    server, _ = await connect(world, sockets)
    await server.say("a", "b")
    await server.leave()
    assert len(notes) == 1
    await pass_time(2.1)
    assert notes[1:] == ["a", "b", (1000, "", ["t"])]
    assert not caplog.records


async def test_a_handler_that_does_not_end_is_cancelled_and_cleans_up_before_the_close_handler(
    world: World,
) -> None:
    notes: Notes = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            notes.append(sorted(ctx.topics))

    sockets = noting(notes, Limits(close_timeout_s=3), message=message)
    server, _ = await connect(world, sockets)
    await server.say("a", "b")
    await server.leave()
    await pass_time(4.1)
    assert notes[1:] == [["t"], (1000, "", ["t"])]
    assert not sockets._app.sessions


async def test_a_message_that_comes_with_the_handshake_waits_for_it(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes, message=lambda ctx, message: notes.append(message))

    class Eager(TakingServer):
        def take_over(self, receiver: Receiver) -> None:
            super().take_over(receiver)
            receiver.received("2")
            receiver.received("early")

    server = Eager(world.tasks)
    await world.connect(sockets, extensions={EXTENSION: server})
    assert notes[1:] == ["early"]
    assert server.take() == ["3"]


async def test_who_leaves_with_the_handshake_leaves_nothing(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes)

    class Fleeting(TakingServer):
        def take_over(self, receiver: Receiver) -> None:
            super().take_over(receiver)
            receiver.lost(1006, "")

    await world.connect(sockets, extensions={EXTENSION: Fleeting(world.tasks)})
    assert notes == []
    assert not sockets._app.sessions


async def test_who_is_sent_away_with_the_handshake_is_not_let_in(world: World) -> None:
    notes: Notes = []
    server = TakingServer(world.tasks)
    server.is_stopping = True
    sockets = noting(notes)
    await world.connect(sockets, extensions={EXTENSION: server})
    assert server.take() == [(1012, "going away")]
    assert notes == []
    assert sockets._app.counters.opened == 0


async def test_stopping_closes_with_1012_and_waits_for_the_close_handlers(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes)
    server, _ = await connect(world, sockets)
    await world.stop()
    assert server.take() == [(1012, "going away")]
    assert notes[1:] == [(1012, "going away", ["t"])]


@pytest.mark.parametrize(("code", "handled"), [(1012, ["late", "later"]), (1008, []), (1000, [])])
async def test_who_is_sent_away_is_heard_out_and_who_is_refused_is_not(
    world: World, code: int, handled: Notes
) -> None:
    """The client can't know before it has read the close frame."""
    notes: Notes = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await ctx.subscribe("t")
        notes.append(message)
        await ctx.send("nobody hears it")

    sockets = Sockets(message=message, close=lambda ctx, *how: notes.append(how))
    server, _ = await connect(world, sockets)
    server.waits_for_close = True
    server.session.close(code, "bye")
    await server.say("late", "later")
    await server.leave(code)
    assert notes == [*handled, (code, "bye")]
    assert server.take() == [(code, "bye")]
    assert not sockets._app.sessions


async def test_who_is_sent_away_is_read_no_further_than_its_messages_are_handled(world: World) -> None:
    notes: Notes = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await anyio.sleep(1)
        notes.append(message)

    server, _ = await connect(world, Sockets(message=message, limits=Limits(inbox_messages=2)))
    server.waits_for_close = True
    await server.say("a", "b", "c")
    server.session.close(1012)
    assert server.transport.calls == ["pause_reading", "close"]
    await pass_time(1.1)
    assert server.transport.calls == ["pause_reading", "close", "resume_reading"]
    await server.say("d")
    await server.leave(1012)
    await pass_time(4)
    assert notes == ["a", "b", "c", "d"]


async def test_who_is_sent_away_before_it_was_let_in_is_not_heard(world: World) -> None:
    notes: Notes = []

    async def guard(ctx: SocketContext) -> bool:
        notes.append("asked")
        await anyio.sleep(1)
        return True

    server, _ = await connect(
        world, Sockets(connection_guards=[guard], message=lambda ctx, message: notes.append(message))
    )
    server.waits_for_close = True
    await server.say("early")
    server.session.close(1012)
    await server.say("late")
    await pass_time(1.1)
    await server.say("later")
    await server.leave(1012)
    assert notes == ["asked"]
