"""Prometheus' own tool, as tools/promtool fetches it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def path() -> Path | None:
    """Where it is, if it is."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wigwag"
    fetched = Path(os.environ.get("WIGWAG_PROGRAMS") or cache) / "promtool"
    found = shutil.which("promtool")
    return Path(found) if found else fetched if fetched.exists() else None


def run(*arguments: str | Path, cwd: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run it; ``said`` is its standard input."""
    found = path()
    assert found is not None
    return subprocess.run(
        [found, *arguments], cwd=cwd, input=said, capture_output=True, text=True, timeout=60, check=False
    )
