"""``wigwag hub``: the hub of the provider ``local``, alone."""

from __future__ import annotations

import importlib.util
import logging
import signal
import sys
from pathlib import Path

import anyio

from wigwag.local import Hub, LocalSettings
from wigwag.local.settings import PREFIX
from wigwag.settings import load_settings


def hub(path: Path | None, environ: dict[str, str]) -> None:
    """Run a hub until SIGINT or SIGTERM.

    Raises:
        SettingsError: no path is set, or it is none that a socket can have.
        HubNotStarted: it can't listen there.
    """
    if path is not None:
        environ = {**environ, f"{PREFIX}PATH": str(path)}
    settings = load_settings(LocalSettings, PREFIX, environ)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    use_uvloop = importlib.util.find_spec("uvloop") is not None
    anyio.run(_run, settings, backend_options={"use_uvloop": use_uvloop})


async def _run(settings: LocalSettings) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with Hub(settings):
            sys.stderr.write(
                f"wigwag hub · listens at {settings.path}\n"
                f"  processes  WIGWAG_PROVIDER=local {PREFIX}PATH={settings.path}\n"
            )
            sys.stderr.flush()
            async for _ in signals:
                return
