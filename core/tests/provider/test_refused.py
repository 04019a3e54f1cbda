"""Topics that the broker forbids: the caller is told, the wish stands, and it is tried again."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from clocks import settle
from provider.world import NodeUnderTest, World, pass_time
from wigwag.broker import Refused
from wigwag.errors import TopicRefused
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


def asked(node: NodeUnderTest, topic: str) -> int:
    return sum(topic in call for call in node.broker.called("subscribe"))


@pytest.mark.parametrize("whole", [False, True], ids=["by name", "the whole call"])
async def test_a_forbidden_topic_is_an_error_and_the_others_are_live(world: World, whole: bool) -> None:
    node, other = await world.node(), await world.node()
    world.network.forbidden["secret"] = "not for you"
    world.network.refuses_whole_calls = whole
    socket = node.attach()
    with pytest.raises(TopicRefused, match="refuses topic 'secret'") as got:
        await node.provider.subscribe(socket.id, "a", "secret", "b")
    assert got.value.topic == "secret"
    assert ("not for you" in str(got.value)) is not whole
    for topic in ("a", "b", "secret"):
        await other.provider.publish(topic, topic)
    assert socket.messages == ["a", "b"]
    assert node.broker.is_up
    assert len(node.broker.inboxes) == 1


async def test_one_topic_alone_that_is_refused_whole_is_not_asked_for_ever(world: World) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "no"
    world.network.refuses_whole_calls = True
    with pytest.raises(TopicRefused):
        await node.join("secret")
    await settle()
    assert asked(node, "secret") == 1


async def test_who_comes_while_it_is_refused_is_told_at_once(world: World) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "no"
    for _ in range(3):
        with pytest.raises(TopicRefused):
            await node.join("secret")
    assert asked(node, "secret") == 1


async def test_each_of_those_who_wait_is_told(world: World) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "no"
    node.broker.subscribing.shut()
    refusals: list[str] = []

    async def subscribe() -> None:
        try:
            await node.join("secret")
        except TopicRefused as exc:
            refusals.append(exc.topic)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(subscribe)
        await settle()
        node.broker.subscribing.open()
    assert refusals == ["secret"] * 3


async def test_it_is_tried_again_every_30_s_and_the_socket_is_told_when_it_is_live(world: World) -> None:
    node, other = await world.node(), await world.node()
    world.network.forbidden["secret"] = "no"
    socket = node.attach()
    with pytest.raises(TopicRefused):
        await node.provider.subscribe(socket.id, "secret")
    assert list(node.provider.topics_of(socket.id)) == ["secret"]
    await pass_time(29)
    assert asked(node, "secret") == 1
    await pass_time(2)
    assert asked(node, "secret") == 2
    await pass_time(30)
    assert asked(node, "secret") == 3
    assert socket.frames == []
    world.network.forbidden.clear()
    await pass_time(30)
    assert socket.resyncs == [["secret"]]
    await other.provider.publish("secret", "x")
    assert socket.messages == ["x"]
    await pass_time(60)
    assert asked(node, "secret") == 4


async def test_it_is_tried_again_in_each_session(world: World) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "no"
    socket = node.attach()
    with pytest.raises(TopicRefused):
        await node.provider.subscribe(socket.id, "secret")
    world.network.forbidden.clear()
    node.broker.cut()
    await pass_time(1)
    assert "secret" in node.broker.topics
    assert socket.resyncs == [["secret"]]


async def test_nobody_wants_it_any_more_so_it_is_not_tried_again(world: World) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "no"
    socket = node.attach()
    with pytest.raises(TopicRefused):
        await node.provider.subscribe(socket.id, "secret")
    await node.provider.unsubscribe(socket.id, "secret")
    await pass_time(100)
    assert asked(node, "secret") == 1


async def test_it_is_refused_when_nobody_wants_it_any_more(world: World) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "no"
    node.broker.subscribing.shut()
    socket = node.attach()
    with anyio.move_on_after(0.1):
        await node.provider.subscribe(socket.id, "secret")
    await node.provider.unsubscribe(socket.id, "secret")
    node.broker.subscribing.open()
    await pass_time(100)
    assert asked(node, "secret") == 1


async def test_asking_one_by_one_may_take_longer_than_one_call(world: World) -> None:
    """Each call has its limit; 500 calls do not share one."""

    class Far(FakeBroker):
        async def subscribe(self, topics: Sequence[str]) -> None:
            await anyio.sleep(0.1)
            await super().subscribe(topics)

    node = await world.node(Far(world.network), session_timeout_s=10.0, subscribe_timeout_s=100.0)
    await pass_time(1)
    world.network.forbidden["t:7"] = "no"
    world.network.refuses_whole_calls = True
    socket = node.attach()
    with pytest.raises(TopicRefused):
        await node.provider.subscribe(socket.id, *(f"t:{number}" for number in range(300)))
    assert len(node.broker.inboxes) == 1
    assert len([topic for topic in node.broker.topics if topic.startswith("t:")]) == 299


async def test_a_cut_while_asking_one_by_one(world: World) -> None:
    node = await world.node()
    world.network.forbidden["t:7"] = "no"
    world.network.refuses_whole_calls = True
    socket = node.attach()
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:

        async def subscribe() -> None:
            with pytest.raises(TopicRefused):
                await node.provider.subscribe(socket.id, *(f"t:{number}" for number in range(20)))

        tasks.start_soon(subscribe)
        await settle()
        node.broker.subscribing.release()
        await settle()
        node.broker.subscribing.release()
        await settle()
        node.broker.cut()
        await pass_time(1)
        node.broker.subscribing.open()
    assert len([topic for topic in node.broker.topics if topic.startswith("t:")]) == 19


async def test_a_refused_unsubscribe_is_logged_and_no_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    node = await world.node()
    socket = await node.join("a")
    node.broker.unsubscribing.fail(Refused(None))
    await node.provider.unsubscribe(socket.id, "a")
    await settle()
    assert "refused to unsubscribe from 1 topics" in caplog.text
    assert len(node.broker.inboxes) == 1


async def test_a_refusal_is_logged_with_its_reason(world: World, caplog: pytest.LogCaptureFixture) -> None:
    node = await world.node()
    world.network.forbidden["secret"] = "by the ACL"
    with pytest.raises(TopicRefused):
        await node.join("secret")
    assert "refuses topic 'secret': by the ACL" in caplog.text
