"""Where ``wigwag serve --workers`` begins: what is right with one process, and what is to be settled before many."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import ExitStack

import anyio

from wigwag.factory import PREFIX, provider_of_workers
from wigwag.local import Hub, hub_settings_of
from wigwag.local.settings import PREFIX as LOCAL_PREFIX
from wigwag.provider import ProviderSettings
from wigwag.service.capacity import raise_file_limit
from wigwag.service.draining import stop_limit_s
from wigwag.service.served import Access, set_up_logging
from wigwag.service.server import bind_both
from wigwag.service.workers.supervisor import Supervisor
from wigwag.settings import ServiceSettings, load_settings


def serve_with_workers(
    settings: ServiceSettings,
    workers: int,
    environ: Mapping[str, str],
    *,
    app: str | None = None,
    app_dir: str | None = None,
) -> None:
    """Run until SIGINT or SIGTERM: the service in so many processes, and the internal port beside them.

    On a signal all drain as one process alone would, at one pace together; a second signal ends all at once.  On SIGHUP
    each worker in turn is replaced by a new one, and drains.

    Raises:
        SettingsError: what is asked is not safe, or a worker says so of the application.
        CannotServe: an address can't be listened on.
        HubNotStarted: the workers could not hear each other.
        WorkerFailed: a worker did not start, or ended again and again.
        KeyboardInterrupt: a second signal ended it.
    """
    environ = {**environ, f"{PREFIX}PROVIDER": provider_of_workers(environ)}
    limit_s = stop_limit_s(settings, load_settings(ProviderSettings, PREFIX, environ))
    set_up_logging(settings)
    access = Access.of(settings, app)
    raise_file_limit()  # for each connection that is on its way to a worker
    with ExitStack() as bound:
        settings, public, internal = bind_both(settings, bound)
        environ |= _as_variables(settings)
        hub = None
        if environ[f"{PREFIX}PROVIDER"] == "local":
            hub_settings = bound.enter_context(hub_settings_of(environ))
            environ[f"{LOCAL_PREFIX}PATH"] = str(hub_settings.path)
            hub = Hub(hub_settings)
        supervisor = Supervisor(
            settings, workers, environ, hub, access, stop_limit_s=limit_s, app=app, app_dir=app_dir
        )
        use_uvloop = importlib.util.find_spec("uvloop") is not None
        anyio.run(supervisor.run, public, internal, backend_options={"use_uvloop": use_uvloop})


def _as_variables(settings: ServiceSettings) -> dict[str, str]:
    """What options of the command, and free ports, may have changed, for workers to read."""
    return {
        f"{PREFIX}LISTEN": str(settings.listen),
        f"{PREFIX}INTERNAL_LISTEN": str(settings.internal_listen),
        f"{PREFIX}INSECURE": str(settings.insecure).lower(),
        f"{PREFIX}LOG_LEVEL": settings.log_level,
        f"{PREFIX}LOG_FORMAT": settings.log_format,
    }
