"""What was measured, as it is kept in a file and as it is asked for: medians over rounds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Stat = Literal["value", "p50_us", "p99_us", "server_share", "load_share", "load_us", "joined", "grown_bytes"]


@dataclass(frozen=True)
class Sample:
    """One measurement of one cell, on one server, in one round.

    ``value`` is µs of CPU time a unit, or bytes of memory a connection. ``error`` says what went wrong instead.
    """

    cell: str
    way: str
    round: int = 0
    value: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    server_share: float = 0.0  # how much of its processor the server used
    load_share: float = 0.0  # and the load generator
    load_us: float = 0.0  # the load generator's own CPU time a unit
    joined: float = 0.0  # units that came together in one read
    grown_bytes: float = 0.0  # of the server, at its most
    remark: str = ""  # what the server said of itself: its WebSocket class
    error: str | None = None


@dataclass
class Results:
    """All of a run, and what it was run on."""

    facts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)  # of the scale: subscribers, rounds, …
    absent: dict[str, str] = field(default_factory=dict)  # servers that could not be started, and why
    samples: list[Sample] = field(default_factory=list)

    def ways(self, cell: str) -> list[str]:
        """Who was measured, in the order of the first round."""
        return list(dict.fromkeys(sample.way for sample in self.samples if sample.cell == cell))

    def of(self, cell: str, way: str, stat: Stat = "value") -> list[float]:
        """What was measured in each round."""
        return [getattr(sample, stat) for sample in self._of(cell, way) if sample.error is None]

    def median(self, cell: str, way: str, stat: Stat = "value") -> float | None:
        """None where it was not measured."""
        found = self.of(cell, way, stat)
        return statistics.median(found) if found else None

    def ratio(
        self, cell: str, way: str, to: str, to_cell: str | None = None, stat: Stat = "value"
    ) -> float | None:
        """Of two medians."""
        above, below = self.median(cell, way, stat), self.median(to_cell or cell, to, stat)
        return above / below if above is not None and below else None

    def spread(self, cell: str, way: str) -> float | None:
        """How far the rounds lie apart, as a share of their median."""
        found = self.of(cell, way)
        return (max(found) - min(found)) / statistics.median(found) if len(found) > 1 else None

    def errors(self, cell: str, way: str) -> list[str]:
        """What went wrong."""
        return [sample.error for sample in self._of(cell, way) if sample.error is not None]

    def _of(self, cell: str, way: str) -> Iterator[Sample]:
        return (sample for sample in self.samples if sample.cell == cell and sample.way == way)

    def cells(self, prefix: str) -> list[str]:
        """Those of a group."""
        return list(dict.fromkeys(s.cell for s in self.samples if s.cell.startswith(f"{prefix}/")))

    def save(self, path: Path) -> None:
        """Write it down."""
        path.parent.mkdir(exist_ok=True)
        kept = {**vars(self), "samples": [asdict(sample) for sample in self.samples]}
        path.write_text(json.dumps(kept, indent=1))


def load(path: Path) -> Results:
    """Read what was saved."""
    kept = json.loads(path.read_text())
    kept["samples"] = [Sample(**sample) for sample in kept["samples"]]
    return Results(**kept)
