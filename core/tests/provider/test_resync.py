"""Loss is never silent: who is told by ``wigwag.resync``, of what, and when (CORE.md, Resync)."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from clocks import settle
from provider.world import World, begin_outage, end_outage, pass_time
from wigwag.errors import NotLive
from wigwag.testing import FakeBroker, FakeSocket

pytestmark = pytest.mark.anyio


async def test_each_socket_is_told_once_of_its_topics_and_the_topicless_of_none(world: World) -> None:
    node = await world.node()
    both, one, none = await node.join("a", "b"), await node.join("a"), node.attach()
    await begin_outage(node)
    await end_outage(node)
    assert both.resyncs == [["a", "b"]]
    assert one.resyncs == [["a"]]
    assert none.resyncs == [[]]
    assert node.provider.counters.resyncs == 3
    await pass_time(60)
    assert (len(both.frames), len(one.frames), len(none.frames)) == (1, 1, 1)


async def test_the_event_says_the_topics_and_over_what_time_to_refetch(world: World) -> None:
    node = await world.node()
    sockets = [await node.join("a") for _ in range(40)]
    await begin_outage(node)
    await end_outage(node)
    event = msgspec.json.decode(sockets[0].frames[0].payload)
    assert event["name"] == "wigwag.resync"
    assert event["data"] == {"topics": ["a"], "spreadMs": 40}
    assert sockets[0].frames[0].topic is None  # never dropped by a slow socket's policy


async def test_a_great_many_sockets_are_all_told_and_others_run_meanwhile(world: World) -> None:
    node = await world.node()
    sockets = [await node.join("a") for _ in range(1000)]
    await begin_outage(node)
    await end_outage(node)
    assert all(socket.resyncs == [["a"]] for socket in sockets)


async def test_nobody_is_told_at_the_loss_and_none_before_every_lost_topic_is_live(world: World) -> None:
    """Told earlier, a client refetches, and then loses what is published until its topic is back."""
    node, other = await world.node(), await world.node()
    socket = await node.join(*(f"t:{n}" for n in range(900)))
    bystander = await node.join("t:0")
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)
    assert socket.frames == []
    node.broker.subscribing.release()  # the first 500
    await settle()
    assert (socket.frames, bystander.frames) == ([], [])
    await other.provider.publish("t:899", "lost")
    node.broker.subscribing.open()
    await settle()
    assert socket.messages == []
    assert len(socket.resyncs) == 1
    assert "t:899" in socket.resyncs[0]
    assert bystander.resyncs == [["t:0"]]


async def test_telling_does_not_starve_under_steady_joins(world: World) -> None:
    node = await world.node()
    socket = await node.join("a")
    await begin_outage(node)
    node.broker.subscribing.shut()
    await end_outage(node)
    newcomer = node.attach()
    async with anyio.create_task_group() as tasks:
        for number in range(3):  # there is always another join to be made
            tasks.start_soon(node.provider.subscribe, newcomer.id, f"new:{number}")
            await settle()
            node.broker.subscribing.release()
            await settle()
        assert socket.resyncs == [["a"]]
        assert node.broker.subscribing.held == 1
        node.broker.subscribing.open()


async def test_a_newcomer_who_waits_is_not_told(world: World) -> None:
    node = await world.node()
    old = await node.join("a")
    await begin_outage(node)
    newcomer = node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, newcomer.id, "a")
        await settle()
        await end_outage(node)
    assert old.resyncs == [["a"]]
    assert newcomer.resyncs == [[]]  # that broadcasts were lost since it attached, and no more


async def test_a_newcomer_who_gave_up_is_told(world: World) -> None:
    node = await world.node(subscribe_timeout_s=1.0)
    await node.join("a")
    await begin_outage(node)
    newcomer = node.attach()
    with pytest.raises(NotLive):
        await node.provider.subscribe(newcomer.id, "a")
    await end_outage(node)
    assert newcomer.resyncs == [["a"]]


@pytest.mark.parametrize("stays", [False, True], ids=["alone", "others stay"])
async def test_a_re_joiner_is_told(world: World, stays: bool) -> None:
    node = await world.node()
    socket = await node.join("a")
    if stays:
        await node.join("a")
    await begin_outage(node)
    await node.provider.unsubscribe(socket.id, "a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, socket.id, "a")
        await settle()
        await end_outage(node)
    assert socket.resyncs == [["a"]]


async def test_who_left_in_an_outage_and_comes_back_long_after_it_is_told_nothing(world: World) -> None:
    node = await world.node()
    socket = await node.join("a")
    await begin_outage(node)
    await node.provider.unsubscribe(socket.id, "a")
    await end_outage(node)
    assert socket.resyncs == [[]]
    await pass_time(60)
    await node.provider.subscribe(socket.id, "a")
    await settle()
    assert socket.resyncs == [[]]


async def test_who_was_a_newcomer_is_one_still_when_it_leaves_and_comes_back(world: World) -> None:
    node = await world.node()
    await node.join("a")
    await begin_outage(node)
    newcomer = node.attach()
    with anyio.move_on_after(0):
        await node.provider.subscribe(newcomer.id, "a")
    await node.provider.unsubscribe(newcomer.id, "a")
    other = node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, other.id, "a")
        await settle()
        await node.provider.unsubscribe(other.id, "b")
        await end_outage(node)
    assert other.resyncs == [[]]


async def test_who_has_left_is_not_told_of_the_topic(world: World) -> None:
    node = await world.node()
    socket, other = await node.join("a", "b"), await node.join("a")
    await begin_outage(node)
    await node.provider.unsubscribe(socket.id, "a")
    await end_outage(node)
    assert (socket.resyncs, other.resyncs) == ([["b"]], [["a"]])


async def test_a_lost_topic_that_its_last_socket_left_is_not_waited_for(world: World) -> None:
    node = await world.node()
    leaver, socket = await node.join("gone"), await node.join("a")
    await begin_outage(node)
    await node.provider.unsubscribe(leaver.id, "gone")
    await end_outage(node)
    assert socket.resyncs == [["a"]]
    assert leaver.resyncs == [[]]
    assert "gone" not in node.broker.topics


async def test_a_socket_that_went_meanwhile_is_not_told(world: World) -> None:
    node = await world.node()
    gone, socket = await node.join("a"), await node.join("a")
    await begin_outage(node)
    node.provider.detach(gone.id)
    await end_outage(node)
    assert (gone.frames, socket.resyncs) == ([], [["a"]])


async def test_a_second_loss_before_the_telling_neither_forgets_the_first_nor_tells_twice(
    world: World,
) -> None:
    node = await world.node()
    many = [f"t:{n}" for n in range(498)]  # with the node's own channels: one batch
    socket = await node.join(*many)
    late = await node.join("late")
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)
    node.broker.subscribing.release()  # all but "late" are live again
    await settle()
    node.broker.cut()
    await pass_time(1)
    assert (socket.frames, late.frames) == ([], [])
    node.broker.subscribing.open()
    await settle()
    assert socket.resyncs == [sorted(many)]
    assert late.resyncs == [["late"]]


async def test_a_second_loss_after_the_telling_is_told_again(world: World) -> None:
    node = await world.node()
    socket = await node.join("a")
    for count in (1, 2, 3):
        await begin_outage(node)
        await end_outage(node)
        assert socket.resyncs == [["a"]] * count


async def test_who_came_between_two_losses_is_told_of_the_second(world: World) -> None:
    node = await world.node()
    await node.join("a", *(f"t:{n}" for n in range(600)))
    node.broker.subscribing.shut()
    node.broker.cut()
    await pass_time(1)
    newcomer = node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, newcomer.id, "a")
        await settle()
        node.broker.subscribing.release()
    node.broker.cut()  # "a" was live for the newcomer, and is lost
    await pass_time(1)
    node.broker.subscribing.open()
    await settle()
    assert newcomer.resyncs == [["a"]]


async def test_a_link_that_never_was_up_lost_nothing_of_the_topics(world: World) -> None:
    world.network.stop()
    node = await world.node(subscribe_timeout_s=60.0)
    socket = node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, socket.id, "a")
        await pass_time(10)
        world.network.start()
    await settle()
    assert socket.resyncs == [[]]  # broadcasts passed it by


async def test_a_socket_that_attached_while_all_was_well_is_told_nothing(world: World) -> None:
    node = await world.node()
    socket = await node.join("a")
    await pass_time(60)
    assert socket.frames == []


async def test_a_told_socket_that_fails_does_not_keep_the_others_from_being_told(world: World) -> None:
    node = await world.node()

    def explode(_: object) -> None:
        raise RuntimeError("a bad socket")

    bad = await node.join("a")
    bad.on_write = explode
    good = [await node.join("a") for _ in range(3)]
    await begin_outage(node)
    await end_outage(node)
    assert [socket.resyncs for socket in good] == [[["a"]]] * 3


async def test_a_subscribe_while_the_dead_session_is_being_closed_is_told_what_it_missed(
    world: World,
) -> None:
    """Between a link's end and the broker's close, a topic looks live that no longer is."""

    class SlowToClose(FakeBroker):
        async def close(self) -> None:
            await anyio.sleep(1)
            await super().close()

    node, other = await world.node(SlowToClose(world.network)), await world.node()
    await node.join("a")
    socket: FakeSocket = node.attach()
    node.broker.cut()
    await settle()
    await node.provider.subscribe(socket.id, "a")
    await other.provider.publish("a", "lost")
    await pass_time(3)
    assert socket.messages == []
    assert socket.resyncs == [["a"]]
