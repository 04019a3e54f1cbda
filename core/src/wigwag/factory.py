"""From settings to a provider: in code, or from the environment."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, overload

from wigwag.emitter import Emitter
from wigwag.errors import SettingsError
from wigwag.plugins import ProviderPlugin, installed, load
from wigwag.provider import Provider, ProviderSettings
from wigwag.provider.hosting import substitute
from wigwag.settings import (
    OUR_PROVIDERS,
    CoreSettings,
    ServiceSettings,
    Variable,
    check_unknown,
    load_settings,
    names,
    variables,
)
from wigwag.settings.unknown import prefix_of

E = TypeVar("E", bound=Emitter)

PREFIX = "WIGWAG_"
_SETTINGS = (CoreSettings, ServiceSettings, ProviderSettings)


def create_provider(
    name: str | None = None,
    settings: object | None = None,
    *,
    provider_settings: ProviderSettings | None = None,
    environ: Mapping[str, str] | None = None,
) -> Provider:
    """Make a provider; nothing is connected before it is started.

    What is not given is read from the environment: ``name`` from ``WIGWAG_PROVIDER``, ``settings``, an instance
    of the plugin's settings class, from ``WIGWAG_<NAME>_…``, and ``provider_settings`` from ``WIGWAG_…``.
    In a test, ``AppClient(app, provider=…)`` takes the place of the environment.

    Raises:
        UnknownProvider: no plugin of that name is installed.
        SettingsError: a variable can't be read or is unknown, or ``settings`` are another plugin's.
    """
    if name is None and environ is None and (instead := substitute.get()) is not None:
        return instead.use()
    return _create(name, settings, provider_settings, environ, subscribes=True)


@overload
def create_emitter(
    name: str | None = None,
    settings: object | None = None,
    *,
    provider_settings: ProviderSettings | None = None,
    allow_in_process: bool = False,
    environ: Mapping[str, str] | None = None,
) -> AbstractAsyncContextManager[Emitter]: ...
@overload
def create_emitter(
    name: str | None = None,
    settings: object | None = None,
    *,
    emitter: type[E],
    provider_settings: ProviderSettings | None = None,
    allow_in_process: bool = False,
    environ: Mapping[str, str] | None = None,
) -> AbstractAsyncContextManager[E]: ...
def create_emitter(
    name: str | None = None,
    settings: object | None = None,
    *,
    emitter: type[Any] = Emitter,
    provider_settings: ProviderSettings | None = None,
    allow_in_process: bool = False,
    environ: Mapping[str, str] | None = None,
) -> AbstractAsyncContextManager[Any]:
    """An emitter for a process that has no sockets: a worker, a cron job.

    ::

        async with create_emitter() as emitter:
            await emitter.emit(ReportReady(url="/r/1"), "account:7")

    It subscribes to nothing. On leaving, what is being published is finished. ``emitter`` is the class to make;
    the rest is as for :func:`create_provider`. The in-process provider, with which nobody would hear it, is
    refused unless ``allow_in_process`` is set, for a test.

    Raises, on entering:
        SettingsError: as :func:`create_provider`, or the provider is in-process.
    """
    return _emitter(name, settings, emitter, provider_settings, environ, allow_in_process)


@asynccontextmanager
async def _emitter(
    name: str | None,
    settings: object | None,
    emitter: type[E],
    provider_settings: ProviderSettings | None,
    environ: Mapping[str, str] | None,
    allow_in_process: bool,
) -> AsyncGenerator[E]:
    if name is None and environ is None and (instead := substitute.get()) is not None:
        async with instead.use() as provider:
            yield emitter(provider)
        return
    provider = _create(name, settings, provider_settings, environ, subscribes=False)
    if provider.in_process and not allow_in_process:
        raise SettingsError(
            f"the provider {provider.name!r} reaches the sockets of this process only, and this process has none: "
            "nobody would hear it. Set WIGWAG_PROVIDER to the provider that the servers use",
            variable="WIGWAG_PROVIDER",
        )
    async with provider:
        yield emitter(provider)


def load_core_settings(environ: Mapping[str, str] | None = None) -> CoreSettings:
    """What the environment says for every application.  Raises SettingsError."""
    return load_settings(CoreSettings, PREFIX, os.environ if environ is None else environ)


def provider_of_workers(environ: Mapping[str, str]) -> str:
    """The provider of several processes of one service: the one that is named, else ``local``.

    Raises:
        SettingsError: it is ``memory``, with which they would not hear each other.
    """
    name = environ.get("WIGWAG_PROVIDER", "local")
    if name == "memory":
        raise SettingsError(
            "WIGWAG_PROVIDER=memory reaches the sockets of one process only, and there are to be several (--workers, "
            "WIGWAG_WORKERS): leave WIGWAG_PROVIDER unset, for local, or name a broker",
            variable="WIGWAG_PROVIDER",
        )
    return name


def load_plugin(name: str, environ: Mapping[str, str]) -> ProviderPlugin[Any]:
    """The plugin of this name, after each ``WIGWAG_…`` variable was seen to be known.  Raises SettingsError."""
    plugin = load(name)
    known = {
        *(name for cls in _SETTINGS for name in names(cls, PREFIX)),
        *names(plugin.settings, prefix_of(plugin.name)),
    }
    others = {*installed(), *OUR_PROVIDERS} - {name}
    check_unknown(environ, known, others)
    return plugin


def known_variables(plugin: ProviderPlugin[Any] | None = None) -> list[Variable]:
    """Every variable that is read, those of a plugin included."""
    known = [variable for cls in _SETTINGS for variable in variables(cls, PREFIX)]
    if plugin is not None:
        known += variables(plugin.settings, prefix_of(plugin.name))
    return known


def _create(
    name: str | None,
    settings: object | None,
    provider_settings: ProviderSettings | None,
    environ: Mapping[str, str] | None,
    *,
    subscribes: bool,
) -> Provider:
    environ = os.environ if environ is None else environ
    if name is None:
        name = load_core_settings(environ).provider
    plugin = load_plugin(name, environ)
    if settings is None:
        settings = load_settings(plugin.settings, prefix_of(name), environ)
    elif not isinstance(settings, plugin.settings):
        raise SettingsError(
            f"the provider {name!r} takes {plugin.settings.__name__}, not {type(settings).__name__}"
        )
    if provider_settings is None:
        provider_settings = load_settings(ProviderSettings, PREFIX, environ)
    broker = plugin.create(settings)
    identity = None if broker.in_process else (name, settings)
    return Provider(broker, name=name, settings=provider_settings, subscribes=subscribes, identity=identity)
