"""Over an ASGI server that takes what it is sent when the test lets it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from clocks import settle
from sockets.scripted_asgi import World, noting, pass_time, publish, slow_peer
from wigwag import Limits, Sockets

pytestmark = pytest.mark.anyio

Notes = list[Any]


# Sending


async def test_text_and_binary_arrive_bit_exact_and_in_order(world: World) -> None:
    sockets = noting([])
    peer = await world.connect(sockets)
    messages: list[str | bytes] = ["", "\x00", "é☃😀", b"", b"\x00\xff\xfe", "x" * 70_000, b"\xc3\x28"]
    for message in messages:
        await sockets.emitter.publish("t", message)
    await settle()
    sent = [event for event in peer.events if event["type"] == "websocket.send"]
    assert [event.get("text", event.get("bytes")) for event in sent] == messages
    assert all(isinstance(event.get("text", ""), str) for event in sent)


async def test_a_slow_socket_keeps_nobody_waiting(world: World) -> None:
    sockets = noting([])
    slow = await slow_peer(world, sockets, "1", "2")
    quick = await world.connect(sockets)
    await publish(sockets, "3", "4")
    assert quick.take() == [3, 4]
    assert slow.take() == []
    slow.sending.open()
    await settle()
    assert slow.take() == [1, 2, 3, 4]


async def test_how_much_waits_can_be_seen(world: World) -> None:
    notes: Notes = []
    peer = await slow_peer(world, noting(notes), "12", "345", "6789")
    (ctx,) = notes
    assert ctx.connection.buffered_bytes == 7
    assert not ctx.connection.is_closing
    peer.sending.open()
    await settle()
    assert ctx.connection.buffered_bytes == 0


# Too slow


async def test_close_ends_a_socket_that_is_too_slow_with_1013(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes, Limits(send_messages=2))
    peer = await slow_peer(world, sockets, "1", "2", "3")
    assert not peer.is_closed
    await publish(sockets, "4")
    assert peer.sending.held == 1  # the message was given up, and the close frame has a second
    peer.sending.release()
    await settle()
    assert peer.closed == (1013, "too slow")
    assert peer.take() == []
    assert not peer.is_served
    assert notes[-1] == (1013, "too slow", ["t"])
    assert sockets._app.counters.dropped == {"close": 3}


async def test_a_server_that_takes_not_even_the_close_is_left_after_a_second(world: World) -> None:
    notes: Notes = []
    sockets = noting(notes, Limits(send_messages=1))
    began = anyio.current_time()
    peer = await slow_peer(world, sockets, "1", "2", "3")
    while peer.is_served:
        await pass_time(0.1)
    assert anyio.current_time() - began == pytest.approx(1.0, abs=0.2)
    assert not peer.is_closed
    assert notes[-1] == (1013, "too slow", ["t"])


async def test_drop_drops_and_says_how_many(world: World) -> None:
    sockets = noting([], Limits(send_messages=2, slow="drop"))
    peer = await slow_peer(world, sockets, "1", "2", "3", "4", "5")
    peer.sending.open()
    await settle()
    first, second, third, notice = peer.take()
    assert [first, second, third] == [1, 2, 3]
    assert (notice["name"], notice["data"]) == ("wigwag.dropped", {"count": 2})
    assert notice["timestamp"] > 1_700_000_000_000
    await publish(sockets, "6")
    assert peer.take() == [6]
    assert sockets._app.counters.dropped == {"drop": 2}


async def test_latest_keeps_the_newest(world: World) -> None:
    sockets = noting([], Limits(send_messages=2, slow="latest"))
    peer = await slow_peer(world, sockets, "1", "2", "3", "4", "5", "6")
    peer.sending.open()
    await settle()
    *first, notice, last = peer.take()
    assert (first, notice["data"], last) == ([1, 2, 3], {"count": 2}, 6)
    assert sockets._app.counters.dropped == {"latest": 2}


async def test_drain_is_told_when_a_full_buffer_is_empty_again(world: World) -> None:
    notes: Notes = []
    limits = Limits(send_messages=1, slow="drop")
    sockets = noting(notes, limits, drain=lambda ctx: notes.append("drained"))
    peer = await slow_peer(world, sockets, "1", "2")
    peer.sending.open()
    await settle()
    assert "drained" not in notes  # it was never full
    peer.sending.shut()
    await publish(sockets, "1", "2", "3")
    peer.sending.release()
    await settle()
    assert "drained" not in notes
    peer.sending.open()
    await settle()
    assert notes[1:] == ["drained"]


async def test_pongs_pass_what_waits(world: World) -> None:
    peer = await slow_peer(world, noting([]), '"1"', '"2"')
    await peer.say("2")
    peer.sending.open()
    await settle()
    assert peer.take() == ["1", 3, "2"]


async def test_the_peers_address_and_subprotocol_are_on_the_connection(world: World) -> None:
    notes: Notes = []
    sockets = Sockets(open=notes.append, subprotocols=["v2", "v1"])
    await world.connect(sockets, subprotocols=["v0", "v1", "v2"])
    peer = world.open(sockets)
    peer.scope["client"] = None
    await settle()
    assert [(ctx.connection.client, ctx.connection.subprotocol) for ctx in notes] == [
        (("192.0.2.1", 50000), "v1"),
        (None, None),
    ]
