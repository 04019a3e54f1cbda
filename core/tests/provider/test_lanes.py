"""Lanes: each has a probe of its own, and a topic that changes its lane keeps its order."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
import pytest

from clocks import settle
from provider.world import NodeUnderTest, World, begin_outage, end_outage, pass_time
from wigwag.broker import Capabilities
from wigwag.errors import NotAccepted
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio

LANES = 4


def lane_of(topic: str) -> int:
    return sum(map(ord, topic)) % LANES


def probed(node: NodeUnderTest) -> set[int]:
    return {
        lane_of(topic)
        for batch in node.broker.called("publish")
        for topic, _ in batch
        if topic.startswith("__node__")
    }


class Keeping(FakeBroker):
    capabilities = Capabilities(keeps_messages=True)


def topic_in(lane: int) -> str:
    return next(topic for topic in "abcdefgh" if lane_of(topic) == lane)


async def partitioned(world: World, **settings: float) -> NodeUnderTest:
    return await world.node(FakeBroker(world.network, lane=lane_of), **settings)


async def test_each_lane_that_is_in_use_is_probed_and_no_other(world: World) -> None:
    node = await partitioned(world, probe_interval_s=1.0)
    run = node.provider.node
    assert run is not None
    home = {lane_of(run.probe_channel or ""), lane_of("__broadcast__")}
    await pass_time(3)
    assert probed(node) == home
    joined, published, *_ = (lane for lane in range(LANES) if lane not in home)
    await node.join(topic_in(joined))
    await node.provider.publish(topic_in(published), "x")
    await pass_time(3)
    assert probed(node) == {*home, joined, published}
    assert len(node.broker.inboxes) == 1


async def test_a_lane_of_a_log_that_is_only_published_to_is_not_probed(world: World) -> None:
    """What it took is heard; and a probe would have this node read what nobody here listens to."""
    node = await world.node(Keeping(world.network, lane=lane_of), probe_interval_s=1.0)
    run = node.provider.node
    assert run is not None
    home = {lane_of(run.probe_channel or ""), lane_of("__broadcast__")}
    for lane in range(LANES):
        await node.provider.publish(topic_in(lane), "x")
    await pass_time(3)
    assert probed(node) == home


@pytest.mark.parametrize("lane", range(LANES))
async def test_one_deaf_lane_ends_the_session_though_the_others_bring_messages(
    world: World, lane: int
) -> None:
    node = await partitioned(world, probe_interval_s=1.0, probe_timeout_s=5.0, probe_limit_s=60.0)
    sockets = [await node.join(topic_in(each)) for each in range(LANES)]
    await pass_time(2)
    node.broker.is_deaf_to = lambda topic: lane_of(topic) == lane
    for _ in range(8):
        for each in range(LANES):
            await node.provider.publish(topic_in(each), "x")
        await pass_time(1)
    assert len(node.broker.inboxes) > 1
    assert [bool(socket.messages) for socket in sockets] == [each != lane for each in range(LANES)]


async def test_what_comes_in_on_a_lane_shows_that_it_lives(world: World) -> None:
    node = await partitioned(world, probe_interval_s=1.0, probe_timeout_s=5.0, probe_limit_s=60.0)
    await node.join(*map(topic_in, range(LANES)))
    await pass_time(2)
    node.broker.is_deaf_to = lambda topic: topic.startswith("__node__")
    for _ in range(12):
        for each in range(LANES):
            await node.provider.publish(topic_in(each), "x")
        await pass_time(1)
    assert len(node.broker.inboxes) == 1


async def test_probes_are_of_their_session(world: World) -> None:
    node = await partitioned(world, probe_interval_s=1.0)
    await node.join(*map(topic_in, range(LANES)))
    for _ in range(3):
        await begin_outage(node)
        await end_outage(node)
    await pass_time(3)
    own = [topic for topic in node.broker.topics if topic.startswith("__")]
    assert len(own) == LANES + 1  # one to hear itself in each, and broadcasts
    assert node.provider.node is not None
    assert node.provider.node.is_up


async def test_a_gap_of_a_lanes_probes_is_none(world: World) -> None:
    node = await partitioned(world)
    socket = await node.join(*map(topic_in, range(LANES)))
    run = node.provider.node
    assert run is not None
    probes = [topic for topic in node.broker.topics if topic.startswith(f"{run.probe_channel}:")]
    assert len(probes) == LANES - 1
    node.broker.inboxes[-1].gap(probes)
    await pass_time(1)
    assert socket.resyncs == []


async def test_a_lane_without_a_channel_of_ours_is_said_and_not_looked_for_for_ever(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A lane for each topic: what a plugin's author may think of."""
    node = await world.node(FakeBroker(world.network, lane=lambda topic: topic))
    with caplog.at_level(logging.WARNING):
        socket = await node.join(*(f"t{n}" for n in range(1000)))
    await node.provider.publish("t7", "x")
    await settle()
    assert socket.messages == ["x"]
    assert 1 <= caplog.text.count("is not probed") <= 16


