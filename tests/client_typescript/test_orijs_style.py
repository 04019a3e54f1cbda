"""A client written in OriJS's way, which knows nothing of wigwag, works against the server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from e2e.process import Service

pytestmark = pytest.mark.needs("node")


def test_flat_frames_names_and_heartbeats(project: Path, server: Service) -> None:
    said = subprocess.run(
        ("node", "orijs_style.mjs", f"{server.ws}/ws?user=u"),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    assert json.loads(said) == [
        {"data": {"text": "one"}, "timestamp": "number"},
        {"data": {"text": "two"}, "timestamp": "number"},
    ]
