"""The page: what was measured, as tables in the text of template.md; and its plots beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from string import Template

from sockets import roster, tables
from sockets.deliveries import SINGLE_SMALL
from sockets.machine import FOLDER, ROOT
from sockets.results import Results
from sockets.scale import FULL
from sockets.toolchains import python

#: A server that has its processor for itself is busy so much of the time in fan-out.
ALONE_SHARE = 0.9


def page(results: Results) -> str:
    """In Markdown."""
    numbers = {name: f"{value:,g}" for name, value in results.numbers.items()}
    template = Template((FOLDER / "template.md").read_text())
    return template.substitute(
        numbers,
        **results.facts,
        warning=_warning(results),
        classes=_classes(results),
        targets=tables.reached(results),
        fanout=tables.costs(results, "fanout"),
        fanout_latency=tables.latencies(results, "fanout"),
        echo=tables.costs(results, "echo"),
        echo_latency=tables.latencies(results, "echo"),
        idle_table=tables.idle(results),
        brokers=tables.costs(results, "brokers", f"{roster.ORIJS.name}, redis"),
        crowds=tables.growth(results, "crowds", "subscribers"),
        topics=tables.growth(results, "topics", "other topics"),
        publishes=tables.growth(results, "publishes", "other topics"),
        joins=tables.growth(results, "joins", "topics held"),
        slow=tables.slow(results),
        comings=tables.returning(results),
        load_check=tables.load_check(results),
        noise=tables.noise(results),
        failures=tables.failures(results),
    )


def _classes(results: Results) -> str:
    """By which class each of ours spoke WebSocket."""
    ours = {
        sample.way: sample.remark
        for sample in results.samples
        if sample.cell.startswith("fanout/") and sample.way.startswith(roster.OURS.name) and sample.remark
    }
    return "; ".join(f"{way}: `{remark}`" for way, remark in ours.items()) or "not measured"


def _warning(results: Results) -> str:
    """What a reader must know of a run that is no measurement, or of a machine that was not free."""
    if results.numbers["rounds"] < FULL.rounds:
        return "\n**A quick look, too short and too small to say much.**\n"
    busy = results.median(SINGLE_SMALL, roster.FLOOR.name, "server_share")
    if busy is not None and busy < ALONE_SHARE:
        return f"\n**Others used the processors: the C floor had {busy:.0%} of its own in fan-out.**\n"
    return ""


def write(text: str, results: Path, folder: Path) -> None:
    """Write page and plots into a folder. Raises Missing where the environment for the plots can't be had."""
    (folder / "performance").mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [python(), "-m", "sockets.plots", results.resolve(), folder / "performance"]
    subprocess.run(
        command, env={**os.environ, "PYTHONPATH": f"{ROOT / 'bench'}:{ROOT / 'tests'}"}, check=True
    )
    (folder / "performance.md").write_text(text)
