"""Measures, and reports: ``tools/bench [--quick] [--only NAME]… [--case NAME]… [--write]``, see bench/README.md."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sockets import compare, facts, report
from sockets.groups import GROUPS, groups_of_sources
from sockets.machine import BUILT, ROOT, describe
from sockets.results import Results, load
from sockets.roster import ALL
from sockets.run import play_group, say
from sockets.scale import COMPARE, FULL, QUICK, Scale
from sockets.stage import Group, Way
from sockets.toolchains import Missing, load_program

KEYS = [peer.key for peer in ALL]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short round of everything, to see that it works"
    )
    parser.add_argument("--only", action="append", choices=KEYS, help="this server; may be repeated")
    parser.add_argument(
        "--case", action="append", choices=[group.name for group in GROUPS], help="this group alone"
    )
    parser.add_argument("--rounds", type=int, help="5, unless said otherwise")
    parser.add_argument(
        "--results", type=Path, default=BUILT / "results.json", help="where to keep what was measured"
    )
    parser.add_argument("--again", action="store_true", help="measure nothing: report what was kept")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    parser.add_argument(
        "--compare", nargs="?", const="", metavar="REV", help="this checkout's wigwag beside that of a commit"
    )
    parser.add_argument("--ws", default="auto", help="uvicorn's WebSocket class, for --compare")
    return parser.parse_args(arguments)


def chosen_ways(group: Group, only: Sequence[str] | None) -> list[Way]:
    """Those of the servers that were asked for."""
    return [way for way in group.ways if not only or way.peer.key in only]


def scale_of(options: argparse.Namespace) -> Scale:
    """How large it is to be."""
    scale = QUICK if options.quick else COMPARE if options.compare is not None else FULL
    return scale if options.rounds is None else replace(scale, rounds=options.rounds)


def measure(options: argparse.Namespace) -> Results:
    """Measure all that was asked for. What there is so far is kept after each group."""
    scale = scale_of(options)
    results = Results(numbers=scale.numbers())
    results.facts = facts.gather()
    for group in GROUPS:
        if not options.case or group.name in options.case:
            play_group(group, chosen_ways(group, options.only), scale, results)
            results.save(options.results)
    return results


def compare_sources(options: argparse.Namespace) -> str:
    """Measure the base and this checkout, twice."""
    base = compare.base_of(options.compare)
    results = Results()
    with compare.worktree(base) as tree:
        sources = {base: tree, compare.HERE: ROOT, compare.AGAIN: ROOT}
        for group in groups_of_sources(sources, options.ws):
            if not options.case or group.name in options.case:
                play_group(group, group.ways, scale_of(options), results)
    return f"{describe()}\nbase: {base}\n\n{compare.table(results, base)}\n"


def main(arguments: Sequence[str]) -> int:
    """Measure and report; returns the exit code."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended then too
    try:
        load_program()
        if options.compare is not None:
            sys.stdout.write(compare_sources(options))
            return 0
        results = load(options.results) if options.again else measure(options)
        page = report.page(results)
        sys.stdout.write(page)
        if options.write:
            report.write(page, options.results, ROOT / "docs")
    except Missing as exc:
        say(str(exc))
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
