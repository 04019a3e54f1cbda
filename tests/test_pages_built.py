"""The scripts of pages that stand in the repository are those that their sources give."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.needs("node")
def test_what_pages_are_served_is_what_its_sources_give() -> None:
    done = subprocess.run(
        ("node", "tools/pages.mjs", "--check"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
