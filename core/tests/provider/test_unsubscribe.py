"""Leaving a topic, and coming back: RACES row 1."""

from __future__ import annotations

import anyio
import pytest

from clocks import settle
from provider.world import World, pass_time
from wigwag.errors import NotConnected, Unsubscribed

pytestmark = pytest.mark.anyio


async def test_the_last_leaver_against_a_new_joiner_ends_live(world: World) -> None:
    """The unsubscribe is under way, unconfirmed, when somebody comes."""
    node, other = await world.node(), await world.node()
    leaver = await node.join("room")
    node.broker.unsubscribing.shut()
    await node.provider.unsubscribe(leaver.id, "room")
    await pass_time(1)
    assert node.broker.unsubscribing.held == 1
    joiner = node.attach()
    returned = anyio.Event()

    async def subscribe() -> None:
        await node.provider.subscribe(joiner.id, "room")
        returned.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscribe)
        await settle()
        assert not returned.is_set()
        node.broker.unsubscribing.open()
    await other.provider.publish("room", "here")
    assert joiner.messages == ["here"]
    assert leaver.messages == []


async def test_five_fold_churn_still_gives_one_copy(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = node.attach()
    for _ in range(5):
        await node.provider.subscribe(socket.id, "room")
        await node.provider.unsubscribe(socket.id, "room")
        await pass_time(0.1)
    await node.provider.subscribe(socket.id, "room")
    await other.provider.publish("room", "one")
    assert socket.messages == ["one"]


async def test_a_topic_lingers_for_who_comes_back(world: World) -> None:
    node = await world.node(linger_s=2.0)
    socket = await node.join("room")
    await node.provider.unsubscribe(socket.id, "room")
    await pass_time(1.9)
    node.broker.subscribing.shut()
    await node.provider.subscribe(socket.id, "room")  # at once: it is live still
    await pass_time(10)
    assert node.broker.called("unsubscribe") == []
    await node.provider.unsubscribe(socket.id, "room")
    await pass_time(1.9)
    assert node.broker.called("unsubscribe") == []
    await pass_time(0.2)
    assert node.broker.called("unsubscribe") == [("room",)]
    assert "room" not in node.broker.topics


async def test_what_was_wanted_only_while_its_join_was_under_way_is_left_again(world: World) -> None:
    node = await world.node(linger_s=2.0)
    socket = node.attach()
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, socket.id, "room")
        await settle()
        tasks.cancel_scope.cancel()
    await node.provider.unsubscribe(socket.id, "room")
    node.broker.subscribing.open()
    await settle()
    assert "room" in node.broker.topics
    await pass_time(3)
    assert "room" not in node.broker.topics


async def test_unsubscribed_while_it_waits(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:

        async def subscribe() -> None:
            with pytest.raises(Unsubscribed) as got:
                await node.provider.subscribe(socket.id, "room")
            assert got.value.topic == "room"

        tasks.start_soon(subscribe)
        await settle()
        await node.provider.unsubscribe(socket.id, "room")


async def test_the_socket_goes_while_it_waits(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:

        async def subscribe() -> None:
            with pytest.raises(NotConnected):
                await node.provider.subscribe(socket.id, "a", "b")

        tasks.start_soon(subscribe)
        await settle()
        node.provider.detach(socket.id)
    assert node.provider.topic_subscriber_count("a") == 0
    assert node.provider.topic_subscriber_count("b") == 0
    node.broker.subscribing.open()
    await settle()
    assert socket.resyncs == []
    assert {"a", "b"}.isdisjoint(node.broker.topics)


async def test_exactly_the_desired_set_is_live_after_a_cut_amid_joins_and_leaves(world: World) -> None:
    node, other = await world.node(), await world.node()
    stays, leaves, comes = node.attach(), node.attach(), node.attach()
    await node.provider.subscribe(stays.id, "a", "b")
    await node.provider.subscribe(leaves.id, "b", "c")
    node.broker.subscribing.shut()
    node.broker.unsubscribing.shut()
    async with anyio.create_task_group() as tasks:
        await node.provider.unsubscribe(leaves.id, "b", "c")
        tasks.start_soon(node.provider.subscribe, comes.id, "d", "a")
        await settle()
        node.broker.cut()
        await settle()
        await node.provider.unsubscribe(stays.id, "b")
        node.broker.subscribing.open()
        node.broker.unsubscribing.open()
    await pass_time(1)
    own = {"__broadcast__", f"__node__:{stays.id[:8]}"}
    assert set(node.broker.topics) == {"a", "d"} | own
    for topic in ("a", "b", "c", "d"):
        await other.provider.publish(topic, topic)
    assert (stays.messages, leaves.messages, comes.messages) == (["a"], [], ["d", "a"][::-1])
