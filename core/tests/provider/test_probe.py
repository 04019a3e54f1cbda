"""Connected but deaf: the probe finds it, and kills no healthy session (RACES row 6; CORE.md, Probe)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import anyio
import pytest

from clocks import settle
from provider.world import NodeUnderTest, World, pass_time
from wigwag.broker import BrokerLost
from wigwag.testing import FakeBroker
from wigwag.wire.envelope import Kind, encode_envelope

pytestmark = pytest.mark.anyio


def sessions(node: NodeUnderTest) -> int:
    return len(node.broker.inboxes)


def probes(node: NodeUnderTest) -> int:
    batches = node.broker.called("publish")
    return sum(1 for batch in batches for topic, _ in batch if topic.startswith("__node__"))


def stays_proved(node: NodeUnderTest) -> bool:
    run = node.provider.node
    assert run is not None
    return run.is_up


async def test_a_session_is_up_when_its_first_probe_has_come_back(world: World) -> None:
    node = world.make()
    node.broker.publishing.shut()
    async with node.provider:
        await settle()
        assert node.broker.is_up
        assert not stays_proved(node)
        node.broker.publishing.open()
        await settle()
        assert stays_proved(node)
        assert node.provider.node is not None
        assert node.provider.node.link.probe_s is not None


async def test_it_probes_at_its_interval(world: World) -> None:
    node = await world.node(probe_interval_s=5.0)
    await pass_time(61)
    assert 12 <= probes(node) <= 13
    assert sessions(node) == 1


async def test_a_deaf_link_is_found_within_the_deadline_and_a_new_session_heals_it(world: World) -> None:
    node, other = await world.node(probe_interval_s=1.0, probe_timeout_s=5.0), await world.node()
    socket = await node.join("room")
    node.broker.is_deaf = True
    await other.provider.publish("room", "unheard")
    await pass_time(1 + 4.9)
    assert sessions(node) == 1
    node.broker.connecting.shut()
    await pass_time(0.2)
    assert not stays_proved(node)
    assert "deaf" in node.provider.node.link.describe()  # type: ignore[union-attr]
    node.broker.is_deaf = False
    node.broker.connecting.open()
    await pass_time(1)
    assert sessions(node) == 2
    assert stays_proved(node)
    assert socket.resyncs == [["room"]]
    await other.provider.publish("room", "heard")
    assert socket.messages == ["heard"]


async def test_a_link_whose_publishes_hang_is_found_too(world: World) -> None:
    node = await world.node(probe_interval_s=1.0, probe_timeout_s=5.0)
    node.broker.publishing.shut()
    await pass_time(6.2)
    assert sessions(node) == 2


async def test_a_loop_that_stalls_loses_a_tick_and_not_the_session(world: World) -> None:
    """One pass of the loop that takes far longer than the deadline, with the echo waiting behind it."""
    node = await world.node(probe_interval_s=1.0, probe_timeout_s=1.0)
    world.network.holds_deliveries = True
    await pass_time(1.05)
    assert probes(node) == 2
    for _ in range(3):
        await stall(100.0)
        assert sessions(node) == 1
    world.network.holds_deliveries = False
    world.network.deliver_held()
    await pass_time(5)
    assert sessions(node) == 1


async def stall(seconds: float) -> None:
    """The clock goes on and nothing runs, as when the process was stopped."""
    from clocks import jump

    jump(seconds)
    await anyio.lowlevel.checkpoint()


async def test_whatever_comes_in_shows_that_the_link_is_alive(world: World) -> None:
    node, other = (
        await world.node(probe_interval_s=1.0, probe_timeout_s=1.0, probe_limit_s=30.0),
        await world.node(),
    )
    socket = await node.join("room")
    node.broker.publishing.shut()  # the probe does not get through, but others' messages come in
    for _ in range(56):
        await pass_time(0.5)
        await other.provider.publish("room", "x")
    assert sessions(node) == 1
    assert len(socket.messages) == 56


async def test_but_without_an_echo_only_up_to_a_limit(world: World) -> None:
    node, other = (
        await world.node(probe_interval_s=1.0, probe_timeout_s=1.0, probe_limit_s=30.0),
        await world.node(),
    )
    await node.join("room")
    node.broker.publishing.shut()
    for _ in range(64):
        await pass_time(0.5)
        await other.provider.publish("room", "x")
    assert sessions(node) == 2


async def test_a_swallowed_probe_is_sent_again_within_the_deadline(world: World) -> None:
    node = await world.node(probe_interval_s=1.0, probe_timeout_s=1.0)
    node.broker.is_deaf = True
    await pass_time(1.2)
    node.broker.is_deaf = False
    await pass_time(60)
    assert sessions(node) == 1


async def test_a_backlog_of_250_000_publishes_does_not_kill_a_healthy_session(world: World) -> None:
    """The probe goes at the head: behind the backlog it would come back too late."""

    class Slow(FakeBroker):
        async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
            await anyio.sleep(0.05)
            if messages[0][0].startswith("__node__"):
                await super().publish(messages)

    node = await world.node(
        Slow(world.network),
        outbox_messages=300_000,
        publish_timeout_s=100.0,
        probe_interval_s=1.0,
        probe_timeout_s=1.0,
        probe_limit_s=2.0,
    )
    outbox = node.provider.node._outbox  # type: ignore[union-attr]
    for _ in range(250_000):
        outbox.post("room", b"x")
    await outbox.flush()
    assert anyio.current_time() > 20
    assert sessions(node) == 1


async def test_check_is_asked_before_each_probe_and_ends_the_session(world: World) -> None:
    node = await world.node(probe_interval_s=5.0)
    node.broker.checking.fail(BrokerLost("demoted"))
    await pass_time(4.9)
    assert sessions(node) == 1
    await pass_time(1)
    assert sessions(node) == 2


async def test_a_check_that_hangs_ends_the_session(world: World) -> None:
    node = await world.node(probe_interval_s=5.0, probe_timeout_s=1.0)
    node.broker.checking.shut()
    await pass_time(6.2)
    assert sessions(node) == 2


async def test_an_echo_of_an_earlier_session_proves_nothing(world: World) -> None:
    node = await world.node(probe_interval_s=1.0, probe_timeout_s=5.0)
    await pass_time(3)
    node.broker.is_deaf = True
    node.broker.cut()
    await pass_time(1)
    channel = f"__node__:{node.attach().id[:8]}"
    for payload in world.network.messages[channel][:-1]:
        node.broker.inboxes[-1].deliver(channel, payload)
    node.broker.inboxes[-1].deliver(channel, encode_envelope(Kind.PROBE, channel, b"%d" % 10**40))
    await settle()
    assert not stays_proved(node)


def noted_in(limits: list[float]) -> Callable[[float, float], float]:
    """A random number that is always the greatest, and is written down."""

    def uniform(low: float, high: float) -> float:
        assert low == 0
        limits.append(high)
        return high

    return uniform


async def test_backoff_is_full_jitter_up_to_its_cap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    monkeypatch.setattr(random, "uniform", noted_in(limits))
    world.network.stop()
    node = await world.node(backoff_base_s=0.1, backoff_cap_s=5.0)
    await pass_time(30)
    assert limits[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert sessions(node) == 7 + int((30 - 6.3) / 5)


async def test_backoff_grows_while_no_probe_comes_back_though_the_broker_takes_connections(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    monkeypatch.setattr(random, "uniform", noted_in(limits))
    node = await world.node(probe_timeout_s=0.1, probe_interval_s=0.1)
    assert stays_proved(node)
    node.broker.is_deaf = True
    await pass_time(8)
    assert limits[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]  # only the first session had proved itself
    node.broker.is_deaf = False
    await pass_time(10)
    assert stays_proved(node)
    node.broker.cut()
    await pass_time(1)
    assert limits[-1] == 0.1


async def test_a_process_that_only_publishes_has_no_probe_and_proves_itself_by_lasting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wigwag.provider import Provider

    limits: list[float] = []
    monkeypatch.setattr(random, "uniform", noted_in(limits))
    node = await world.node()
    socket = await node.join("room")
    broker = FakeBroker(world.network)
    async with Provider(broker, subscribes=False) as publisher:
        await publisher.publish("room", "x")
        assert publisher.node is not None
        assert publisher.node.is_up
        assert socket.messages == ["x"]
        assert broker.called("subscribe") == []
        for _ in range(4):  # taken and dropped again at once
            broker.cut()
            await pass_time(1)
        assert limits == [0.1, 0.2, 0.4, 0.8]
        await pass_time(10)
        broker.cut()
        await settle()
        assert limits[-1] == 0.1
