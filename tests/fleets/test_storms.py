"""Fleets in a storm: every message once and in order, or the sockets told. Nothing else.

``WIGWAG_FLEET_SEED`` runs a seed again, ``WIGWAG_FLEET_SECONDS`` for longer; ``-s`` shows the counts.
"""

from __future__ import annotations

import os
import secrets

import pytest

from fleets.grounds import Ground
from fleets.run import run

pytestmark = pytest.mark.anyio
SECONDS = float(os.environ.get("WIGWAG_FLEET_SECONDS", "6"))
SEED = os.environ.get("WIGWAG_FLEET_SEED", "")
#: Another one in each run, the same one in all workers of pytest-xdist.
NEW_SEED = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex(4))[:8]
SHOWN = 12


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize(("size", "seed"), [(2, SEED or "wigwag"), (5, SEED or NEW_SEED)])
async def test_every_message_comes_once_and_in_order_or_its_sockets_are_told(
    ground: Ground, size: int, seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = await run(ground, size, seed, SECONDS)
    with capsys.disabled():
        print(f"\n{report.line}")  # noqa: T201 - the seed, by which a run is repeated
    wrongs = report.verdict.wrongs
    shown = "\n".join(wrongs[:SHOWN])
    assert not wrongs, f"{len(wrongs)} wrongs; WIGWAG_FLEET_SEED={seed}\n{shown}\n{report.line}"
