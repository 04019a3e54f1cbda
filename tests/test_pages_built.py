"""The scripts of pages that stand in the repository are those that their sources give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TYPESCRIPT = ROOT / "clients/typescript/node_modules/typescript/bin/tsc"


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("node")
def test_what_pages_are_served_is_what_its_sources_give() -> None:
    run("node", "tools/pages.mjs", "--check")


def test_the_messages_of_the_dashboard_are_those_of_its_application() -> None:
    wigwag = Path(sys.executable).with_name("wigwag")
    output = "examples/dashboard/web/messages.ts"
    run(wigwag, "typegen", "app:app", "--app-dir", "examples/dashboard", "-o", output, "--check")


@pytest.mark.needs("node")
def test_the_dashboard_uses_its_messages_as_they_are() -> None:
    run("node", TYPESCRIPT, "-p", "examples/dashboard/web")
