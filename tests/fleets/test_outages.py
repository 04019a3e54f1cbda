"""What becomes of topics in an outage: joined while it lasts, and lost by the thousand."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from fleets.book import Ear, Fate
from fleets.faults import Fault
from fleets.fleet import Fleet, FleetNode, until
from fleets.grounds import Ground
from fleets.judge import judge
from fleets.run import node_of, settle
from fleets.traffic import join, publish

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

MANY = 20_000
#: Core's batch; its own channels come on top.
BATCH = 500
LAG_LIMIT_S = 1.0


def outage() -> Fault:
    """One for all nodes, from now on to the end of the test."""
    return Fault("kill the server", None, anyio.current_time())


async def test_topics_joined_in_an_outage_come_alive_with_the_rest(ground: Ground) -> None:
    async with Fleet(ground, 2, random.Random(1)) as fleet:
        await fleet.until_up()
        nodes = fleet.up
        ears = [node.attach() for node in nodes]
        for node, ear in zip(nodes, ears, strict=True):
            await join(node, ear, "old.1", "old.2")
        fault = outage()
        async with anyio.create_task_group() as joins:
            ground.server.kill()
            try:
                await until(lambda: not any(node.is_up for node in nodes), "the outage", ground.recovery_s)
                newcomers = [node.attach() for node in nodes]
                for node, ear, newcomer in zip(nodes, ears, newcomers, strict=True):
                    for topic in ("new.1", "new.2", "old.1"):
                        joins.start_soon(join, node, ear, topic)
                        joins.start_soon(join, node, newcomer, topic)
                await anyio.lowlevel.checkpoint()
            finally:
                await anyio.to_thread.run_sync(ground.server.start)
        verdict = await settle(fleet, None, [fault])
        assert not verdict.wrongs
        await _check_all_heard(fleet, nodes, [*ears, *newcomers], ["new.1", "new.2", "old.1"])


async def _check_all_heard(fleet: Fleet, nodes: list[FleetNode], ears: list[Ear], topics: list[str]) -> None:
    messages = [fleet.book.message(topic, node.name) for node in nodes for topic in topics]
    senders = [node for node in nodes for _ in topics]
    for node, message in zip(senders, messages, strict=True):
        await publish(node.provider, message)
        assert message.fate is Fate.TAKEN
    for ear in ears:
        await until(
            lambda ear=ear: set(messages) <= {heard for _, heard in ear.heard},  # type: ignore[misc]
            f"all messages at {ear.id}",
            5,
        )


@contextlib.asynccontextmanager
async def lag() -> AsyncIterator[list[float]]:
    """Measure by how much the loop was late, each 5 ms: what a heartbeat would have suffered.

    Only as far as this process has worked meanwhile: what others take on a busy machine is not its own.
    """
    late: list[float] = [0.0]

    async def measure() -> None:
        while True:
            due, worked_s = anyio.current_time() + 0.005, time.process_time()
            await anyio.sleep(0.005)
            late.append(min(anyio.current_time() - due, time.process_time() - worked_s))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(measure)
        yield late
        tasks.cancel_scope.cancel()


async def publish_on(fleet: Fleet, node: FleetNode, topic: str) -> None:
    """Publish for ever."""
    while True:
        await publish(node.provider, fleet.book.message(topic, node.name))
        await anyio.sleep(0.005)


async def test_twenty_thousand_topics_come_back_in_batches(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Fleet(ground, 2, random.Random(2)) as fleet:
        await fleet.until_up()
        big, small = node_of(fleet, 0), node_of(fleet, 1)
        ear, other = big.attach(), small.attach()
        topics = [f"room.{number}" for number in range(MANY)]
        for start in range(0, MANY, 2000):
            await join(big, ear, *topics[start : start + 2000])
        await join(small, other, "news")
        fault = outage()
        async with lag() as late, anyio.create_task_group() as publishing:
            publishing.start_soon(publish_on, fleet, small, "news")
            await ground.kill(0.1)
            began_s = anyio.current_time()
            await until(lambda: _are_live(big, MANY), "all topics live again", ground.recovery_s)
            took_s = anyio.current_time() - began_s
            heard = len(other.heard)
            await until(lambda: len(other.heard) > heard + 10, "the other socket's messages", 5)
            publishing.cancel_scope.cancel()
        with capsys.disabled():
            print(  # noqa: T201 - a measurement, for who looks
                f"\n{MANY} topics back on {ground.name} {took_s:.2f} s after the restart, "
                f"largest lag {max(late) * 1000:.0f} ms, joins {big.sessions[-1].joins[:3]}… "
                f"({len(big.sessions[-1].joins)} calls)"
            )
        await _check_sample(fleet, small, ear, topics)
        _check_batches(ground, big, ear, topics)
        verdict = await settle_quietly(fleet, [fault])
        assert not verdict
        assert max(late) < LAG_LIMIT_S


def _are_live(node: FleetNode, count: int) -> bool:
    return node.is_up and node.provider.node is not None and node.provider.node.live_topics >= count


async def _check_sample(fleet: Fleet, node: FleetNode, ear: Ear, topics: list[str]) -> None:
    sample = [fleet.book.message(topic, node.name) for topic in random.Random(3).sample(topics, 200)]
    async with anyio.create_task_group() as tasks:
        for message in sample:
            tasks.start_soon(publish, node.provider, message)
    assert {message.fate for message in sample} == {Fate.TAKEN}
    await until(lambda: set(sample) <= {heard for _, heard in ear.heard}, "a sample of the topics", 5)


def _check_batches(ground: Ground, node: FleetNode, ear: Ear, topics: list[str]) -> None:
    session = node.sessions[-1]
    assert len(node.sessions) > 1 or ground.keeps
    if len(node.sessions) > 1:
        assert max(session.joins) <= BATCH
        assert len(session.joins) <= math.ceil(MANY / BATCH) + 8  # of lanes' probes, one by one
    if not ground.keeps:
        named = list(itertools.chain.from_iterable(told for _, told in ear.resyncs))
        assert sorted(named) == sorted(topics)


async def settle_quietly(fleet: Fleet, faults: list[Fault]) -> list[str]:
    """Judge without marking each topic: they are too many."""
    with contextlib.suppress(TimeoutError):
        await until(lambda: not judge(fleet, faults).is_waiting, "what is owed", 5)
    return judge(fleet, faults).wrongs
