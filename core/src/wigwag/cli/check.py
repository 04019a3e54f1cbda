"""``wigwag check``: what will hurt, said before a deploy."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from typing import Any

import anyio
import click
import msgspec

from wigwag.broker import Broker, BrokerLost, Finding
from wigwag.cli.machine import Machine
from wigwag.cli.outlook import Outlook, Plan, of_reach
from wigwag.errors import PayloadTooLarge, WigwagError
from wigwag.factory import PREFIX, load_core_settings, load_plugin, provider_of_workers
from wigwag.frames import Frame
from wigwag.local import Hub, HubNotStarted, HubRuns, hub_settings_of
from wigwag.plugins import ProviderPlugin
from wigwag.provider import Provider, ProviderSettings
from wigwag.service.clients import Clients
from wigwag.service.loading import load_app
from wigwag.service.served import Access
from wigwag.settings import ServiceSettings, load_settings
from wigwag.settings.unknown import prefix_of

#: How long a plugin has to look at its broker, and a message to come back.
LIMIT_S = 15.0
_TOPIC = "wigwag-check"


def check(environ: Mapping[str, str], plan: Plan, *, app_dir: str | None = None, as_json: bool) -> bool:
    """Look at settings, machine and broker, print what was found, and say whether nothing is an error.

    Raises:
        SettingsError: a setting can't be used, or ``wigwag serve`` would not start with it.
    """
    logging.getLogger("wigwag").addHandler(logging.NullHandler())  # what it would log is among the findings
    core = load_core_settings(environ)
    service = load_settings(ServiceSettings, PREFIX, environ)
    name = core.provider if service.workers is None else provider_of_workers(environ)
    plugin = load_plugin(name, environ)
    provider_settings = load_settings(ProviderSettings, PREFIX, environ)
    access = Access.of(service, plan.app)
    if plan.app is not None:
        load_app(plan.app, app_dir)
    findings = [Finding("ok", "settings", "all can be read, and none is unknown")]
    outlook = Outlook(
        settings=service,
        core=core,
        provider=provider_settings,
        plan=plan,
        machine=Machine.here(),
        api_keys=() if access.api_keys is None else access.api_keys.now,
    )
    findings += outlook.findings()
    with ExitStack() as stack:
        hub = None
        if name == "local" and service.workers is not None:  # `wigwag serve` will start one
            settings: Any = stack.enter_context(hub_settings_of(environ))
            hub = Hub(settings)
        else:
            settings = load_settings(plugin.settings, prefix_of(name), environ)
        broker = plugin.create(settings)
        reach = of_reach(name, broker.capabilities.scope, plan.replicas)
        if reach is not None:
            findings.append(reach)
        looking = _Looking(plugin, settings, broker, provider_settings, service, plan)
        findings += anyio.run(looking.findings, access.clients, hub)
    click.echo(_as_json(name, findings) if as_json else "\n".join(_lines(name, findings)))
    return all(finding.level != "error" for finding in findings)


@dataclass(frozen=True)
class _Looking:
    """What has to be asked of others: the broker, the hub, the issuer of tokens."""

    plugin: ProviderPlugin[Any]
    settings: object
    broker: Broker
    provider_settings: ProviderSettings
    service: ServiceSettings
    plan: Plan

    async def findings(self, clients: Clients | None, hub: Hub | None) -> list[Finding]:
        """All of them; where one is that nothing can be asked of, the others are left out."""
        found = [] if clients is None else [await _of_tokens(clients, self.service)]
        async with AsyncExitStack() as stack:
            if hub is not None:
                try:
                    await stack.enter_async_context(hub)
                except HubRuns:
                    pass  # of the service, which is up: it is the one to look at
                except HubNotStarted as exc:
                    return [*found, Finding("error", "hub", str(exc))]
            return [*found, *await self._of_provider()]

    async def _of_provider(self) -> list[Finding]:
        found: list[Finding] = []
        if self.plugin.check is not None:
            try:
                with anyio.fail_after(LIMIT_S):
                    found += [self._with_room(each) for each in await self.plugin.check(self.settings)]
            except BrokerLost as exc:
                return [*found, Finding("error", "broker", str(exc))]
            except TimeoutError:
                return [*found, Finding("error", "broker", f"it did not answer within {LIMIT_S:g} s")]
        async with Provider(self.broker, name=self.plugin.name, settings=self.provider_settings) as provider:
            found.append(await _of_delivery(provider))
            if found[-1].level == "ok" and self.plan.app is None:
                found.append(await _of_size(provider, self.service.message_bytes))
        return found

    def _with_room(self, finding: Finding) -> Finding:
        """The finding, with what is to be deployed beside what it leaves room for."""
        nodes = (self.plan.replicas or 1) * (self.service.workers or 1)
        if finding.nodes is None or finding.nodes >= nodes:
            return finding
        text = f"{finding.text}; {nodes} are to be deployed"
        return replace(finding, level="warning" if finding.level == "ok" else finding.level, text=text)


async def _of_tokens(clients: Clients, service: ServiceSettings) -> Finding:
    """Whether tokens can be verified, and for whom they must be."""
    async with clients.running():
        obstacles = clients.obstacles
    if obstacles:
        text = f"{'; '.join(obstacles)}. Until it can be had no client is let in, and no node is ready"
        return Finding("error", "tokens", text)
    has_issuer = service.jwks_url is not None or service.jwks_file is not None
    if has_issuer and not service.jwt_audience:
        text = "whoever issues them signs them for other services too, and those count here: set WIGWAG_JWT_AUDIENCE"
        return Finding("warning", "tokens", text)
    return Finding("ok", "tokens", "the keys can be had")


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


async def _of_delivery(provider: Provider) -> Finding:
    """Publish a message, and see it arrive: the whole way."""
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


async def _of_size(provider: Provider, message_bytes: int) -> Finding:
    """Publish as large a message as a client may send."""
    subject = "clients' messages"
    try:
        await provider.publish(_TOPIC, b"x" * message_bytes)
    except PayloadTooLarge as exc:
        text = (
            f"a client may send {message_bytes} bytes, and the broker takes {exc.limit_bytes}, the envelope included: "
            "what is larger is answered with an error; lower WIGWAG_MESSAGE_BYTES or raise the broker's limit"
        )
        return Finding("warning", subject, text)
    except WigwagError as exc:
        return Finding("error", subject, f"one of {message_bytes} bytes: {exc}")
    return Finding("ok", subject, f"up to {message_bytes} bytes, which the broker takes")


def _lines(name: str, findings: Sequence[Finding]) -> Iterator[str]:
    yield f"provider {name}"
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        yield f"  {finding.level:<7}  {finding.subject:<{width}}  {finding.text}"


def _as_json(name: str, findings: Sequence[Finding]) -> str:
    shown = [{"level": each.level, "subject": each.subject, "text": each.text} for each in findings]
    content = {"provider": name, "findings": shown}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
