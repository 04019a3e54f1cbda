"""Autobahn finds nothing wrong, and nothing that is not strictly as RFC 6455 and RFC 7692 say.

``make autobahn`` runs all of its cases; these are those that take a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autobahn.agent import APPLICATIONS, Agent
from autobahn.cases import DECLINED_CASES, LIMIT_CASES, PROTOCOL_CASES, SOME_COMPRESSION_CASES
from autobahn.client import fuzz

LIMIT_S = 150.0
pytestmark = [pytest.mark.needs("autobahn"), pytest.mark.timeout(LIMIT_S + 60)]


def judge(cases: Sequence[str], directory: Path, *, is_compressing: bool) -> None:
    """Run the cases on both applications at once, since client and server wait for each other all the time."""
    agents = [Agent(application=each, is_compressing=is_compressing) for each in APPLICATIONS]
    with ThreadPoolExecutor(len(agents)) as pool:
        directories = [directory / agent.application for agent in agents]
        runs = list(pool.map(lambda agent, where: fuzz(agent, cases, where, LIMIT_S), agents, directories))
    wrong = [complaint for run in runs for complaint in run.complaints]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_frames_fragments_utf8_and_closing(tmp_path: Path) -> None:
    judge(PROTOCOL_CASES, tmp_path, is_compressing=False)


def test_large_messages_and_many(tmp_path: Path) -> None:
    judge(LIMIT_CASES, tmp_path, is_compressing=False)


def test_compression_where_it_is_on(tmp_path: Path) -> None:
    judge(SOME_COMPRESSION_CASES, tmp_path, is_compressing=True)


def test_compression_is_declined_where_it_is_off(tmp_path: Path) -> None:
    judge(DECLINED_CASES, tmp_path, is_compressing=False)
