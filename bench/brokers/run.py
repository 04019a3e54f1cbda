"""CPU a message received and a publish, core and client library included, on each broker: see bench/README.md.

.venv/bin/python bench/brokers/run.py [--only redis] [--rounds 5] [--loop asyncio] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

# ruff: noqa: E402 - the servers stand in tests/
from meter import Measured
from report import Cell, machine, tables
from ways import BROKERS, OURS, Ways, ways_of
from worker import Task

from servers.hub import HubServer
from servers.kafka import KafkaServer, is_available
from servers.nats import NatsServer
from servers.process import NotStarted, ServerProcess
from servers.redis import RedisServer

#: A measurement takes about 3 s; one that takes so much hangs.
LIMIT_S = 120.0
#: The log of each partition is cut, since a run writes gigabytes.
KAFKA = {
    "log.segment.bytes": str(64 << 20),
    "log.retention.bytes": str(256 << 20),
    "log.segment.delete.delay.ms": "1000",
}

Results = dict[Cell, dict[str, list[Measured]]]


def kafka() -> ServerProcess:
    """A Kafka, where there can be one."""
    if not is_available():
        raise NotStarted("Kafka needs Java 17 or newer, and Maven, which fetches it")
    return KafkaServer(KAFKA)


SERVERS: Mapping[str, Callable[[], ServerProcess]] = {
    "local": HubServer,
    "redis": RedisServer,
    "nats": NatsServer,
    "kafka": kafka,
}


def cells(broker: str, ways: Ways) -> Iterator[tuple[Cell, list[str]]]:
    """What is compared on a broker, and between which ways."""
    yield Cell(broker, "receive", 200), list(ways.receive)
    yield Cell(broker, "receive", 8192), list(ways.receive)
    yield Cell(broker, "publish", 200), list(ways.publish)
    yield Cell(broker, "publish singly", 200), list(ways.publish_singly)


def run_worker(task: Task, path: str | None) -> Measured:
    """Measure in a new process, with this in front of its import path."""
    environ = dict(os.environ) if path is None else {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(ROOT / "bench" / "brokers" / "worker.py"), task.dumps()]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, timeout=LIMIT_S, check=True)
    return Measured(**json.loads(done.stdout))


def measure(broker: str, options: argparse.Namespace, results: Results) -> None:
    """All cells of a broker, the ways in turn, the first of them another one in each round."""
    others: dict[str, str] = dict(options.also)
    with SERVERS[broker]() as server:
        for number in range(options.rounds):
            for cell, names in cells(broker, ways_of(broker)):
                if options.case and cell.case not in options.case:
                    continue
                names += others
                by_way = results.setdefault(cell, {name: [] for name in names})
                start = number % len(names)
                for name in names[start:] + names[:start]:
                    way = OURS if name in others else name
                    task = Task(broker, cell.case, way, cell.size, server.url, options.loop, options.seconds)
                    by_way[name].append(run_worker(task, others.get(name)))
            say(f"{broker}: round {number + 1} of {options.rounds}")


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=BROKERS, help="this broker; may be repeated")
    parser.add_argument(
        "--case", action="append", choices=["receive", "publish", "publish singly"], help="this case alone"
    )
    parser.add_argument("--rounds", type=int, default=5, help="1 is a quick look, 5 a measurement (default)")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="for all alike")
    parser.add_argument("--seconds", type=float, default=0.7, help="how long each measurement is, at least")
    parser.add_argument("--markdown", type=Path, help="where to write the tables, too")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        type=lambda text: tuple(text.split("=", 1)),
        metavar="NAME=PATH[:PATH]",
        help="measure wigwag a second time, with this in front of its import path: a changed copy of core/src",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, and print the tables."""
    options = parse(sys.argv[1:])
    results: Results = {}
    for broker in options.only or BROKERS:
        try:
            measure(broker, options, results)
        except (OSError, NotStarted, subprocess.SubprocessError) as exc:
            say(f"{broker}: not measured: {exc}")
    for cell in [cell for cell, by_way in results.items() if not all(by_way.values())]:
        del results[cell]
    text = f"{machine(options.loop)}; {options.rounds} rounds\n\n{tables(results)}"
    sys.stdout.write(text)
    if options.markdown is not None:
        options.markdown.write_text(text)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
