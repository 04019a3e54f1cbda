"""Draws the plots of the page: ``python -m sockets.plots RESULTS FOLDER``, in the peers' environment (matplotlib).

No background, and colours of middle lightness, so that a page may be light or dark.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from sockets import roster
from sockets.deliveries import MANY_SMALL, SINGLE_SMALL, broker_cell
from sockets.per_socket import ECHO, ECHO_PIPELINED, HANDSHAKE, MEMORY, TYPED
from sockets.results import Results, load

INK, FAINT = "#7d8590", "#7d859055"
OURS_COLOUR, BUN_COLOUR, FLOOR_COLOUR, OTHER_COLOUR = "#e0762f", "#3f9d74", "#9aa1ab", "#6f93c4"
WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 9.6, 0.27, 0.95  # inches
STYLE = {
    "svg.hashsalt": "wigwag",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
#: What the growth of core has behind its name.
JOINS = ", join + leave"
#: A panel: its title, and a value for each row.
Panel = tuple[str, Mapping[str, float]]


def colour_of(name: str) -> str:
    """Ours, what it is to be like, the floor under both, and all the others."""
    if name.startswith(roster.OURS.name):
        return OURS_COLOUR
    if name.startswith(roster.FLOOR.name):
        return FLOOR_COLOUR
    return BUN_COLOUR if name.startswith(roster.BUN.name) else OTHER_COLOUR


def plain(value: float, _: object = None) -> str:
    """A number as one reads it."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def medians(results: Results, cell: str, scale: float = 1.0) -> dict[str, float]:
    """Of each server that is no repetition."""
    found: dict[str, float] = {}
    for way in results.ways(cell):
        median = results.median(cell, way)
        if median is not None and not way.startswith(roster.AGAIN.name):
            found[way] = median * scale
    return found


def bars(panels: Sequence[Panel], path: Path) -> None:
    """Panels side by side, with the same rows: the cheapest of the first panel on top."""
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return
    names = sorted(
        dict.fromkeys(n for _, values in panels for n in values), key=lambda name: _rank(name, panels)
    )
    figure = Figure((WIDTH, HEAD_HEIGHT + ROW_HEIGHT * len(names)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, values) in zip(axes, panels, strict=True):
        _draw_bars(axis, title, names, values)
    save(figure, path)


def _rank(name: str, panels: Sequence[Panel]) -> tuple[int, float]:
    for number, (_, values) in enumerate(panels):
        if name in values:
            return number, values[name]
    return len(panels), 0.0


def _draw_bars(axis: Any, title: str, names: Sequence[str], values: Mapping[str, float]) -> None:
    rows = [row for row, name in enumerate(names) if name in values]
    widths = [values[names[row]] for row in rows]
    drawn = axis.barh(rows, widths, height=0.68, color=[colour_of(names[row]) for row in rows])
    axis.bar_label(drawn, [plain(width) for width in widths], padding=3, color=INK, fontsize=9)
    axis.set_xscale("log")
    axis.set_xlim(min(widths) * 0.5, max(widths) * 4)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_title(title, loc="left")
    _finish(axis, axis.xaxis)


def lines(panels: Sequence[tuple[str, str, Mapping[str, Mapping[int, float]]]], path: Path) -> None:
    """Panels with a line for each server: title, what is below the axis, values by number."""
    figure = Figure((WIDTH, 3.1), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, below, by_name) in zip(axes, panels, strict=True):
        for name, values in by_name.items():
            dashes = "o--" if JOINS in name else "o-"
            axis.plot(
                list(values), list(values.values()), dashes, color=colour_of(name), label=name, markersize=4
            )
        most = max((value for values in by_name.values() for value in values.values()), default=1.0)
        axis.set_xscale("log")
        axis.set_ylim(0, most * 1.75)  # the legend is above them all
        axis.set_title(title, loc="left")
        axis.set_xlabel(below)
        axis.legend(loc="upper right", labelcolor=INK)
        axis.grid(axis="y")
        _finish(axis, axis.xaxis)
    save(figure, path)


def _finish(axis: Any, logarithmic: Any) -> None:
    logarithmic.set_major_formatter(FuncFormatter(plain))
    logarithmic.set_minor_formatter(NullFormatter())
    axis.grid(axis="x")
    axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """As SVG that is the same for the same numbers."""
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def draw_fanout(results: Results, path: Path) -> None:
    """Fan-out."""
    title = "{} in flight, 128 B: µs CPU a delivery"
    bars(
        [(title.format(n), medians(results, cell)) for n, cell in (("one", SINGLE_SMALL), (16, MANY_SMALL))],
        path,
    )


def draw_echo(results: Results, path: Path) -> None:
    """Echo, with wigwag's typed requests as a row more."""
    single = medians(results, ECHO)
    typed = results.median(TYPED, roster.OURS.name)
    if typed is not None:
        single[f"{roster.OURS.name}, typed request"] = typed
    pipelined = medians(results, ECHO_PIPELINED)
    bars(
        [("one outstanding: µs CPU a message", single), ("16 outstanding: µs CPU a message", pipelined)], path
    )


def draw_idle(results: Results, path: Path) -> None:
    """Memory and handshakes."""
    memory = medians(results, MEMORY, 1 / 1024)
    memory.pop(roster.FLOOR.name, None)  # it keeps nothing of a connection
    bars([("KiB an idle connection", memory), ("µs CPU a handshake", medians(results, HANDSHAKE))], path)


def draw_brokers(results: Results, path: Path) -> None:
    """Through brokers."""
    title = "{} in flight, 128 B: µs CPU a delivery"
    bars([(title.format(n), medians(results, broker_cell(k))) for n, k in (("one", 1), (16, 16))], path)


def draw_growth(results: Results, path: Path) -> None:
    """Subscribers, topics held."""

    def by_number(group: str, suffix: str = "") -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {}
        for cell in results.cells(group):
            if not cell.endswith("/failed"):
                for way, value in medians(results, cell).items():
                    found.setdefault(way + suffix, {})[int(cell.partition("/")[2])] = value
        return found

    topics = by_number("topics", ", publish") | by_number("joins", JOINS)
    crowds = by_number("crowds")
    if topics and crowds:
        lines([("µs CPU a delivery", "subscribers", crowds), ("µs CPU", "other topics held", topics)], path)


DRAW: Mapping[str, Callable[[Results, Path], None]] = {
    "fanout": draw_fanout,
    "echo": draw_echo,
    "idle": draw_idle,
    "brokers": draw_brokers,
    "growth": draw_growth,
}


def main() -> None:
    """Draw them all."""
    mpl.rcParams.update(STYLE)
    results, folder = load(Path(sys.argv[1])), Path(sys.argv[2])
    for name, draw in DRAW.items():
        draw(results, folder / f"{name}.svg")


if __name__ == "__main__":
    main()
