"""Autobahn's fuzzing client: run it on an agent, read its report."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autobahn.agent import Agent, AgentProcess
from servers.process import spawn

ROOT = Path(__file__).parents[2]
#: Made by ``tools/autobahn``.
WSTEST = ROOT / ".autobahn/environment/bin/wstest"

OK, INFORMATIONAL, UNIMPLEMENTED = "OK", "INFORMATIONAL", "UNIMPLEMENTED"
_COMPRESSION_GROUPS = (12, 13)
_NAME = "agent"
_SHOWN_CHARACTERS = 2000


class NotRun(Exception):
    """The suite did not come to its end, or the agent was not what it should be."""


@dataclass(frozen=True)
class Result:
    """What one case found."""

    case: str
    behavior: str
    behavior_on_close: str
    duration_s: float
    details: Path

    @property
    def group(self) -> int:
        """The first number of the case: what it is about."""
        return int(self.case.partition(".")[0])

    @property
    def outcome(self) -> str:
        """OK, INFORMATIONAL where the RFC leaves it open, or the word for what is wrong."""
        found = (self.behavior, self.behavior_on_close)
        wrong = [word for word in found if word not in (OK, INFORMATIONAL)]
        return wrong[0] if wrong else INFORMATIONAL if INFORMATIONAL in found else OK

    def is_expected_of(self, agent: Agent) -> bool:
        """Whether it is right; one that does not compress has not implemented it, no more and no less."""
        if self.group in _COMPRESSION_GROUPS and not agent.is_compressing:
            return self.outcome == UNIMPLEMENTED
        return self.outcome in (OK, INFORMATIONAL)

    def __str__(self) -> str:
        details = json.loads(self.details.read_text())
        return (
            f"{self.case} is {self.behavior}, its close {self.behavior_on_close} ({details['remoteCloseCode']})\n"
            f"  does:     {_plain(details['description'])}\n"
            f"  expects:  {_plain(details['expectation'])}\n"
            f"  found:    {_plain(details['result'])} {_plain(details['resultClose'])}\n"
            f"  received: {details['received']}"
        )


def _plain(html: str) -> str:
    return re.sub(r"<[^>]*>|\s+", " ", html).strip()


@dataclass(frozen=True)
class Run:
    """What the suite found of an agent, and what that printed meanwhile."""

    agent: Agent
    results: Sequence[Result]
    said: str

    @property
    def unexpected(self) -> list[Result]:
        """The cases that came out wrong."""
        return [result for result in self.results if not result.is_expected_of(self.agent)]

    @property
    def complaints(self) -> list[str]:
        """All that is wrong: a client that misbehaves is nothing for a server's log of warnings either."""
        printed = [f"{self.agent}: it printed\n{self.said[:_SHOWN_CHARACTERS]}"] if self.said else []
        return [*(f"{self.agent}: {result}" for result in self.unexpected), *printed]


def fuzz(agent: Agent, cases: Sequence[str], directory: Path, limit_s: float) -> Run:
    """Run these cases (``3.2``, or ``3.*`` for a group) on the agent, started for that.  The suite's report
    for a browser is then in the directory (``index.html``), with what both sides printed.

    Raises:
        NotRun: the suite did not end within the limit, or with less than all cases; or the agent compresses
            where it should not, or the other way round.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with AgentProcess(agent) as server:
        if server.compresses != agent.is_compressing:
            raise NotRun(f"{agent}: it is {'on' if server.compresses else 'off'} indeed")
        _run_client(server.url, cases, directory, limit_s)
        server.stop()
        said = server.log.read_text(errors="replace")
    (directory / "agent.log").write_text(said)
    return Run(agent, _read(directory), said)


def _run_client(url: str, cases: Sequence[str], directory: Path, limit_s: float) -> None:
    specification = directory / "specification.json"
    servers = [{"agent": _NAME, "url": url}]
    specification.write_text(json.dumps({"outdir": str(directory), "servers": servers, "cases": [*cases]}))
    command = (str(WSTEST), "-m", "fuzzingclient", "-s", str(specification))
    client = spawn(command, log=directory / "client.log", cwd=directory, env=_environment())
    try:
        client.wait(limit_s)
    except subprocess.TimeoutExpired as exc:
        raise NotRun(f"the suite did not end within {limit_s:g} s: {directory / 'client.log'}") from exc
    finally:
        client.kill()
        client.wait()


def _environment() -> dict[str, str]:
    # What leads our Python to modules would lead that one astray: this package has the name of one of its own.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**plain, "PYTHONWARNINGS": "ignore"}  # that CPython 2.7 is no longer supported, we know


def _read(directory: Path) -> list[Result]:
    said = (directory / "client.log").read_text(errors="replace")
    chosen = re.search(r"will run (\d+) test cases", said)
    report = directory / "index.json"
    found: dict[str, Any] = json.loads(report.read_text()).get(_NAME, {}) if report.exists() else {}
    if chosen is None or not 0 < int(chosen[1]) == len(found):
        raise NotRun(f"not all cases were run:\n{said[-_SHOWN_CHARACTERS:]}")
    return [
        Result(
            case,
            one["behavior"],
            one["behaviorClose"],
            one["duration"] / 1000,
            directory / one["reportfile"],
        )
        for case, one in sorted(found.items(), key=lambda item: _order(item[0]))
    ]


def _order(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]
