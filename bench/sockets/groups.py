"""What is measured on which servers: the groups of ``make bench``, and of ``make bench-compare``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sockets import roster
from sockets.deliveries import play_brokers, play_crowds, play_decisive_fanout, play_fanout, play_topics
from sockets.machine import FOLDER, SERVER_CORE, pinned
from sockets.per_socket import play_echo, play_idle
from sockets.results import Sample
from sockets.returning import play_returning
from sockets.roster import Peer, through
from sockets.scale import Scale
from sockets.slow_readers import STALLED, TRICKLING, WITHOUT, play_slow
from sockets.stage import Group, Way, on_stage

REDIS, STARLETTE_REDIS = "WIGWAG_REDIS_URL", "BENCH_REDIS_URL"
THROUGH_BROKERS = (
    through(roster.OURS, "redis", REDIS),
    through(roster.AGAIN, "redis", REDIS),
    through(roster.ORIJS, "redis", STARLETTE_REDIS),
    through(roster.STARLETTE, "redis", STARLETTE_REDIS),
    through(roster.OURS, "nats", "WIGWAG_NATS_SERVERS"),
    through(roster.OURS, "kafka", "WIGWAG_KAFKA_BOOTSTRAP_SERVERS"),
)
DROPPING = roster.wigwag("wigwag", "wigwag", BENCH_SLOW="drop")
FEW, MANY = "few: ", "many: "
WITH_SLOW = (
    Way(DROPPING, FEW + WITHOUT),
    Way(DROPPING, FEW + STALLED),
    Way(DROPPING, MANY + WITHOUT),
    Way(DROPPING, MANY + TRICKLING),
    *(
        Way(peer, FEW + situation)
        for peer in (roster.BUN, roster.WS, roster.GO, roster.STARLETTE)
        for situation in (WITHOUT, STALLED)
    ),
)


def measure_core(way: Way, scale: Scale, url: str | None) -> Iterator[Sample]:
    """Core alone: no server, no load."""
    words = [
        sys.executable,
        str(FOLDER / "core_alone.py"),
        str(scale.run_s / 4),
        *map(str, scale.held_in_core),
    ]
    done = subprocess.run(pinned(SERVER_CORE, words), stdout=subprocess.PIPE, text=True, check=True)
    for cell, cost_us in json.loads(done.stdout).items():
        yield Sample(cell, way.name, value=cost_us)


def _ways(peers: Sequence[Peer]) -> tuple[Way, ...]:
    return tuple(Way(peer) for peer in peers)


_WITHOUT_ECHO = (roster.ORIJS, roster.BROADCASTER)  # theirs is Bun's and Starlette's
GROUPS: tuple[Group, ...] = (
    Group("fanout", "Fan-out", _ways(roster.ALL), on_stage(play_fanout)),
    Group(
        "echo", "Echo", _ways([peer for peer in roster.ALL if peer not in _WITHOUT_ECHO]), on_stage(play_echo)
    ),
    Group("idle", "Idle connections", _ways(roster.ALL), on_stage(play_idle)),
    Group("brokers", "Through brokers", _ways(THROUGH_BROKERS), on_stage(play_brokers)),
    Group("crowds", "Crowds", _ways((roster.OURS, roster.BUN)), on_stage(play_crowds)),
    Group("topics", "Topics", _ways((roster.OURS, roster.BUN)), on_stage(play_topics)),
    Group("slow", "Slow readers", WITH_SLOW, on_stage(play_slow)),
    Group("returning", "Returning", _ways((roster.OURS,)), on_stage(play_returning), is_once=True),
    Group("core", "Core alone", _ways((roster.OURS,)), measure_core),
)


def groups_of_sources(checkouts: Mapping[str, Path], ws: str) -> tuple[Group, ...]:
    """The decisive cases alone, for wigwag from each of these checkouts, by the name that it is to have."""
    ways = _ways(
        [
            roster.wigwag("wigwag", name, ws, PYTHONPATH=":".join(map(str, source_folders(checkout))))
            for name, checkout in checkouts.items()
        ]
    )
    return (
        Group("fanout", "Fan-out", ways, on_stage(play_decisive_fanout)),
        Group("echo", "Echo", ways, on_stage(play_echo)),
        Group("idle", "Idle connections", ways, on_stage(play_idle)),
    )


def source_folders(checkout: Path) -> list[Path]:
    """What goes before the installed packages, to have those of a checkout."""
    return [checkout / "core" / "src", *sorted(checkout.glob("providers/*/src"))]
