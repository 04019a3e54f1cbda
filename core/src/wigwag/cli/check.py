"""``wigwag check``: what will hurt, said before a deploy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict
from typing import Any

import anyio
import click
import msgspec

from wigwag.broker import Broker, BrokerLost, Finding
from wigwag.errors import WigwagError
from wigwag.factory import PREFIX, load_core_settings, load_plugin, provider_of_workers
from wigwag.frames import Frame
from wigwag.local import Hub, HubNotStarted, HubRuns, hub_settings_of
from wigwag.plugins import ProviderPlugin
from wigwag.provider import Provider, ProviderSettings
from wigwag.service.access import api_keys_of
from wigwag.service.clients import clients_of
from wigwag.settings import ServiceSettings, load_settings
from wigwag.settings.unknown import prefix_of

#: How long a plugin has to look at its broker, and a message to come back.
LIMIT_S = 15.0
_TOPIC = "wigwag-check"


def check(environ: Mapping[str, str], *, as_json: bool) -> bool:
    """Look at the settings and the broker, print what was found, and say whether nothing is an error.

    Raises:
        SettingsError: a setting can't be used.
    """
    name = load_core_settings(environ).provider
    service = load_settings(ServiceSettings, PREFIX, environ)
    api_keys_of(service)
    clients_of(service)
    workers = service.workers
    if workers is not None:
        name = provider_of_workers(environ)
    plugin = load_plugin(name, environ)
    provider_settings = load_settings(ProviderSettings, PREFIX, environ)
    with ExitStack() as stack:
        hub = None
        if name == "local" and workers is not None:  # `wigwag serve` will start one
            settings: Any = stack.enter_context(hub_settings_of(environ))
            hub = Hub(settings)
        else:
            settings = load_settings(plugin.settings, prefix_of(name), environ)
        broker = plugin.create(settings)
        findings = anyio.run(_findings, plugin, settings, broker, provider_settings, hub)
    findings += _of_workers(workers)
    click.echo(_as_json(name, findings) if as_json else "\n".join(_lines(name, findings)))
    return all(finding.level != "error" for finding in findings)


async def _findings(
    plugin: ProviderPlugin[Any],
    settings: object,
    broker: Broker,
    provider_settings: ProviderSettings,
    hub: Hub | None,
) -> list[Finding]:
    async with AsyncExitStack() as stack:
        if hub is not None:
            try:
                await stack.enter_async_context(hub)
            except HubRuns:
                pass  # of the service, which is up: it is the one to look at
            except HubNotStarted as exc:
                return [Finding("error", "hub", str(exc))]
        return await _of_provider(plugin, settings, broker, provider_settings)


async def _of_provider(
    plugin: ProviderPlugin[Any], settings: object, broker: Broker, provider_settings: ProviderSettings
) -> list[Finding]:
    findings = [Finding("ok", "settings", "all can be read, and none is unknown")]
    if plugin.check is not None:
        try:
            with anyio.fail_after(LIMIT_S):
                findings += await plugin.check(settings)
        except BrokerLost as exc:
            return [*findings, Finding("error", "broker", str(exc))]
        except TimeoutError:
            return [*findings, Finding("error", "broker", f"it did not answer within {LIMIT_S:g} s")]
    return [*findings, await _delivery(broker, plugin.name, provider_settings)]


def _of_workers(workers: int | None) -> Iterator[Finding]:
    if workers is not None:
        cores = _cores()
        if workers > cores:
            text = f"{workers} on {cores} cores: more than there are cores gain nothing, and cost memory each"
            yield Finding("warning", "workers", text)
        else:
            yield Finding("ok", "workers", f"{workers} on {cores} cores")


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Listener:
    """A socket without a wire, that notes when a message comes."""

    user_id = None

    def __init__(self, id: str) -> None:
        self.id = id
        self.heard = anyio.Event()

    def write(self, frame: Frame) -> None:
        if frame.topic == _TOPIC:
            self.heard.set()

    def close(self, code: int, reason: str) -> None:
        """Nothing hangs on it."""


async def _delivery(broker: Broker, name: str, settings: ProviderSettings) -> Finding:
    """Publish a message, and see it arrive: the whole way."""
    async with Provider(broker, name=name, settings=settings) as provider:
        listener = _Listener(provider.new_socket_id())
        provider.attach(listener)
        try:
            with anyio.fail_after(LIMIT_S):
                await provider.subscribe(listener.id, _TOPIC)
                started = time.perf_counter()
                await provider.publish(_TOPIC, "check")
                await listener.heard.wait()
                took_ms = (time.perf_counter() - started) * 1000
        except WigwagError as exc:
            return Finding("error", "delivery", str(exc))
        except TimeoutError:
            return Finding("error", "delivery", f"a message did not come back within {LIMIT_S:g} s")
        finally:
            provider.detach(listener.id)
    return Finding("ok", "delivery", f"a message came back in {took_ms:.1f} ms")


def _lines(name: str, findings: Sequence[Finding]) -> Iterator[str]:
    yield f"provider {name}"
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        yield f"  {finding.level:<7}  {finding.subject:<{width}}  {finding.text}"


def _as_json(name: str, findings: Sequence[Finding]) -> str:
    content = {"provider": name, "findings": [asdict(finding) for finding in findings]}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
