"""The measurements of bench/sockets run, so that they are there when somebody wants to measure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.needs("cc")
def test_a_quick_look_at_wigwag_and_the_floor_makes_a_report(tmp_path: Path) -> None:
    options = ["--quick", "--only", "wigwag", "--only", "floor"]
    for case in ("fanout", "echo", "idle"):
        options += ["--case", case]
    done = subprocess.run(
        [ROOT / "tools/bench", *options, "--results", tmp_path / "results.json"],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = done.stdout
    for title in ("## Fan-out", "## Echo, typed requests", "## Idle connections"):
        section = page.partition(title)[2].partition("\n## ")[0]
        assert "\n| wigwag |" in section, page
        assert "\n| C floor |" in section, page
    assert "wigwag.uvicorn:WebSocketProtocol" in page
    assert "wrong" not in page.lower().partition("## noise")[2], page
