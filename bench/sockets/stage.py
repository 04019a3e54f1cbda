"""A server with the load generator before it, and what is measured there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sockets.generator import Generator, Window
from sockets.results import Sample
from sockets.roster import Peer
from sockets.scale import Scale
from sockets.server import Server


@dataclass(frozen=True)
class Way:
    """One of those that are compared: a server, where need be in one of several situations."""

    peer: Peer
    variant: str = ""

    @property
    def name(self) -> str:
        """As the tables have it."""
        return f"{self.peer.name}, {self.variant}" if self.variant else self.peer.name


#: Measures a way once, ``url`` being its broker's.
Measure = Callable[[Way, Scale, str | None], Iterator[Sample]]


@dataclass(frozen=True)
class Group:
    """What belongs together: measured in the same rounds, the ways in turn."""

    name: str
    title: str
    ways: Sequence[Way]
    measure: Measure
    is_once: bool = False  # one round is enough, since it repeats itself


@dataclass(frozen=True)
class Stage:
    """A server that runs, and its load."""

    way: Way
    server: Server
    load: Generator
    scale: Scale

    def join_topic(self, subscribers: int) -> None:
        """Connect so many to the topic, and a publisher."""
        dialect = self.way.peer.dialect
        self.load.open("subscribers", subscribers)
        self.load.ask("subscribers", dialect.join)
        self.load.open("publisher")

    def timing(self, in_flight: int, payload_bytes: int) -> dict[str, float]:
        """What a scenario is told in numbers."""
        scale = self.scale
        times = {"warm_s": scale.warm_s, "run_s": scale.run_s, "limit_s": scale.limit_s}
        return {"in_flight": in_flight, "bytes": payload_bytes, **times}

    def fan_out(self, in_flight: int, payload_bytes: int) -> Window:
        """Publish to those who joined."""
        return self.load.fan_out("subscribers", self.timing(in_flight, payload_bytes))

    def sample(self, cell: str, window: Window, *, grown_bytes: float = 0.0) -> Sample:
        """A sample of CPU time a unit."""
        return Sample(
            cell,
            self.way.name,
            value=window.server_cpu_s / window.units * 1e6,
            p50_us=window.p50_us,
            p99_us=window.p99_us,
            server_share=window.server_cpu_s / window.wall_s,
            load_share=window.own_cpu_s / window.wall_s,
            load_us=window.own_cpu_s / window.units * 1e6,
            joined=window.units / window.reads if window.reads else 0.0,
            grown_bytes=grown_bytes,
            remark=self.server.remark,
        )


def on_stage(play: Callable[[Stage], Iterator[Sample]]) -> Measure:
    """Start the server anew for each measurement; what goes wrong with it becomes a sample too."""

    def measure(way: Way, scale: Scale, url: str | None) -> Iterator[Sample]:
        with Server(way.peer, url) as server, Generator(server, way.peer.dialect) as load:
            yield from play(Stage(way, server, load, scale))

    return measure
