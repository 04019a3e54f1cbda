"""Both sides with their defaults: who comes with as many rooms and messages as they allow is not refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from serving import LIMIT_S, serving
from wigwag.settings.known import ServiceSettings

pytestmark = pytest.mark.needs("node")


def test_all_rooms_and_a_full_buffer_fit_what_the_stock_service_takes_at_once(project: Path) -> None:
    rooms = ServiceSettings().topics_per_socket
    with serving() as service:
        command = ("node", "full_buffer.mjs", service.ws, str(rooms))
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, timeout=LIMIT_S, check=True
        )
    result = json.loads(done.stdout)
    assert result["kept"] >= rooms
    assert sorted(result["heard"]) == list(range(result["kept"]))
    assert result["seen"] == ["connecting", "connected"]
    assert result["state"] == "connected"
