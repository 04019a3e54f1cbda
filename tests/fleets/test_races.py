"""The races that a fleet can show and the conformance suite does not."""

from __future__ import annotations

import asyncio
import random
import sys

import anyio
import pytest

from fleets.book import Fate
from fleets.faults import Fault
from fleets.fleet import Fleet, FleetNode, until
from fleets.grounds import Ground, RedisGround
from fleets.run import node_of, settle
from fleets.traffic import join, leave, publish
from servers.process import spawn, wait_until
from servers.proxy import Direction

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


def fault(slot: int | None, kind: str = "cut") -> Fault:
    """One that lasts to the end of the test."""
    return Fault(kind, slot, anyio.current_time())


async def test_the_wanted_topics_are_live_after_links_were_cut_while_they_came_and_went(
    ground: Ground,
) -> None:
    rng = random.Random(5)
    async with Fleet(ground, 2, rng) as fleet:
        await fleet.until_up()
        node, topics = node_of(fleet, 0), [f"room.{number}" for number in range(300)]
        ears = [node.attach() for _ in range(3)]
        faults = [fault(0)]
        async with anyio.create_task_group() as tasks:
            for number in range(600):
                ear = rng.choice(ears)
                if rng.random() < 0.6:
                    tasks.start_soon(join, node, ear, rng.choice(topics))
                else:
                    await leave(node, ear, rng.choice(topics))
                if number % 10 == 0:
                    await anyio.sleep(0.002)
                if number % 100 == 50:
                    fleet.proxies[0].cut()
        verdict = await settle(fleet, None, faults)
        assert not verdict.wrongs
        wanted = {wish.topic for ear in ears for wish in ear.open_wishes}
        await until(lambda: _live_topics(node) == len(wanted) + _own(node), "exactly what is wanted", 5)
        if isinstance(ground, RedisGround):
            mine = {topic for topic in _redis_channels(ground) if topic.startswith("room.")}
            assert mine == wanted


def _live_topics(node: FleetNode) -> int:
    return -1 if node.provider.node is None else node.provider.node.live_topics


def _own(node: FleetNode) -> int:
    """The node's own channels: for broadcasts, and one a lane for itself."""
    lanes = {node.broker.lane(f"room.{number}") for number in range(300)}
    return 1 + len(lanes)


def _redis_channels(ground: RedisGround) -> set[str]:
    channels = ground.server.command("PUBSUB", "CHANNELS", f"{ground.prefix}:*").splitlines()
    return {channel.partition(":")[2] for channel in channels}


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_link_that_is_deaf_one_way_is_found_shown_and_replaced(
    ground: Ground, direction: Direction
) -> None:
    async with Fleet(ground, 2, random.Random(6)) as fleet:
        await fleet.until_up()
        deaf, other = fleet.up
        ear, bystander = deaf.attach(), other.attach()
        await join(deaf, ear, "lobby")
        await join(other, bystander, "lobby")
        faults = [fault(0, "drop")]
        fleet.proxies[0].drop(direction)
        await until(lambda: not deaf.is_up, "the deaf link to be found", ground.recovery_s)
        assert other.is_up
        missed = fleet.book.message("lobby", other.name)
        await publish(other.provider, missed)
        assert missed.fate is Fate.TAKEN
        fleet.proxies[0].cut()
        fleet.proxies[0].resume()
        verdict = await settle(fleet, None, faults)
        assert not verdict.wrongs
        assert missed in [heard for _, heard in bystander.heard]
        if ground.keeps:
            assert missed in [heard for _, heard in ear.heard]
        else:
            assert [topics for _, topics in ear.resyncs] == [["lobby"]]
        assert not bystander.resyncs


async def test_exactly_the_sockets_concerned_are_told_of_an_outage(ground: Ground) -> None:
    async with Fleet(ground, 2, random.Random(7)) as fleet:
        await fleet.until_up()
        node, other = fleet.up
        ears, idle, bystander = [node.attach() for _ in range(2)], node.attach(), other.attach()
        await join(node, ears[0], "lobby", "news")
        await join(node, ears[1], "lobby")
        await join(other, bystander, "lobby", "news")
        faults = [fault(0)]
        fleet.proxies[0].cut(refuse=True)
        await until(lambda: not node.is_up, "the outage", ground.recovery_s)
        for topic in ("lobby", "news"):
            await publish(other.provider, fleet.book.message(topic, other.name))
        fleet.proxies[0].refuse = False
        verdict = await settle(fleet, None, faults)
        assert not verdict.wrongs
        told = [[topics for _, topics in ear.resyncs] for ear in (*ears, idle, bystander)]
        assert told == ([[], [], [], []] if ground.keeps else [[["lobby", "news"]], [["lobby"]], [[]], []])


