"""One run: a fleet, its traffic, a storm, and the calm in which everything must come right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from fleets.book import EVERYBODY, ONE, Ear, Fate, Message
from fleets.faults import Fault, Storm
from fleets.fleet import Fleet, FleetNode, Watch, until
from fleets.grounds import Ground
from fleets.judge import Verdict, judge
from fleets.traffic import TOPICS, Traffic, publish
from fleets.watching import WatchedBroker


@dataclass(slots=True)
class Report:
    """What a run came to."""

    line: str
    verdict: Verdict


async def run(
    ground: Ground,
    size: int,
    seed: str,
    seconds: float,
    *,
    watch: Watch = WatchedBroker,
    is_calm: bool = False,
) -> Report:
    """Run a fleet for so many seconds, then let it come to rest, and judge; ``is_calm``: without any fault."""
    traffic = Traffic(seed, pace=ground.pace * (size / 2))
    fleet = Fleet(ground, size, random.Random(f"{seed}/fleet"), live=traffic.live, watch=watch)
    traffic.fleet = fleet
    began_s = anyio.current_time()
    async with fleet:
        await fleet.until_up()
        storm = Storm(fleet, random.Random(f"{seed}/storm"))
        await (anyio.sleep(seconds) if is_calm else storm.rage(seconds))
        traffic.end()
        verdict = await settle(fleet, traffic, storm.faults)
        took_s = anyio.current_time() - began_s
        return Report(summary(fleet, storm, verdict, seed, took_s), verdict)


async def settle(fleet: Fleet, traffic: Traffic | None = None, faults: Sequence[Fault] = ()) -> Verdict:
    """Wait until all is live and all that is owed was told; what is wrong then stays wrong."""
    await fleet.until_up()
    if traffic is not None:
        await until(lambda: traffic.is_quiet, "all that had begun to end", fleet.ground.recovery_s)
    topics = sorted({wish.topic for node in fleet.up for ear in node.present for wish in ear.open_wishes})
    await _until_marked(fleet, topics or TOPICS[:1])
    deadline = anyio.current_time() + fleet.ground.patience_s
    verdict = judge(fleet, faults)
    while verdict.is_waiting and anyio.current_time() < deadline:
        await anyio.sleep(0.5)
        verdict = judge(fleet, faults)
    await anyio.sleep(0.3)  # for what comes twice
    return judge(fleet, faults)


async def _until_marked(fleet: Fleet, topics: Sequence[str]) -> None:
    """Return when what each node publishes arrives at each socket that wants it."""
    deadline = anyio.current_time() + fleet.ground.recovery_s
    while anyio.current_time() < deadline:
        marks: list[Message] = []
        async with anyio.create_task_group() as tasks:
            for node in fleet.up:
                ids = [ONE + ear.id for other in fleet.up for ear in other.present]
                for topic in (*topics, EVERYBODY, *ids):
                    mark = fleet.book.message(topic, f"{node.name}.mark")
                    marks.append(mark)
                    tasks.start_soon(publish, node.provider, mark)
        if any(mark.fate is not Fate.TAKEN for mark in marks):
            continue
        by_topic: dict[str, set[Message]] = {}
        for mark in marks:
            by_topic.setdefault(mark.topic, set()).add(mark)
        try:
            await until(lambda by_topic=by_topic: _all_marked(fleet, by_topic), "marks", 2.0)  # type: ignore[misc]
        except TimeoutError:
            continue
        return
    # The judge says what is missing.


def _all_marked(fleet: Fleet, by_topic: dict[str, set[Message]]) -> bool:
    return all(_is_marked(ear, by_topic) for node in fleet.up for ear in node.present)


def _is_marked(ear: Ear, by_topic: dict[str, set[Message]]) -> bool:
    wanted = {wish.topic for wish in ear.open_wishes} | {EVERYBODY, ONE + ear.id}
    expected = {mark for topic in wanted for mark in by_topic.get(topic, ())}
    heard = {message for _, message in ear.heard[-4 * len(expected) - 100 :]}
    return expected <= heard


def summary(fleet: Fleet, storm: Storm, verdict: Verdict, seed: str, took_s: float) -> str:
    """One line of counts."""
    fates = dict.fromkeys(Fate, 0)
    for message in fleet.book.by_payload.values():
        fates[message.fate] += 1
    ears = [ear for node in fleet.all_nodes for ear in node.ears.values()]
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(storm.counts.items()))
    sessions = sum(1 for node in fleet.all_nodes for session in node.sessions if session.ready is not None)
    return (
        f"fleet {fleet.ground.name}: seed {seed}, {took_s:.1f} s, {len(fleet.nodes)} nodes "
        f"({len(fleet.all_nodes)} lives, {sessions} sessions, {len(ears)} sockets), published "
        f"{sum(fates.values())} (taken {fates[Fate.TAKEN]}, uncertain {fates[Fate.UNCERTAIN]}, "
        f"refused {fates[Fate.REFUSED]}), deliveries {sum(len(ear.heard) for ear in ears)}, faults "
        f"{len(storm.faults)} ({faults}), resyncs {sum(len(ear.resyncs) for ear in ears)}, "
        f"missing but told {verdict.missing_but_told}, silent losses {len(verdict.silent_losses)}"
        + (f", between two masters {len(verdict.split)}" if verdict.split else "")
        + (f", with a server {verdict.lost_in_crash}" if verdict.lost_in_crash else "")
    )


def node_of(fleet: Fleet, slot: int) -> FleetNode:
    """The node in a slot, which is there."""
    node = fleet.nodes[slot]
    assert node is not None
    return node
