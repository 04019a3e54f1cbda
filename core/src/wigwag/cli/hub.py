"""``wigwag hub``: the hub of the provider ``local``, alone."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import anyio

from wigwag.factory import PREFIX as SERVICE_PREFIX
from wigwag.local import Hub, LocalSettings
from wigwag.local.settings import PREFIX
from wigwag.service.served import announce, set_up_logging
from wigwag.settings import ServiceSettings, load_settings


def hub(path: Path | None, environ: dict[str, str]) -> None:
    """Run a hub until SIGINT or SIGTERM.

    Raises:
        SettingsError: no path is set, or it is none that a socket can have.
        HubNotStarted: it can't listen there.
    """
    if path is not None:
        environ = {**environ, f"{PREFIX}PATH": str(path)}
    settings = load_settings(LocalSettings, PREFIX, environ)
    service = load_settings(ServiceSettings, SERVICE_PREFIX, environ)  # how to log
    set_up_logging(service)
    use_uvloop = importlib.util.find_spec("uvloop") is not None
    anyio.run(_run, settings, service, backend_options={"use_uvloop": use_uvloop})


async def _run(settings: LocalSettings, service: ServiceSettings) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with Hub(settings):
            announce(
                f"wigwag hub · listens at {settings.path}\n"
                f"  processes  WIGWAG_PROVIDER=local {PREFIX}PATH={settings.path}\n",
                service,
            )
            async for _ in signals:
                return
