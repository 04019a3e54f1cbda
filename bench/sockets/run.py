"""Plays groups: round after round, the ways in turn, another one beginning each round."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from servers.kafka import KafkaServer, is_available
from servers.kafka.installation import NotInstalled
from servers.nats import NatsServer
from servers.process import NotStarted, ServerProcess
from servers.redis import RedisServer
from sockets.generator import LoadFailed
from sockets.machine import LOAD_CORE, pin_all_threads
from sockets.results import Results, Sample
from sockets.scale import Scale
from sockets.server import NotServing
from sockets.stage import Group, Way
from sockets.toolchains import Missing


def kafka() -> ServerProcess:
    """A Kafka, where there can be one."""
    if not is_available():
        raise NotStarted("Kafka needs Java 17 or newer, and Maven, which fetches it")
    return KafkaServer({"log.segment.bytes": str(64 << 20), "log.retention.bytes": str(256 << 20)})


BROKERS: Mapping[str, Callable[[], ServerProcess]] = {
    "redis": RedisServer,
    "nats": NatsServer,
    "kafka": kafka,
}
#: What a broker that can't be started raises.
UNSTARTED = (OSError, NotStarted, NotInstalled, subprocess.SubprocessError)


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")


def play_group(group: Group, ways: Sequence[Way], scale: Scale, results: Results) -> None:
    """All rounds of a group, with the brokers that its ways need."""
    with contextlib.ExitStack() as held:
        urls = _start_brokers(ways, held, results)
        ways = [way for way in ways if _is_present(way, urls, results)]
        rounds = 1 if group.is_once else scale.rounds
        for number in range(rounds):
            start = number % len(ways) if ways else 0
            for way in (*ways[start:], *ways[:start]):
                results.samples += _play(group, way, scale, number, urls)
            say(f"{group.title}: round {number + 1} of {rounds}")


def _start_brokers(ways: Sequence[Way], held: contextlib.ExitStack, results: Results) -> dict[str, str]:
    urls: dict[str, str] = {}
    for name in dict.fromkeys(way.peer.broker for way in ways if way.peer.broker):
        try:
            broker = held.enter_context(BROKERS[name]())
        except UNSTARTED as exc:
            results.absent[name] = str(exc).splitlines()[0]
            continue
        assert broker.process is not None
        pin_all_threads(broker.process.pid, LOAD_CORE)
        urls[name] = broker.url
    return urls


def _is_present(way: Way, urls: Mapping[str, str], results: Results) -> bool:
    """Whether what it needs is there; building and installing it comes first, so that nothing is measured beside."""
    try:
        way.peer.command()
    except Missing as exc:
        results.absent[way.peer.name] = str(exc)
        return False
    return way.peer.broker is None or way.peer.broker in urls


def _play(group: Group, way: Way, scale: Scale, number: int, urls: Mapping[str, str]) -> Iterator[Sample]:
    """One way, once. What goes wrong is a sample too, of the group, and no reason to give up the others."""
    try:
        for sample in group.measure(way, scale, urls.get(way.peer.broker or "")):
            yield replace(sample, round=number)
    except (LoadFailed, NotServing, subprocess.SubprocessError) as exc:
        say(f"{group.title}: {way.name}: {exc}")
        yield Sample(f"{group.name}/failed", way.name, number, error=str(exc))
