"""A thousand clients whose server went away come back spread out, as the backoff says.

``pytest -o log_cli=true --log-cli-level=INFO`` draws it.
"""

from __future__ import annotations

import json
import logging
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.browsing import post
from e2e.process import Service

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.needs("node")

COUNT = 1000
BASE_MS = 500
CAP_MS = 20_000


def histogram(values: list[float], width: int) -> dict[int, int]:
    """How many values lie in each interval, by where it begins."""
    return dict(sorted(Counter(int(value // width * width) for value in values).items()))


def drawn(counts: dict[int, int]) -> str:
    most = max(counts.values())
    return "\n".join(f"{at:6} ms {count:5} {'#' * round(40 * count / most)}" for at, count in counts.items())


def test_a_thousand_clients_come_back_spread_out(
    project: Path, server: Service, record_property: Callable[[str, Any], None]
) -> None:
    command = ("node", "thousand.mjs", f"{server.ws}/ws?user=u", str(COUNT))
    with subprocess.Popen(
        command, cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as clients:
        assert clients.stdin is not None
        assert clients.stdout is not None
        assert json.loads(clients.stdout.readline()) == "connected"
        server.kill()
        server.start()
        seen = json.loads(clients.stdout.readline())
        post(f"{server.api}/publish", {"topic": "all", "name": "said", "data": {"text": "all are back"}})
        clients.stdin.write("how many?\n")
        clients.stdin.flush()
        heard = json.loads(clients.stdout.readline())
        clients.stdin.close()
    assert heard == COUNT  # each is in its room, once
    assert len(seen["back"]) == COUNT

    for attempt, delay, passed in seen["pauses"]:
        most = min(BASE_MS + BASE_MS * 2 ** (attempt - 1), CAP_MS)
        assert BASE_MS <= delay <= most, attempt
        assert passed >= delay - 5, "an attempt was made too early"
    first = [delay for attempt, delay, _ in seen["pauses"] if attempt == 1]
    assert len(first) == COUNT
    tenths = histogram(first, 50)
    # 100 are expected in each; five standard deviations are allowed.
    assert len(tenths) == 10
    assert all(52 <= count <= 148 for count in tenths.values()), tenths
    # And so are they made: not at once, though a busy machine may bunch some.
    made = histogram([passed for attempt, _, passed in seen["pauses"] if attempt == 1], 50)
    assert max(made.values()) < COUNT / 2, made

    arrived = histogram(seen["back"], 100)
    record_property("pauses before the first attempt, ms", tenths)
    record_property("back after, ms", arrived)
    logger.info("pauses before the first attempt:\n%s\nback after:\n%s", drawn(tenths), drawn(arrived))
