"""``await subscribe()`` means live: RACES rows 1 to 5."""

from __future__ import annotations

import anyio
import pytest

from clocks import settle
from provider.world import World, pass_time
from wigwag.broker import BrokerLost
from wigwag.errors import InvalidSocketId, InvalidTopic, NotConnected, NotLive
from wigwag.testing import FakeSocket

pytestmark = pytest.mark.anyio


async def test_subscribe_returns_when_the_broker_has_confirmed_and_not_before(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:
        returned = anyio.Event()

        async def subscribe() -> None:
            await node.provider.subscribe(socket.id, "room")
            returned.set()

        tasks.start_soon(subscribe)
        await settle()
        assert not returned.is_set()
        node.broker.subscribing.open()
        await settle()
        assert returned.is_set()


async def test_what_is_published_after_subscribe_returned_is_delivered(world: World) -> None:
    node, other = await world.node(), await world.node()
    for number in range(100):
        socket = await node.join(f"room:{number}")
        await other.provider.publish(f"room:{number}", "first")
        assert socket.messages == ["first"]


async def test_the_second_subscriber_waits_for_the_first_ones_confirmation(world: World) -> None:
    node, other = await world.node(), await world.node()
    sockets = [node.attach() for _ in range(5)]
    node.broker.subscribing.shut()
    returned: list[str] = []

    async def subscribe_and_hear(socket: FakeSocket) -> None:
        await node.provider.subscribe(socket.id, "room")
        returned.append(socket.id)
        await other.provider.publish("room", f"after {socket.id}")

    async with anyio.create_task_group() as tasks:
        for socket in sockets:
            tasks.start_soon(subscribe_and_hear, socket)
            await settle()
        assert returned == []
        node.broker.subscribing.open()
    for socket in sockets:
        assert f"after {socket.id}" in socket.messages
    joins = [call for call in node.broker.called("subscribe") if "room" in call]
    assert len(joins) == 1


async def test_a_subscriber_of_a_live_topic_does_not_wait(world: World) -> None:
    node = await world.node()
    await node.join("room")
    node.broker.subscribing.shut()
    await node.join("room")
    assert node.broker.subscribing.held == 0


async def test_subscribing_twice_counts_once(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = await node.join("room", "room")
    await node.provider.subscribe(socket.id, "room")
    assert node.provider.topic_subscriber_count("room") == 1
    await other.provider.publish("room", "one")
    assert socket.messages == ["one"]
    await node.provider.unsubscribe(socket.id, "room")
    assert node.provider.topic_subscriber_count("room") == 0


async def test_the_same_pair_may_be_waited_for_twice_and_giving_up_one_leaves_the_other(
    world: World,
) -> None:
    node, other = await world.node(), await world.node()
    socket = node.attach()
    node.broker.subscribing.shut()
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await node.provider.subscribe(socket.id, "room")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        tasks.start_soon(node.provider.subscribe, socket.id, "room")
        await settle()
        scope.cancel()
        await settle()
        node.broker.subscribing.open()
    await other.provider.publish("room", "x")
    assert socket.messages == ["x"]


async def test_joins_go_in_batches(world: World) -> None:
    node = await world.node()
    socket = await node.join(*(f"t:{n}" for n in range(1200)))
    sizes = [len(call) for call in node.broker.called("subscribe")[1:]]
    assert sizes == [500, 500, 200]
    assert len(node.provider.topics_of(socket.id)) == 1200


async def test_not_live_keeps_the_wish_and_the_socket_is_told_when_it_is(world: World) -> None:
    node, other = await world.node(subscribe_timeout_s=5.0), await world.node()
    socket = node.attach()
    node.broker.subscribing.shut()
    with pytest.raises(NotLive, match=r"'room' was not live within 5 s; the broker link is up") as got:
        await node.provider.subscribe(socket.id, "room")
    assert got.value.topic == "room"
    assert list(node.provider.topics_of(socket.id)) == ["room"]
    assert socket.resyncs == []
    node.broker.subscribing.open()
    await settle()
    assert socket.resyncs == [["room"]]
    await other.provider.publish("room", "x")
    assert socket.messages == ["x"]


async def test_a_cancelled_subscribe_keeps_the_wish_and_the_socket_is_told(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = node.attach()
    node.broker.subscribing.shut()
    with anyio.move_on_after(1):
        await node.provider.subscribe(socket.id, "room")
    assert list(node.provider.topics_of(socket.id)) == ["room"]
    node.broker.subscribing.open()
    await settle()
    assert socket.resyncs == [["room"]]
    await other.provider.publish("room", "x")
    assert socket.messages == ["x"]


async def test_a_subscriber_who_did_wait_is_told_nothing(world: World) -> None:
    node = await world.node()
    node.broker.subscribing.shut()
    socket, patient = node.attach(), node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, patient.id, "room")
        with anyio.move_on_after(1):
            await node.provider.subscribe(socket.id, "room")
        node.broker.subscribing.open()
    await settle()
    assert (socket.resyncs, patient.resyncs) == ([["room"]], [])


async def test_a_socket_that_is_not_attached_cannot_subscribe(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    node.provider.detach(socket.id)
    with pytest.raises(NotConnected):
        await node.provider.subscribe(socket.id, "room")
    await node.provider.unsubscribe(socket.id, "room")  # no error
    assert node.provider.topic_subscriber_count("room") == 0


@pytest.mark.parametrize("topic", ["", "x" * 257, "a b", "ä", "__broadcast__", "__node__:00000000"])
async def test_an_unusable_topic_subscribes_nothing(world: World, topic: str) -> None:
    node = await world.node()
    socket = node.attach()
    with pytest.raises(InvalidTopic):
        await node.provider.subscribe(socket.id, "room", topic)
    with pytest.raises(InvalidTopic):
        await node.provider.unsubscribe(socket.id, topic)
    assert not node.provider.topics_of(socket.id)


async def test_a_malformed_socket_id_is_refused(world: World) -> None:
    node = await world.node()
    for bad in ("", "x", "00000000-0000-0000-0000-000000000000", node.attach().id.upper()):
        with pytest.raises(InvalidSocketId):
            await node.provider.subscribe(bad, "room")
        with pytest.raises(InvalidSocketId):
            await node.provider.unsubscribe(bad, "room")
        with pytest.raises(InvalidSocketId):
            node.provider.detach(bad)
        with pytest.raises(InvalidSocketId):
            node.provider.is_connected(bad)


async def test_subscribing_to_nothing_is_nothing(world: World) -> None:
    node = await world.node()
    socket = await node.join()
    assert not node.provider.topics_of(socket.id)


async def test_subscribed_while_the_broker_is_down_live_when_it_is_back(world: World) -> None:
    world.network.stop()
    node, other = await world.node(), await world.node()
    socket = node.attach()
    with pytest.raises(NotLive, match=r"the broker link is down \(the network is down\)"):
        await node.provider.subscribe(socket.id, "room")
    world.network.start()
    await pass_time(6)  # the longest backoff, and a little
    assert socket.resyncs == [["room"]]
    await other.provider.publish("room", "x")
    assert socket.messages == ["x"]


async def test_a_topic_that_was_live_is_waited_for_in_an_outage(world: World) -> None:
    node, other = await world.node(), await world.node()
    await node.join("room")
    node.broker.connecting.shut()
    node.broker.cut()
    await pass_time(1)
    socket = node.attach()
    with pytest.raises(NotLive):
        await node.provider.subscribe(socket.id, "room")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, socket.id, "room")
        await settle()
        node.broker.connecting.open()
    await other.provider.publish("room", "x")
    assert socket.messages == ["x"]


async def test_a_subscribe_call_that_fails_ends_the_session_and_the_topic_is_live_in_the_next(
    world: World,
) -> None:
    node, other = await world.node(), await world.node()
    socket = node.attach()
    node.broker.subscribing.fail(BrokerLost("it broke"))
    await node.provider.subscribe(socket.id, "room")
    assert len(node.broker.inboxes) == 2
    await other.provider.publish("room", "x")
    assert socket.messages == ["x"]


async def test_a_subscribe_that_is_never_confirmed_ends_the_session(world: World) -> None:
    node = await world.node(session_timeout_s=10.0, subscribe_timeout_s=30.0)
    socket = node.attach()
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, socket.id, "room")
        await pass_time(10.5)
        assert len(node.broker.inboxes) == 2
        node.broker.subscribing.open()
    assert "room" in node.broker.topics
