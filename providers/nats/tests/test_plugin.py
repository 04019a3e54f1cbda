"""The plugin as an operator meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wigwag.plugins import load
from wigwag_nats import NatsSettings

README = Path(__file__).parents[1] / "README.md"


def test_it_is_found_by_its_name() -> None:
    plugin = load("nats")
    assert (plugin.name, plugin.settings) == ("nats", NatsSettings)
    assert plugin.check is not None


def test_a_missing_client_library_is_one_line_that_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['nats'] = None\n"
        "from wigwag.errors import SettingsError\n"
        "from wigwag.plugins import load\n"
        "try: load('nats')\n"
        "except SettingsError as exc: print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("the provider 'nats' can't be loaded")
    assert "pip install" in line
    assert "wigwag-nats" in line


def test_choosing_another_provider_does_not_import_it() -> None:
    code = (
        "import sys\n"
        "from wigwag.factory import create_provider\n"
        "create_provider('memory', environ={})\n"
        "print([name for name in sys.modules if 'nats' in name])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
