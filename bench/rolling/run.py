"""A rolling restart under load, on each broker, and in wrong ways: see bench/README.md.

.venv/bin/python bench/rolling/run.py [--only redis] [--way drained] [--clients 1000] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

# ruff: noqa: E402 - what is run stands in tests/
from rolling.brokers import SERVERS, variables_of
from rolling.roll import WAYS, Load, Outcome, quantile, roll
from servers.kafka import is_available

HEAD = (
    "| broker | way | published | due | received | told: away, at the end, resync | silent | attempts failed "
    "| closed | away: median, 99 % | slowest publish |\n|---|---|---:|---:|---:|---|---:|---:|---|---|---:|\n"
)


def row(broker: str, way: str, outcome: Outcome) -> str:
    """A line of the table."""
    a, f, p = outcome.account, outcome.fortunes, outcome.publishing
    closed = ", ".join(f"{int(code)}: {count}" for code, count in sorted(f.closed.items()))
    doubt = f" ({a.doubt} in doubt)" if a.doubt else ""
    away = " s, ".join(f"{quantile(f.away_s, percent):.1f}" for percent in (50, 99))
    return (
        f"| {broker} | {way} | {a.taken}{doubt} | {a.due} | {a.received} | {a.away}, {a.at_the_end}, {a.resync} "
        f"| {len(a.silent)} | {sum(f.failed.values())} | {closed} | {away} s | {max(p.took_s):.2f} s |\n"
    )


def main() -> None:
    """Run what is asked for, and say of each what it came to; exit with 1 if anything was lost in silence."""
    ways = {way.name: way for way in WAYS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=SERVERS, action="append", help="this broker")
    parser.add_argument("--way", choices=ways, action="append", help="this way to replace replicas")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="write the table into this file")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # a client and the balancer have three each
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if 0 <= hard < 4 * given.clients + 200:
        sys.exit(f"{given.clients} clients need {4 * given.clients + 200} open files, and {hard} are allowed")
    load, rows, silent = Load(clients=given.clients, replicas=given.replicas), [HEAD], 0
    for broker in given.only or SERVERS:
        if broker == "kafka" and not is_available():
            sys.stdout.write("kafka: needs Java 17 and Maven, which fetches it\n")
            continue
        for name in given.way or ways:
            with SERVERS[broker]() as server:
                outcome = asyncio.run(roll(variables_of(broker, server), ways[name], load))
            sys.stdout.write("\n  ".join([f"{broker}, {name}", *outcome.lines()]) + "\n")
            sys.stdout.flush()
            rows.append(row(broker, name, outcome))
            silent += len(outcome.account.silent)
    if given.markdown is not None:
        given.markdown.write_text("".join(rows))
    sys.exit(1 if silent else 0)


if __name__ == "__main__":
    main()