def halves(topic: str) -> int:
    return lane_of(topic) // 2 * 10


@pytest.mark.parametrize(("before", "after"), [(lane_of, halves), (halves, lane_of)], ids=["join", "split"])
async def test_messages_that_wait_keep_their_order_when_their_lanes_change(
    world: World, before: Callable[[str], int], after: Callable[[str], int]
) -> None:
    node, other = await world.node(FakeBroker(world.network, lane=before)), await world.node()
    topics = [topic_in(lane) for lane in range(LANES)]
    socket = await other.join(*topics)
    await begin_outage(node)
    async with anyio.create_task_group() as tasks:

        async def publish(number: int) -> None:
            for topic in topics:
                tasks.start_soon(node.provider.publish, topic, f"{topic}{number}")
            await settle()

        for number in range(3):
            await publish(number)
            await pass_time(0.6)  # so that each is in a batch of its own
        node.broker.lane_of = after  # with the new session
        await end_outage(node)
        await publish(3)
    for topic in topics:
        got = [message for message in socket.messages if isinstance(message, str) and message[0] == topic]
        assert got == [f"{topic}{number}" for number in range(4)]
    assert not node.broker.violations


async def test_later_messages_wait_for_those_of_a_lane_that_is_no_more(world: World) -> None:
    node, other = await partitioned(world), await world.node()
    socket = await other.join("a")
    await begin_outage(node)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.publish, "a", "first")
        await settle()
        node.broker.lane_of = lambda _: "new"
        node.broker.publishing.shut()
        await end_outage(node)
        tasks.start_soon(node.provider.publish, "a", "second")
        await settle()
        node.broker.publishing.open()
    assert socket.messages == ["first", "second"]


async def test_what_was_queued_before_the_limit_was_known_is_refused_by_it(world: World) -> None:
    broker = FakeBroker(world.network, max_payload_bytes=200)
    broker.connecting.shut()
    node, other = world.make(broker), await world.node()
    socket = await other.join("room")
    refused: list[str] = []
    async with node.provider, anyio.create_task_group() as tasks:

        async def publish(text: str) -> None:
            try:
                await node.provider.publish("room", text)
            except NotAccepted as exc:
                refused.append(str(exc))

        for text in ("a", "x" * 1000, "b"):
            tasks.start_soon(publish, text)
            await settle()
        broker.connecting.open()
    assert socket.messages == ["a", "b"]
    assert len(refused) == 1
    assert "at most 200" in refused[0]


async def test_a_refusal_in_what_waited_is_told_to_whom_it_concerns(world: World) -> None:
    node = await partitioned(world)
    await begin_outage(node)
    refused: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def publish(text: str) -> None:
            try:
                await node.provider.publish("a", text)
            except NotAccepted:
                refused.append(text)

        for text in ("1", "2", "3"):
            tasks.start_soon(publish, text)
            await settle()
        node.broker.lane_of = lambda _: "new"
        node.broker.refuse_indices = {1: "no"}
        await end_outage(node)
    assert refused == ["2"]
