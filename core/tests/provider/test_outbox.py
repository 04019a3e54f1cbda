"""Publishes on their way to the broker: batches, bounds, and each caller told its fate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest

from clocks import settle
from provider.world import NodeUnderTest, World, pass_time
from wigwag.broker import BrokerLost, Refused
from wigwag.errors import NotAccepted, PublishError, Uncertain
from wigwag.provider.counters import Counters
from wigwag.provider.outbox import BATCH_BYTES, BATCH_MESSAGES, Outbox
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


class Fates:
    """Publishes in the background, and what became of each."""

    def __init__(self, tasks: anyio.abc.TaskGroup, node: NodeUnderTest) -> None:
        self.tasks = tasks
        self.node = node
        self.of: dict[str | bytes, str] = {}
        self.errors: list[PublishError] = []

    async def publish(self, *messages: str | bytes, topic: str = "room") -> None:
        """All in one turn of the loop; return when nothing moves any more."""

        async def one(message: str | bytes) -> None:
            self.of[message] = "waits"
            try:
                await self.node.provider.publish(topic, message)
            except PublishError as exc:
                self.of[message] = type(exc).__name__
                self.errors.append(exc)
            else:
                self.of[message] = "taken"

        for message in messages:
            self.tasks.start_soon(one, message)
        await settle()


@asynccontextmanager
async def fates_of(node: NodeUnderTest) -> AsyncIterator[Fates]:
    """Ends when each has met its own."""
    async with anyio.create_task_group() as tasks:
        yield Fates(tasks, node)


def sent(node: NodeUnderTest) -> list[int]:
    """The sizes of the batches, without probes."""
    batches = node.broker.called("publish")
    return [len(batch) for batch in batches if not str(batch[0][0]).startswith("__node__")]


async def test_what_one_turn_publishes_goes_as_one_batch(world: World) -> None:
    node = await world.node()
    async with fates_of(node) as fates:
        await fates.publish(*map(str, range(100)))
    assert sent(node) == [100]


async def test_what_is_published_while_a_batch_is_in_flight_forms_the_next(world: World) -> None:
    node = await world.node()
    async with fates_of(node) as fates:
        node.broker.confirming.shut()
        await fates.publish("first")
        for text in "abc":
            await fates.publish(text)
        assert sent(node) == [1]
        node.broker.confirming.open()
    assert sent(node) == [1, 3]


async def test_a_batch_is_closed_by_count_and_by_bytes(world: World) -> None:
    node = await world.node()
    async with fates_of(node) as fates:
        node.broker.publishing.shut()
        await fates.publish("first")
        await fates.publish(*map(str, range(BATCH_MESSAGES + 1)))
        half = BATCH_BYTES // 2
        for text in "wxyz":  # the third does not fit the batch that "512" is in
            await fates.publish(text * half)
        node.broker.publishing.open()
    assert sent(node) == [1, BATCH_MESSAGES, 3, 2]


async def test_a_batch_in_flight_when_the_link_dies_is_in_doubt_and_what_is_behind_goes_later(
    world: World,
) -> None:
    node, other = await world.node(), await world.node()
    socket = await other.join("room")
    async with fates_of(node) as fates:
        node.broker.confirming.shut()
        await fates.publish("a", "b")
        await fates.publish("c", "d")
        node.broker.connecting.shut()
        node.broker.cut()
        await settle()
        assert fates.of == {"a": "Uncertain", "b": "Uncertain", "c": "waits", "d": "waits"}
        node.broker.confirming.open()
        await pass_time(1)
        await fates.publish("e")
        node.broker.connecting.open()
    assert fates.of == dict.fromkeys("ab", "Uncertain") | dict.fromkeys("cde", "taken")
    assert "it may have been delivered" in str(fates.errors[0])
    got = [str(message) for message in socket.messages]
    assert (sorted(got[:2]), sorted(got[2:4]), got[4:]) == (["a", "b"], ["c", "d"], ["e"])  # each once


async def test_a_batch_that_was_lost_on_the_way_is_in_doubt_too_and_not_retried(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = await other.join("room")
    async with fates_of(node) as fates:
        node.broker.publishing.shut()
        await fates.publish("a")
        await fates.publish("b")
        node.broker.publishing.fail(BrokerLost("reset by peer"))
        node.broker.publishing.open()
    assert fates.of == {"a": "Uncertain", "b": "taken"}
    assert socket.messages == ["b"]


async def test_what_waits_for_a_link_that_is_down_is_not_accepted_at_its_deadline(world: World) -> None:
    node = await world.node(publish_timeout_s=5.0)
    async with fates_of(node) as fates:
        world.network.stop()
        await settle()
        await fates.publish("a")
        await pass_time(3)
        await fates.publish("b")
        await pass_time(1.9)
        assert fates.of == {"a": "waits", "b": "waits"}
        await pass_time(0.7)
        assert fates.of == {"a": "NotAccepted", "b": "waits"}
        assert "within 5 s; the broker link is down (the network " in str(fates.errors[0])
        await pass_time(3)
        assert fates.of == {"a": "NotAccepted", "b": "NotAccepted"}
    world.network.start()
    await pass_time(6)
    assert "room" not in world.network.messages


async def test_what_waits_goes_when_the_link_is_back_in_time(world: World) -> None:
    world.network.stop()
    node = await world.node(backoff_cap_s=0.5)
    async with fates_of(node) as fates:
        await fates.publish("a", "b")
        world.network.start()
    assert fates.of == {"a": "taken", "b": "taken"}


async def test_what_is_not_confirmed_by_its_deadline_is_in_doubt_but_holds_its_lane(world: World) -> None:
    """The probe decides on the session; a later batch must not overtake."""
    node = await world.node(publish_timeout_s=2.0, probe_timeout_s=20.0)
    async with fates_of(node) as fates:
        node.broker.confirming.shut()
        await fates.publish("a")
        await pass_time(1)
        await fates.publish("b")
        await pass_time(1.3)
        assert fates.of == {"a": "Uncertain", "b": "waits"}
        assert (sent(node), node.broker.is_up) == ([1], True)
        node.broker.confirming.open()
    assert fates.of == {"a": "Uncertain", "b": "taken"}


async def test_it_is_bounded_by_count(world: World) -> None:
    node = await world.node(outbox_messages=3)
    async with fates_of(node) as fates:
        node.broker.confirming.shut()
        await fates.publish("a")
        await fates.publish("b", "c")
        with pytest.raises(NotAccepted, match=r"3 messages .* wait for the broker already"):
            await node.provider.publish("room", "d")
        node.broker.confirming.open()
        await settle()
        await node.provider.publish("room", "d")
    assert fates.of == dict.fromkeys("abc", "taken")


async def test_it_is_bounded_by_bytes(world: World) -> None:
    node = await world.node(outbox_bytes=1000)
    async with fates_of(node) as fates:
        node.broker.confirming.shut()
        await fates.publish("a" * 400)
        await fates.publish("b" * 400)
        with pytest.raises(NotAccepted, match="bytes"):
            await node.provider.publish("room", "d" * 400)
        await fates.publish("small")
        node.broker.confirming.open()
        await settle()
        await node.provider.publish("room", "d" * 400)
    assert set(fates.of.values()) == {"taken"}


async def test_what_expired_makes_room(world: World) -> None:
    node = await world.node(outbox_messages=2, publish_timeout_s=1.0)
    world.network.stop()
    await settle()
    for _ in range(3):
        async with fates_of(node) as fates:
            await fates.publish("a", "b")
        assert fates.of == {"a": "NotAccepted", "b": "NotAccepted"}


async def test_one_refused_message_does_not_cost_the_others(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    node.broker.refuse_indices = {1: "too rude"}
    async with fates_of(node) as fates:
        await fates.publish("a", "b", "c")
    assert sorted(fates.of.values()) == ["NotAccepted", "taken", "taken"]
    assert str(fates.errors[0]) == "the broker refused the message for 'room': too rude"
    assert len(socket.messages) == 2
    assert len(node.broker.inboxes) == 1


async def test_a_refused_batch_is_not_accepted(world: World) -> None:
    node = await world.node()
    async with fates_of(node) as fates:
        node.broker.publishing.fail(Refused(None))
        await fates.publish("a", "b")
    assert fates.of == {"a": "NotAccepted", "b": "NotAccepted"}
    assert node.broker.is_up


async def test_a_cancelled_publish_may_still_go(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    node.broker.publishing.shut()
    with anyio.move_on_after(1) as scope:
        await node.provider.publish("room", "x")
    assert scope.cancelled_caught
    node.broker.publishing.open()
    await settle()
    assert socket.messages == ["x"]


async def test_a_stalled_lane_does_not_hold_up_the_others(world: World) -> None:
    class Partitioned(FakeBroker):
        stalled: str | None = None

        async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
            if messages[0][0] == self.stalled:
                await anyio.sleep_forever()
            await super().publish(messages)

    broker = Partitioned(world.network, lane=lambda topic: topic)
    node = await world.node(broker, publish_timeout_s=5.0)
    a, b = await node.join("a"), await node.join("b")
    broker.stalled = "a"
    async with fates_of(node) as fates:
        await fates.publish("stuck", topic="a")
        for number in range(10):
            await fates.publish(str(number), topic="b")
        assert len(b.messages) == 10
        await pass_time(4)
        await fates.publish("behind", topic="a")
    assert fates.of["stuck"] == "Uncertain"
    assert fates.of["behind"] == "NotAccepted"
    assert a.messages == []
    assert len(broker.inboxes) == 1


async def test_stop_waits_for_what_is_being_published(world: World) -> None:
    node = await world.node()
    async with fates_of(node) as fates:
        node.broker.publishing.shut()
        await fates.publish("a")
        await fates.publish("b")
        fates.tasks.start_soon(node.provider.stop)
        await settle()
        assert node.broker.is_up
        node.broker.publishing.open()
        await settle()
        assert fates.of == {"a": "taken", "b": "taken"}


async def test_whoever_waits_for_it_to_be_empty_is_told(world: World) -> None:
    node = await world.node()
    run = node.provider.node
    assert run is not None
    for _ in range(2):  # it has been empty before, or not
        returned: list[int] = []

        async def flush(number: int, returned: list[int] = returned) -> None:
            await run.flush()
            returned.append(number)

        async with fates_of(node) as fates:
            node.broker.publishing.shut()
            await fates.publish("a")
            for number in range(3):
                fates.tasks.start_soon(flush, number)
            await settle()
            assert returned == []
            node.broker.publishing.open()
        assert sorted(returned) == [0, 1, 2]


async def test_stop_fails_what_it_could_not_publish_in_its_time(world: World) -> None:
    node = await world.node(stop_timeout_s=1.0)
    async with fates_of(node) as fates:
        node.broker.publishing.shut()
        await fates.publish("a")
        await fates.publish("b")
        began = anyio.current_time()
        await node.provider.stop()
        assert anyio.current_time() - began <= 1.01
    assert fates.of == {"a": "Uncertain", "b": "NotAccepted"}


async def test_stop_does_not_wait_for_a_link_that_is_down(world: World) -> None:
    node = await world.node()
    world.network.stop()
    await settle()
    async with fates_of(node) as fates:
        await fates.publish("a")
        began = anyio.current_time()
        await node.provider.stop()
        assert anyio.current_time() == began
    assert fates.of == {"a": "NotAccepted"}


async def test_an_uncertain_error_is_not_a_certain_one() -> None:
    assert not issubclass(Uncertain, NotAccepted)


async def test_all_who_wait_for_it_to_be_empty_are_told() -> None:
    outbox = Outbox(
        FakeBroker(), max_messages=9, max_bytes=99, timeout_s=1, why_down=str, counters=Counters()
    )
    batch, _ = outbox.post("room", b"x")
    done: list[int] = []

    async def flush(number: int) -> None:
        await outbox.flush()
        done.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flush, 1)
        tasks.start_soon(flush, 2)
        await settle()
        assert not done
        outbox.abandon()
    assert sorted(done) == [1, 2]
    assert batch.error is NotAccepted