async def test_a_node_that_was_killed_is_counted_no_more(ground: Ground) -> None:
    async with Fleet(ground, 1, random.Random(8)) as fleet:
        await fleet.until_up()
        node = node_of(fleet, 0)
        ear = node.attach()
        await join(node, ear, "lobby")
        command = [
            sys.executable,
            "-m",
            "fleets.lone_node",
            ground.name,
            ground.prefix,
            str(ground.server.port),
        ]
        log = ground.server.directory / "lone-node.log"
        process = spawn(command, log=log, cwd=ground.server.directory, env=ground.child_environment())
        try:
            # It publishes when it is there, and it is there as long as it publishes.
            try:
                await until(lambda: bool(ear.strange), "the other node", 20)
            except TimeoutError as exc:
                raise TimeoutError(f"{exc}; it printed: {log.read_text()}") from None
            assert sorted((await node.provider.count_topic("lobby")).values()) == [1, 3]
        finally:
            process.kill()
            await anyio.to_thread.run_sync(wait_until, lambda: process.poll() is not None, "its end")
        assert list((await node.provider.count_topic("lobby")).values()) == [1]


async def test_a_publish_whose_confirmation_is_lost_is_in_doubt_and_comes_once(ground: Ground) -> None:
    async with Fleet(ground, 2, random.Random(9)) as fleet:
        await fleet.until_up()
        publisher, other = fleet.up
        ear = other.attach()
        await join(other, ear, "lobby")
        faults = [fault(0, "drop")]
        first, lost, last = (fleet.book.message("lobby", publisher.name) for _ in range(3))
        await publish(publisher.provider, first)
        fleet.proxies[0].drop("down")
        await publish(publisher.provider, lost)
        fleet.proxies[0].cut()
        fleet.proxies[0].resume()
        await until(lambda: publisher.is_up, "the link", ground.recovery_s)
        await publish(publisher.provider, last)
        verdict = await settle(fleet, None, faults)
        assert not verdict.wrongs
        assert (first.fate, lost.fate, last.fate) == (Fate.TAKEN, Fate.UNCERTAIN, Fate.TAKEN)
        copies = [heard for _, heard in ear.heard if heard in (first, lost, last)]
        assert copies == [first, lost, last]


@pytest.mark.parametrize("what", ["cut", "stall", "drop", "pause the server", "nothing"])
async def test_a_node_stops_within_its_limits_whatever_happens(ground: Ground, what: str) -> None:
    rng = random.Random(f"15/{what}")
    for _ in range(4):
        before = asyncio.all_tasks()
        async with Fleet(ground, 1, rng) as fleet:
            node = node_of(fleet, 0)
            if rng.random() < 0.8:
                await fleet.until_up()
            assert node.tasks is not None
            ear = node.attach()
            for number in range(100):
                node.tasks.start_soon(join, node, ear, f"room.{number}")
                message = fleet.book.message(f"room.{number}", node.name)
                node.tasks.start_soon(publish, node.provider, message)
            await anyio.sleep(rng.uniform(0, 0.02))
            await _do(ground, fleet, what)
            await anyio.sleep(rng.uniform(0, 0.02))
            began_s = anyio.current_time()
            try:
                await fleet.stop(0)
            finally:
                if what == "pause the server":
                    ground.server.resume()
            # Each step has its limit: sockets, publishes, and 2 s for the broker.
            assert anyio.current_time() - began_s < 2 * ground.settings.stop_timeout_s + 2 + 2
        assert asyncio.all_tasks() == before


async def _do(ground: Ground, fleet: Fleet, what: str) -> None:
    proxy = fleet.proxies[0]
    if what == "cut":
        proxy.cut(refuse=True)
    elif what == "stall":
        proxy.stall()
    elif what == "drop":
        proxy.drop("down")
    elif what == "pause the server":
        await anyio.to_thread.run_sync(ground.server.pause)
