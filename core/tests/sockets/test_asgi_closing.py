"""Over an ASGI server: how a connection ends, and a server that fails."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from clocks import settle
from sockets.scripted_asgi import World, noting, pass_time, publish, slow_peer
from wigwag import Limits, SocketContext

pytestmark = pytest.mark.anyio

Notes = list[Any]


# Closing


async def test_a_close_lets_out_what_was_written_before_and_nothing_after(world: World) -> None:
    notes: Notes = []
    peer = await slow_peer(world, noting(notes), '"1"', '"2"')
    ctx = notes[0]
    await ctx.send("last")
    await ctx.close(4000, "done")
    await ctx.send("too late")
    await ctx.close(4001, "again")
    assert ctx.connection.is_closing
    await peer.say("2")
    await settle()
    peer.sending.open()
    await settle()
    assert peer.take() == ["1", "2", "last"]
    assert peer.closed == (4000, "done")
    assert notes[1:] == [(4000, "done", ["t"])]
    assert not peer.is_served


async def test_a_close_waits_no_longer_than_its_limit_for_who_does_not_read(world: World) -> None:
    notes: Notes = []
    peer = await slow_peer(world, noting(notes, Limits(close_timeout_s=3)), '"1"', '"2"')
    await notes[0].close(4000, "done")
    await pass_time(2.9)
    assert peer.is_served
    assert peer.sending.held == 1
    await pass_time(0.2)  # the send is given up; the close frame is tried
    peer.sending.open()
    await settle()
    assert peer.take() == []
    assert peer.closed == (4000, "done")
    assert notes[1:] == [(4000, "done", ["t"])]


async def test_a_reason_is_cut_to_what_a_close_frame_holds(world: World) -> None:
    notes: Notes = []
    peer = await world.connect(noting(notes))
    await notes[0].close(4000, "é" * 100)
    await settle()
    assert peer.closed == (4000, "é" * 61)


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "bye", (1000, "bye")),
        (1001, "", (1001, "")),
        (4999, "x", (4999, "x")),
        (1005, "", (1005, "")),  # no code in the close frame
        (1006, "", (1006, "")),  # no close frame
        (None, None, (1006, "")),
    ],
)
async def test_the_close_handler_is_told_how_the_client_left(
    world: World, code: int | None, reason: str | None, told: tuple[int, str]
) -> None:
    notes: Notes = []
    sockets = noting(notes)
    peer = await world.connect(sockets)
    await peer.leave(code, reason)
    assert notes[1:] == [(*told, ["t"])]
    assert not peer.is_closed  # the handshake of closing is the server's
    assert not peer.is_served
    assert sockets._app.counters.closed == {str(told[0]) if told[0] < 3000 else "application": 1}


async def test_nothing_is_written_to_who_has_left(world: World) -> None:
    notes: Notes = []
    go_on = anyio.Event()

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await go_on.wait()
        await ctx.send("to nobody")
        notes.append("sent")

    sockets = noting(notes, message=message)
    peer = await world.connect(sockets)
    await peer.say("x")
    await peer.leave()
    await publish(sockets, "to nobody either")
    assert notes[0].connection.is_closing
    go_on.set()
    await settle()
    assert notes[1:] == ["sent", (1000, "", ["t"])]
    assert peer.take() == []


# A server that fails


@pytest.mark.parametrize(
    "error", [RuntimeError("closed"), OSError("gone"), LookupError("a defect of its own")]
)
async def test_a_server_that_fails_to_send_ends_the_socket(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    notes: Notes = []
    peer = await slow_peer(world, noting(notes, Limits(close_timeout_s=3)), "1", "2", "3")
    peer.sending.fail(error)
    await settle()
    assert notes[0].connection.buffered_bytes == 0  # what waited is forgotten
    waits = peer.is_served  # the disconnect may be on its way, with its code
    await pass_time(3.1)
    assert (waits, peer.is_served) == (True, False)
    assert not peer.is_closed  # there is nobody to say it to
    assert notes[1:] == [(1006, "", ["t"])]
    assert peer.error is None
    assert ("LookupError: a defect" in caplog.text) == isinstance(error, LookupError)


async def test_a_failed_send_leaves_the_servers_word_its_time(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes)
    peer = await world.connect(sockets)
    peer.sending.fail(OSError("gone"))
    await publish(sockets, "1", "2")
    await peer.leave(1001)
    assert notes[1:] == [(1001, "", ["t"])]
    assert not peer.is_served


async def test_a_server_that_fails_while_we_close_ends_the_socket_at_once(world: World) -> None:
    notes: Notes = []
    peer = await slow_peer(world, noting(notes), "1")
    await notes[0].close(4000)
    peer.sending.fail(OSError("gone"))
    await settle()
    assert not peer.is_served
    assert notes[1:] == [(4000, "", ["t"])]


@pytest.mark.parametrize("error", [OSError("gone"), LookupError("a defect of its own")])
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_server_that_fails_at_the_last_word_leaves_no_socket(
    world: World, error: Exception, cancelled: bool
) -> None:
    notes: Notes = []
    sockets = noting(notes)
    peer = await world.connect(sockets)
    peer.sending.fail(error)
    if cancelled:
        peer.cancel_scope.cancel()
    else:
        await notes[0].close(4000)
    await settle()
    assert notes[1:] == [(1012, "going away", ["t"]) if cancelled else (4000, "", ["t"])]
    assert not peer.is_served
    assert peer.error is None
    assert not sockets._app.sessions


async def test_a_server_that_fails_to_receive_ends_the_socket(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    notes: Notes = []
    peer = await world.connect(noting(notes))
    peer.receive_error = LookupError("a defect of its own")
    await peer.say("still read")
    assert not peer.is_served
    assert peer.error is None
    assert notes[1:] == [(1006, "", ["t"])]
    assert "LookupError: a defect of its own" in caplog.text


async def test_a_cancelled_server_winds_the_socket_up(world: World) -> None:
    notes: Notes = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            notes.append("cleaned up")

    async def closed(ctx: SocketContext, code: int, reason: str) -> None:
        await anyio.sleep(1)  # it has its time
        notes.append((code, sorted(ctx.topics)))

    sockets = noting(notes, message=message, close=closed)
    peer = await world.connect(sockets)
    await peer.say("x")
    peer.cancel_scope.cancel()
    await pass_time(1.1)
    assert notes[1:] == ["cleaned up", (1012, ["t"])]
    assert peer.closed == (1012, "going away")
    assert sockets.provider.connection_count() == 0
    assert not peer.is_served


async def test_a_server_that_is_cancelled_while_we_close_leaves_our_code(world: World) -> None:
    notes: Notes = []
    peer = await slow_peer(world, noting(notes), "1")
    await notes[0].close(4000, "done")
    peer.cancel_scope.cancel()
    await pass_time(1.1)  # the last word has its limit: this peer takes none
    assert notes[1:] == [(4000, "done", ["t"])]
