"""What ``wigwag check`` finds of a NATS server, before a deploy."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import anyio

from wigwag.broker import BrokerLost, Finding, Inbox, Position, Refused
from wigwag.settings.tls import is_loopback
from wigwag_nats.broker import NatsBroker
from wigwag_nats.link import OLDEST_SERVER, Link, version_of
from wigwag_nats.settings import NatsSettings, ServerUrl

#: Less, and messages of an ordinary size are refused.
_SMALL_PAYLOAD_BYTES = 64 * 1024
_ROUND_TRIPS = 5
_SLOW_S = 0.05
_ANSWER_LIMIT_S = 5.0


async def check(settings: NatsSettings) -> Sequence[Finding]:
    """Connect, subscribe and publish as a node does, and say what will hurt.

    Raises:
        SettingsError: the settings do not fit together.
        BrokerLost: no server can be reached, or it refuses the login.
    """
    broker = NatsBroker(settings)
    inbox = _Inbox()
    lost: list[BrokerLost] = []
    findings: list[Finding] = []

    async def run() -> None:
        try:
            await broker.run(inbox)
        except BrokerLost as exc:
            lost.append(exc)
            tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with anyio.fail_after(settings.connect_timeout * len(settings.servers) + _ANSWER_LIMIT_S):
                await inbox.is_ready.wait()
            if broker.link is not None:
                findings += _describe(broker.link, settings)
            with anyio.fail_after(_ANSWER_LIMIT_S):
                findings += await _try(broker, inbox, settings)
            tasks.cancel_scope.cancel()
    except TimeoutError:
        raise BrokerLost("the NATS server took the connection, and does not answer on it") from None
    finally:
        with anyio.CancelScope(shield=True):
            await broker.close()
    if lost:
        raise lost[0]
    return findings


class _Inbox(Inbox):
    """Core's side, as far as a check needs it."""

    def __init__(self) -> None:
        self.is_ready = anyio.Event()
        self.received: list[str] = []

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        self.is_ready.set()

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        self.received.append(topic)

    def gap(self, topics: Sequence[str] | None = None) -> None:
        return


def _describe(link: Link, settings: NatsSettings) -> Iterator[Finding]:
    """What the server says of itself."""
    info = link.info
    cluster = f", cluster {info['cluster']}" if info.get("cluster") else ""
    yield Finding("ok", "server", f"{link.server} is {info.get('server_name', 'without a name')}{cluster}")
    least = ".".join(map(str, OLDEST_SERVER))
    if version_of(info):
        yield Finding("ok", "version", f"{info['version']}; {least} or newer is needed")
    else:
        yield Finding("warning", "version", f"the server does not say; {least} or newer is needed")
    yield _of_payload(info.get("max_payload"))
    yield _of_encryption(link)
    yield from judge_login(link.server.host, info)
    if info.get("ldm"):
        text = f"{link.server} is about to stop (lame duck mode): is it being replaced?"
        yield Finding("warning", "shutdown", text)
    yield from _of_servers([str(url) for url in info.get("connect_urls") or ()], settings.servers)


def _of_payload(max_payload: int | None) -> Finding:
    subject = "max payload"
    if max_payload is None:
        return Finding("warning", subject, "the server does not say: a larger message would end the session")
    text = f"{max_payload} bytes; a larger message is refused where it is published"
    if max_payload >= _SMALL_PAYLOAD_BYTES:
        return Finding("ok", subject, text)
    return Finding(
        "warning", subject, f"{text}. That is little: set max_payload in the server, 1 MB is usual"
    )


def _of_encryption(link: Link) -> Finding:
    if link.is_encrypted:
        return Finding("ok", "encryption", "the link is encrypted")
    if is_loopback(link.server.host):
        return Finding("ok", "encryption", "none, on this machine only")
    return Finding(
        "warning",
        "encryption",
        "none: messages and the login can be read on the way; use tls:// in WIGWAG_NATS_SERVERS",
    )


def judge_login(host: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the server wants to know who we are."""
    if not (info.get("auth_required") or info.get("tls_verify") or is_loopback(host)):
        text = (
            "none: whoever reaches the server can publish to every client; give it users, or an account for wigwag, "
            "with a password, an nkey or credentials"
        )
        yield Finding("warning", "login", text)


def _of_servers(cluster: list[str], servers: tuple[ServerUrl, ...]) -> Iterator[Finding]:
    if len(cluster) > 1 and len(servers) == 1:
        shown = ", ".join(sorted(cluster)[:5]) + (", …" if len(cluster) > 5 else "")
        yield Finding(
            "warning",
            "servers",
            f"one is set, and the cluster has {len(cluster)} ({shown}): with that one down nothing is delivered. "
            "List several in WIGWAG_NATS_SERVERS, unless it is a name that leads to all",
        )
    elif len(servers) > 1:
        yield Finding("ok", "servers", f"{len(servers)} are set; a session takes one of them at random")


async def _try(broker: NatsBroker, inbox: _Inbox, settings: NatsSettings) -> list[Finding]:
    """Subscribe and publish, to a topic that no application can have."""
    topic = f"__check__:{secrets.token_hex(8)}"
    findings = []
    calls: dict[str, Callable[[], Awaitable[None]]] = {
        "subscribe": lambda: broker.subscribe([topic]),
        "publish": lambda: broker.publish([(topic, b"")]),
    }
    for name, call in calls.items():
        try:
            await call()
            findings.append(Finding("ok", name, f"the login may {name} on {settings.prefix}.t.*"))
        except Refused as exc:
            reason = "; ".join((exc.reasons or {0: str(exc)}).values())
            findings.append(
                Finding("error", name, f"{reason}: allow the login to {name} on {settings.prefix}.>")
            )
    if all(finding.level == "ok" for finding in findings) and not inbox.received:
        findings.append(
            Finding(
                "error", "delivery", "what was published did not come back: does the server map its subject?"
            )
        )
    return [*findings, await _time(broker, topic)]


async def _time(broker: NatsBroker, topic: str) -> Finding:
    times = []
    for _ in range(_ROUND_TRIPS):
        started = time.perf_counter()
        await broker.unsubscribe([topic])
        times.append(time.perf_counter() - started)
    best_s = min(times)
    text = f"{best_s * 1000:.1f} ms, the best of {_ROUND_TRIPS}"
    if best_s <= _SLOW_S:
        return Finding("ok", "round trip", text)
    return Finding("warning", "round trip", f"{text}: every publish and subscribe takes that long at least")
