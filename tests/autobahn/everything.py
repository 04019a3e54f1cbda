"""All of Autobahn's cases on all agents, and a table of what they found: ``make autobahn``.

Exits with 1 where anything is wrong.  The suite's own reports, for a browser, are in ``.autobahn/reports``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from autobahn.agent import APPLICATIONS, Agent
from autobahn.cases import ALL_COMPRESSION_CASES, GROUPS, LIMIT_CASES, PROTOCOL_CASES
from autobahn.client import INFORMATIONAL, OK, ROOT, UNIMPLEMENTED, WSTEST, NotRun, Result, Run, fuzz
from servers.process import NotStarted

#: Client and server wait for each other: a pair takes one core.
PAIRS_AT_ONCE = 2
LIMIT_S = 1200.0
REPORTS = ROOT / ".autobahn/reports"

Job = tuple[Agent, Sequence[str], Path]


def _jobs() -> Iterator[Job]:
    """Each agent's cases in portions, the longest ones first."""
    agents = [Agent(application=each, is_compressing=on) for on in (True, False) for each in APPLICATIONS]
    for agent in agents:
        compression = [(cases,) for cases in ALL_COMPRESSION_CASES]
        portions = compression if agent.is_compressing else [ALL_COMPRESSION_CASES]
        where = REPORTS / f"{agent.application}-{'compressing' if agent.is_compressing else 'plain'}"
        for cases in (*portions, LIMIT_CASES, PROTOCOL_CASES):
            yield agent, cases, where / cases[0].rstrip(".*")


def _run_all(jobs: Sequence[Job]) -> tuple[list[Run], list[str]]:
    """Run them, and say when each is done; return what they found, and why some did not come to that."""
    runs: list[Run] = []
    failures: list[str] = []
    with ThreadPoolExecutor(PAIRS_AT_ONCE) as pool:
        futures = {pool.submit(fuzz, *job, LIMIT_S): job for job in jobs}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                agent, cases, _ = futures[future]
                try:
                    runs.append(future.result())
                except (NotRun, NotStarted) as exc:
                    failures.append(f"{agent}: {' '.join(cases)}: {exc}")
                    found = "not run"
                else:
                    found = f"{len(runs[-1].unexpected) or 'nothing'} wrong"
                _say(f"{number:3} of {len(jobs)}: {agent}: {' '.join(cases)}: {found}")
        except BaseException:  # Ctrl-C: those that run end with us
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return runs, failures


def _table(agent: Agent, results: Sequence[Result]) -> Iterator[str]:
    yield f"\n{agent}, {agent.protocol}"
    declined = "" if agent.is_compressing else "declined"
    yield f"{'group':30}{'cases':>7}{'OK':>6}{'informational':>15}{declined:>10}{'others':>8}{'seconds':>9}"
    for group, about in GROUPS.items():
        yield _row(f"{group:2}  {about}", [result for result in results if result.group == group], agent)
    yield _row("    all", results, agent)


def _row(title: str, results: Sequence[Result], agent: Agent) -> str:
    right = [result.outcome for result in results if result.is_expected_of(agent)]
    counts = [right.count(outcome) for outcome in (OK, INFORMATIONAL, UNIMPLEMENTED)]
    declined = "" if agent.is_compressing else counts[2]
    seconds = sum(result.duration_s for result in results)
    others = len(results) - len(right)
    return f"{title:30}{len(results):7}{counts[0]:6}{counts[1]:15}{declined:>10}{others:8}{seconds:9.1f}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run all; return the exit code."""
    if not WSTEST.exists():
        return 0  # tools/autobahn has said why
    shutil.rmtree(REPORTS, ignore_errors=True)
    runs, complaints = _run_all([*_jobs()])
    for agent in dict.fromkeys(run.agent for run in runs):
        found = [result for run in runs if run.agent == agent for result in run.results]
        _say("\n".join(_table(agent, found)))
    complaints += [complaint for run in runs for complaint in run.complaints]
    _say("\n".join(["", *complaints] if complaints else ["", "Nothing is wrong."]))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
