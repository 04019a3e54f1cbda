"""What ends an outage otherwise: a gap, a broker that kept everything, a topic that is refused."""

from __future__ import annotations

import anyio
import pytest

from clocks import settle
from provider.world import World, begin_outage, end_outage, pass_time
from wigwag.errors import NotLive
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


async def test_a_gap_is_told_to_those_whom_it_concerns_at_once(world: World) -> None:
    node = await world.node()
    a, b = await node.join("a"), await node.join("b")
    node.broker.inboxes[-1].gap(["a", "unknown"])
    await settle()
    assert (a.resyncs, b.resyncs) == ([["a"]], [])


async def test_a_gap_of_any_topic_is_told_to_all(world: World) -> None:
    node = await world.node()
    a, none = await node.join("a"), node.attach()
    node.broker.inboxes[-1].gap()
    await settle()
    assert (a.resyncs, none.resyncs) == ([["a"]], [[]])


async def test_who_left_before_it_could_be_told_of_a_gap_is_told_nothing(world: World) -> None:
    node = await world.node()
    socket = await node.join("a")
    node.broker.inboxes[-1].gap(["a"])
    await node.provider.unsubscribe(socket.id, "a")
    await settle()
    assert socket.frames == []


async def test_a_broker_that_kept_everything_delivers_it_and_nobody_is_told(world: World) -> None:
    node = await world.node(FakeBroker(world.network, kept=True))
    other = await world.node()
    socket = await node.join("a")
    await begin_outage(node)
    await other.provider.publish("a", "meanwhile")
    await end_outage(node)
    await pass_time(1)
    assert socket.messages == ["meanwhile"]
    assert socket.resyncs == []


async def test_what_an_earlier_session_did_not_keep_is_told_though_a_later_one_keeps(
    world: World,
) -> None:
    node = await world.node()
    socket, none = await node.join("a"), node.attach()
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)  # a session that has not kept, and dies before a topic is live
    node.broker.kept = True
    node.broker.cut()
    await pass_time(1)
    node.broker.subscribing.open()
    await settle()
    assert (socket.resyncs, none.resyncs) == ([["a"]], [[]])


async def test_who_gave_up_is_told_though_the_session_kept_everything(world: World) -> None:
    """NotLive promised it."""
    node = await world.node(FakeBroker(world.network, kept=True), subscribe_timeout_s=1.0)
    await node.join("a")
    await begin_outage(node)
    newcomer = node.attach()
    with pytest.raises(NotLive):
        await node.provider.subscribe(newcomer.id, "a")
    await end_outage(node)
    assert newcomer.resyncs == [["a"]]


async def test_leaving_in_an_outage_that_lost_nothing_is_forgotten(world: World) -> None:
    node = await world.node(FakeBroker(world.network, kept=True))
    socket = await node.join("a")
    await node.join("a")
    await begin_outage(node)
    await node.provider.unsubscribe(socket.id, "a")
    await end_outage(node)
    await pass_time(60)
    for socket_id in node.provider.node.fanout.sockets:  # type: ignore[union-attr]
        await node.provider.unsubscribe(socket_id, "a")
    await pass_time(60)
    await node.provider.subscribe(socket.id, "a")  # anew: nothing was lost of it
    await pass_time(1)
    assert socket.resyncs == []


async def test_a_refused_topic_is_told_at_once_and_again_when_it_is_back(world: World) -> None:
    node = await world.node()
    refused, other = await node.join("a"), await node.join("b")
    world.network.forbidden["a"] = "no longer yours"
    await begin_outage(node)
    await end_outage(node)
    assert (refused.resyncs, other.resyncs) == ([["a"]], [["b"]])
    await pass_time(29)
    world.network.forbidden.clear()
    await pass_time(2)
    assert (refused.resyncs, other.resyncs) == ([["a"], ["a"]], [["b"]])


async def test_what_was_kept_and_is_lost_before_it_is_back_is_told(world: World) -> None:
    """The session that kept it ends before its topics are live; the next has kept nothing."""
    node = await world.node(FakeBroker(world.network, kept=True))
    socket = await node.join("a")
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)
    newcomer = node.attach()
    node.broker.kept = False
    node.broker.cut()
    await pass_time(1)
    node.broker.subscribing.open()
    await node.provider.subscribe(newcomer.id, "a")
    await settle()
    assert socket.resyncs == [["a"]]


async def test_what_was_kept_twice_is_told_to_nobody(world: World) -> None:
    node = await world.node(FakeBroker(world.network, kept=True))
    other = await world.node()
    socket = await node.join("a")
    node.broker.subscribing.shut()
    for number in range(3):
        node.broker.cut()
        await other.provider.publish("a", str(number))
        await pass_time(1)
    node.broker.subscribing.open()
    await pass_time(1)
    assert socket.messages == ["0", "1", "2"]
    assert socket.resyncs == []


async def test_a_newcomer_to_what_was_kept_and_then_lost_is_not_told(world: World) -> None:
    node = await world.node(FakeBroker(world.network, kept=True), subscribe_timeout_s=60.0)
    await node.join("a")
    newcomer = node.attach()
    async with anyio.create_task_group() as tasks:
        node.broker.subscribing.shut()
        node.broker.cut()
        await pass_time(1)
        tasks.start_soon(node.provider.subscribe, newcomer.id, "a")
        await settle()
        node.broker.kept = False
        node.broker.cut()
        await pass_time(1)
        node.broker.subscribing.open()
    await settle()
    assert [resync for resync in newcomer.resyncs if resync] == []


async def test_a_gap_in_what_is_kept_and_not_back_is_told_when_it_is(world: World) -> None:
    node = await world.node(FakeBroker(world.network, kept=True))
    socket, other = await node.join("a"), await node.join("b")
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)
    node.broker.inboxes[-1].gap(["a"])
    await settle()
    assert socket.resyncs == []
    node.broker.subscribing.open()
    await pass_time(1)
    assert (socket.resyncs, other.resyncs) == ([["a"]], [])


@pytest.mark.parametrize("channel", ["__broadcast__", "its own"])
async def test_a_gap_of_broadcasts_or_direct_messages_is_told_to_all(world: World, channel: str) -> None:
    node = await world.node()
    a, none = await node.join("a"), node.attach()
    run = node.provider.node
    assert run is not None
    node.broker.inboxes[-1].gap([channel if channel[0] == "_" else run.probe_channel or ""])
    await settle()
    assert (a.resyncs, none.resyncs) == ([[]], [[]])


async def test_who_left_what_was_kept_and_comes_back_after_it_is_told_nothing(world: World) -> None:
    node = await world.node(FakeBroker(world.network, kept=True))
    socket, holder = await node.join("a", "b"), await node.join("a")
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)
    await node.provider.unsubscribe(socket.id, "a")
    node.broker.subscribing.open()
    await settle()
    await node.provider.subscribe(socket.id, "a")
    await pass_time(1)
    assert (socket.resyncs, holder.resyncs) == ([], [])
