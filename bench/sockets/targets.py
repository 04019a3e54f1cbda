"""What wigwag is to reach: each row a quotient of two medians of one run, or a median, and its limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sockets import roster
from sockets.deliveries import MANY_LARGE, MANY_SMALL, SINGLE_LARGE, SINGLE_SMALL, broker_cell
from sockets.per_socket import ECHO, HANDSHAKE, MEMORY, TYPED
from sockets.results import Results, Stat
from sockets.slow_readers import FEW, MANY, STALLED, TRICKLING, WITHOUT

OURS, BUN, STARLETTE = roster.OURS.name, roster.BUN.name, roster.STARLETTE.name
KIB = 1024
TIMES = "\N{MULTIPLICATION SIGN}"
#: What may wait for one slow socket, unless set otherwise (Limits.send_bytes); and beside it, what the allocator keeps.
SEND_BYTES, SLACK_BYTES = 4 * KIB * KIB, KIB * KIB
#: What is flat: the table of topics outgrows the processor's caches, and a look-up costs a little more then.
FLAT = 1.25


class Row(NamedTuple):
    """What was asked, what was measured (None where it was not), the most that it may be, and in which unit."""

    what: str
    measured: float | None
    limit: float
    unit: str = TIMES

    @property
    def verdict(self) -> str:
        """In words."""
        if self.measured is None:
            return "not measured"
        return "reached" if self.measured <= self.limit else "**not reached**"


def rows(results: Results) -> Iterator[Row]:
    """All of them, in the order of the issue."""

    def ratio(cell: str, to: str, to_cell: str | None = None) -> float | None:
        return results.ratio(cell, OURS, to, to_cell)

    for cell in (SINGLE_SMALL, SINGLE_LARGE, MANY_SMALL, MANY_LARGE):
        yield Row(f"fan-out, {cell.partition('/')[2]}, to Bun", ratio(cell, BUN), 1.15)
    for cell in (MANY_SMALL, MANY_LARGE):
        yield Row(f"fan-out, {cell.partition('/')[2]}, to plain Starlette", ratio(cell, STARLETTE), 0.06)
    yield Row("raw echo, 128 B, synchronous handler, to Bun", ratio(ECHO, BUN), 1.3)
    yield Row("typed request and reply, to Bun's raw echo", ratio(TYPED, BUN, ECHO), 3)
    socket_io = roster.PYTHON_SOCKET_IO.name
    yield Row("typed request and reply, to python-socketio's", ratio(TYPED, socket_io, ECHO), 0.15)
    memory = results.median(MEMORY, OURS)
    yield Row("memory of an idle connection", None if memory is None else memory / KIB, 4, " KiB")
    yield Row("handshake, through routing and upgrade hook, to Bun", ratio(HANDSHAKE, BUN), 7)
    yield from _broker_rows(results)
    yield from _growth_rows(results)
    yield from _slow_rows(results)


def _broker_rows(results: Results) -> Iterator[Row]:
    cell, orijs = broker_cell(16), f"{roster.ORIJS.name}, redis"
    for broker in ("redis", "nats"):
        measured = results.ratio(cell, f"{OURS}, {broker}", orijs)
        yield Row(f"through {broker.title()}, 16 in flight, to OriJS-like on Redis", measured, 1.2)


def _growth_rows(results: Results) -> Iterator[Row]:
    for group, what, limit in (
        ("topics", "a publish with {} other topics held, to {}", 1.1),
        ("publishes", "a publish with {} other topics held, core only, to {}", 1.1),
        ("joins", "join and leave with {} topics, core only, to {}", FLAT),
    ):
        if cells := results.cells(group):
            least, most = cells[0], cells[-1]
            words = what.format(most.partition("/")[2], least.partition("/")[2])
            yield Row(words, results.ratio(most, OURS, OURS, least), limit)


def _slow_rows(results: Results) -> Iterator[Row]:
    few, many = f"{OURS}, few: ", f"{OURS}, many: "
    for cell, way, situation in ((FEW, few, STALLED), (MANY, many, TRICKLING)):
        measured = results.ratio(cell, way + situation, way + WITHOUT, stat="p99_us")
        crowd = "a hundred" if cell == FEW else "a thousand"
        yield Row(f"p99 of the others, {situation} of {crowd}, to without", measured, 1.2)
    grown: Stat = "grown_bytes"
    stalled, without = results.median(FEW, few + STALLED, grown), results.median(FEW, few + WITHOUT, grown)
    more = None if stalled is None or without is None else (stalled - without) / KIB / KIB
    yield Row("memory for one that is stalled", more, (SEND_BYTES + SLACK_BYTES) / KIB / KIB, " MiB")
