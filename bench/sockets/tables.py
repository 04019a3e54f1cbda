"""The tables of a report, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sockets import roster, targets
from sockets.per_socket import ECHO, ECHO_PIPELINED, HANDSHAKE, MEMORY, TYPED
from sockets.results import Results, Stat
from sockets.slow_readers import FEW, MANY

DASH = "\N{EN DASH}"
KIB = 1024


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, unit: str = "") -> str:
    """With three digits that count."""
    if value is None:
        return DASH
    return f"{value:,.0f}{unit}" if value >= 100 else f"{value:.3g}{unit}"


def share(value: float | None) -> str:
    """In percent."""
    return DASH if value is None else f"{value:.0%}"


def _with_ratio(results: Results, cell: str, way: str, to: str) -> str:
    ratio = results.ratio(cell, way, to)
    beside = f" ({number(ratio)}{targets.TIMES})" if ratio is not None and way != to else ""
    return number(results.median(cell, way)) + beside


def _ways(results: Results, cells: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(way for cell in cells for way in results.ways(cell)))


def costs(results: Results, group: str, to: str = roster.BUN.name) -> str:
    """µs of CPU time, and the ratio to one of them: a row for each server, a column for each cell."""
    cells = results.cells(group)
    cells = [cell for cell in cells if not cell.endswith("/failed")]
    rows = ([way, *(_with_ratio(results, c, way, to) for c in cells)] for way in _ways(results, cells))
    return table(["", *(cell.partition("/")[2] for cell in cells)], rows)


def latencies(results: Results, group: str) -> str:
    """Percentiles, p50 and p99, in ms."""
    cells = [c for c in results.cells(group) if not c.endswith("/failed")]

    def both(cell: str, way: str) -> str:
        stats: tuple[Stat, ...] = ("p50_us", "p99_us")
        found = [results.median(cell, way, stat) for stat in stats]
        return " / ".join(number(value and value / 1e3) for value in found)

    rows = ([way, *(both(cell, way) for cell in cells)] for way in _ways(results, cells))
    return table(["p50 / p99, ms", *(cell.partition("/")[2] for cell in cells)], rows)


def idle(results: Results) -> str:
    """Memory and handshakes."""

    def row(way: str) -> list[str]:
        memory = results.median(MEMORY, way)
        handshake = _with_ratio(results, HANDSHAKE, way, roster.BUN.name)
        p99_us = results.median(HANDSHAKE, way, "p99_us")
        return [way, number(memory and memory / KIB), handshake, number(p99_us and p99_us / 1e3)]

    header = ["", "KiB a connection", "µs CPU a handshake", "its p99, ms, 64 at once"]
    return table(header, (row(way) for way in _ways(results, [HANDSHAKE, MEMORY])))


def growth(results: Results, group: str, head: str) -> str:
    """A column for each number of topics or subscribers."""
    cells = [cell for cell in results.cells(group) if not cell.endswith("/failed")]
    rows = ([way, *(number(results.median(cell, way)) for cell in cells)] for way in _ways(results, cells))
    return table([head, *(f"{int(cell.partition('/')[2]):,}" for cell in cells)], rows)


def returning(results: Results) -> str:
    """The server's memory, while guests are there and when they have gone: a column for each time."""
    cells = results.cells("returning")
    rows = (
        [way, *(number((results.median(cell, way) or 0.0) / KIB / KIB) for cell in cells)]
        for way in _ways(results, cells)
    )
    return table(["MiB", *(cell.partition("/")[2] for cell in cells)], rows)


def slow(results: Results) -> str:
    """What the others get while some do not read, and what the server keeps for those."""

    def row(cell: str, way: str) -> list[str]:
        stats = [results.median(cell, way, stat) for stat in ("value", "p50_us", "p99_us", "grown_bytes")]
        cost_us, p50_us, p99_us, grown = stats
        times = [number(value and value / 1e3) for value in (p50_us, p99_us)]
        grown_text = DASH if grown is None else f"{grown / KIB / KIB:.1f}"
        return [way, number(cost_us), *times, grown_text]

    rows = [row(cell, way) for cell in (FEW, MANY) for way in results.ways(cell)]
    failed = (
        [way, results.errors("slow/failed", way)[0], DASH, DASH, DASH] for way in results.ways("slow/failed")
    )
    return table(["", "µs CPU a delivery", "p50, ms", "p99, ms", "memory grown, MiB"], [*rows, *failed])


def reached(results: Results) -> str:
    """The targets."""
    rows = (
        [row.what, number(row.measured, row.unit), f"{row.limit:g}{row.unit}", row.verdict]
        for row in targets.rows(results)
    )
    return table(["", "measured", "at most", ""], rows)


def load_check(results: Results) -> str:
    """How much of its processor each side used: the floor's shows what the load generator can do."""
    cells = [*results.cells("fanout"), ECHO, ECHO_PIPELINED]
    chosen = [(c, way) for c in cells for way in (roster.FLOOR.name, roster.OURS.name, roster.BUN.name)]

    def row(cell: str, way: str) -> list[str]:
        costs_us = [number(results.median(cell, way, stat)) for stat in ("value", "load_us", "joined")]
        shares = [share(results.median(cell, way, stat)) for stat in ("server_share", "load_share")]
        return [f"{cell}: {way}".replace("/", ", "), *costs_us, *shares]

    rows = (row(cell, way) for cell, way in chosen if results.of(cell, way))
    return table(
        ["", "server's µs a unit", "generator's µs", "units a read", "server busy", "generator busy"], rows
    )


def noise(results: Results) -> str:
    """The same server measured twice, and how far the rounds lie apart."""

    def rows() -> Iterator[list[str]]:
        for cell in (*results.cells("fanout"), ECHO, ECHO_PIPELINED, TYPED, HANDSHAKE, MEMORY):
            ratio = results.ratio(cell, roster.AGAIN.name, roster.OURS.name)
            if ratio is not None:
                spread = share(results.spread(cell, roster.OURS.name))
                yield [cell.replace("/", ", "), f"{ratio:.3f}", spread]

    return table(["", "second median to the first", "rounds lie apart by"], rows())


def failures(results: Results) -> str:
    """Who was not there, and who failed; empty where nobody did."""
    lines = [f"- {name}: not measured: {why}." for name, why in results.absent.items()]
    for group in dict.fromkeys(s.cell for s in results.samples if s.cell.endswith("/failed")):
        if group != "slow/failed":
            for way in results.ways(group):
                errors = results.errors(group, way)
                lines.append(f"- {group.partition('/')[0]}, {way}: failed {len(errors)} times: {errors[0]}.")
    return "\n".join(lines) or "None."
