"""What ``wigwag check`` finds of a Redis, before a deploy."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from wigwag.broker import BrokerLost, Finding, Inbox, Position, Refused
from wigwag.settings.tls import is_loopback
from wigwag_redis.broker import RedisBroker
from wigwag_redis.cluster import RedisClusterBroker
from wigwag_redis.limits import Limits, see_config, see_limits
from wigwag_redis.link import Hello, Link
from wigwag_redis.settings import RedisSettings
from wigwag_redis.url import RedisUrl

AnyBroker = RedisBroker | RedisClusterBroker

#: Whom no node listens as; its channel matches what the channels of nodes match.
_TOPIC = "__node__:wigwag-check"
_MIB = 1024 * 1024
#: Redis' default, which is too little for a fleet that sends bursts.
_SMALL_BUFFER_BYTES = 32 * _MIB
_FULL = 0.8
#: Connections that a node has to each server: one that sends, one that listens.
_PER_NODE = 2
#: What sends is silent between probes; a server that closes it so soon ends the session.
_SHORT_TIMEOUT_S = 15
_SKEW_S = 2.0


def make_broker(settings: RedisSettings) -> AnyBroker:
    """The broker for what the URL names.  Raises SettingsError where the settings do not fit together."""
    return RedisClusterBroker(settings) if settings.url.kind == "cluster" else RedisBroker(settings)


async def check(settings: RedisSettings) -> Sequence[Finding]:
    """Begin a session as a node does, and say what will hurt.

    Raises:
        SettingsError: the settings do not fit together.
        BrokerLost: Redis can't be reached, refuses us, or is not what the URL says.
    """
    broker = make_broker(settings)
    findings = [*_look_at_url(settings.url), *judge_login(settings)]
    async with _session(broker):
        for pair in broker.pairs:
            hello = await pair.sender.hello()
            findings += _look_at_server(pair.sender, hello, settings.url)
            findings += _look_at_limits(pair.sender, await see_limits(pair.sender))
            findings.append(await _look_at_clients(pair.sender))
            findings += judge_config(
                pair.sender.address, await see_config(pair.sender, "timeout", "maxmemory-clients")
            )
            findings += await _look_at_clock(pair.sender)
        findings += await _try(broker)
        try:
            await broker.check()
        except BrokerLost as exc:
            findings.append(Finding("error", "state", str(exc)))
    return findings


@asynccontextmanager
async def _session(broker: AnyBroker) -> AsyncGenerator[None]:
    """A session that is ready.  Raises BrokerLost where there is none, or it ends meanwhile."""
    inbox = _Inbox()
    losses: list[BrokerLost] = []

    async def run() -> None:
        try:
            await broker.run(inbox)
        except BrokerLost as exc:
            losses.append(exc)
            tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await inbox.is_ready.wait()
            yield
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        with anyio.CancelScope(shield=True):
            await broker.close()
    if losses:
        raise losses[0]


class _Inbox(Inbox):
    def __init__(self) -> None:
        self.is_ready = anyio.Event()

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        self.is_ready.set()

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        pass

    def gap(self, topics: Sequence[str] | None = None) -> None:
        pass


def _look_at_url(url: RedisUrl) -> Iterator[Finding]:
    if url.tls or not url.addresses[0].port or all(is_loopback(host) for host, _ in url.addresses):
        yield Finding("ok", "encryption", "TLS" if url.tls else "none, and none is needed on this machine")
    else:
        text = "off: passwords and messages cross the network in the clear; use a URL that begins with rediss"
        yield Finding("warning", "encryption", text)
    if url.kind == "sentinel" and len(url.addresses) < 3:
        text = f"the URL names {len(url.addresses)}: when those are down nobody finds the master; name three"
        yield Finding("warning", "sentinels", text)
    if url.kind == "cluster" and len(url.addresses) < 2:
        text = "the URL names one node: when it is down nobody finds the others; name several"
        yield Finding("warning", "cluster nodes", text)


def judge_login(settings: RedisSettings) -> Iterator[Finding]:
    """Whether it is known who we are."""
    url = settings.url
    is_near = not url.addresses[0].port or all(is_loopback(host) for host, _ in url.addresses)
    knows_us = (settings.password or url.password or settings.tls_cert_file) is not None
    if not is_near and not knows_us:
        text = (
            "none: whoever reaches Redis can publish to every client; give it a user (ACL) with a password, in "
            "WIGWAG_REDIS_USERNAME and WIGWAG_REDIS_PASSWORD"
        )
        yield Finding("warning", "login", text)


def _look_at_server(link: Link, hello: Hello, url: RedisUrl) -> Iterator[Finding]:
    role = "a master" if hello.is_master else "a replica"
    yield Finding("ok", "server", f"{link.address}: Redis {hello.version}, {hello.mode}, {role}")
    if hello.mode == "cluster" and url.kind != "cluster":
        text = (
            f"{link.address} is part of a cluster: each message goes to all of its nodes, and when this one is "
            "down we are; a URL that begins with redis+cluster uses them all"
        )
        yield Finding("warning", "cluster", text)


def _look_at_limits(link: Link, limits: Limits) -> Iterator[Finding]:
    largest = f"{link.address}: {limits.max_payload_bytes} bytes"
    if not limits.is_seen:
        text = f"{link.address}: CONFIG GET is not allowed, so Redis' defaults are assumed; ask who runs it"
        yield Finding("warning", "output buffer limit", text)
        yield Finding("ok", "largest message", f"{largest}, assumed")
        return
    yield Finding("ok", "largest message", largest)
    hard, soft = limits.hard_bytes, limits.soft_bytes
    text = f"{link.address}: pubsub {_mib(hard)} {_mib(soft)} {limits.soft_s}"
    if 0 < hard <= _SMALL_BUFFER_BYTES:
        advice = 'CONFIG SET client-output-buffer-limit "pubsub 256mb 64mb 60" makes it rare'
        text += f": a node that is further behind is disconnected, and its sockets must refetch; {advice}"
        yield Finding("warning", "output buffer limit", text)
    else:
        yield Finding("ok", "output buffer limit", text)


def _mib(size: int) -> str:
    return "0" if not size else f"{size / _MIB:g}mb"


async def _look_at_clients(link: Link) -> Finding:
    (reply,) = await link.call([("INFO", "clients")])
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else ""
    seen = {name: value for name, _, value in (line.partition(":") for line in text.splitlines())}
    connected, limit = seen.get("connected_clients", ""), seen.get("maxclients", "")
    if not (connected.isdecimal() and limit.isdecimal()):
        return Finding("warning", "connections", f"{link.address}: INFO does not say how many it takes")
    nodes = max(0, int(limit) - int(connected)) // _PER_NODE
    text = f"{link.address}: {connected} of {limit} are taken: room for {nodes} nodes more, each takes {_PER_NODE}"
    if int(connected) > _FULL * int(limit):
        return Finding("warning", "connections", f"{text}; raise maxclients", nodes)
    return Finding("ok", "connections", text, nodes)


def judge_config(address: object, config: Mapping[str, str]) -> Iterator[Finding]:
    """Of what ends connections by itself; what may not be seen, or is another server's, is passed over."""
    timeout = config.get("timeout", "0")
    if timeout.isdecimal() and 0 < int(timeout) < _SHORT_TIMEOUT_S:
        text = (
            f"{address}: timeout {timeout}: connections that say nothing for so many seconds are closed, ours between "
            "probes too, and each time sockets must refetch; CONFIG SET timeout 0"
        )
        yield Finding("warning", "timeout", text)
    limit = config.get("maxmemory-clients", "0")
    if limit != "0":
        text = (
            f"{address}: maxmemory-clients {limit}: when the buffers of all clients come to that, those with the "
            "largest are disconnected, which are nodes that are behind; CONFIG SET maxmemory-clients 0"
        )
        yield Finding("warning", "maxmemory-clients", text)


async def _look_at_clock(link: Link) -> list[Finding]:
    """By how much its clock and ours differ, if it tells the time."""
    before = time.time()
    (reply,) = await link.call([("TIME",)])
    after = time.time()
    if not isinstance(reply, list):  # an ACL's refusal
        return []
    theirs = int(reply[0]) + int(reply[1]) / 1e6
    return [judge_clock(link.address, theirs - (before + after) / 2)]


def judge_clock(address: object, skew_s: float) -> Finding:
    """How far its clock is ahead of ours."""
    if abs(skew_s) <= _SKEW_S:
        return Finding("ok", "clock", f"{address}: {abs(skew_s):.1f} s from ours")
    text = (
        f"{address}: {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} ours; one of the two is wrong, "
        "and by ours tokens expire and events are dated: have all machines keep time (NTP)"
    )
    return Finding("warning", "clock", text)


async def _try(broker: AnyBroker) -> list[Finding]:
    """Subscribe and publish as a node does: what an ACL forbids is known then."""
    findings = []
    try:
        await broker.subscribe([_TOPIC])
        await broker.unsubscribe([_TOPIC])
    except Refused as exc:
        findings.append(Finding("error", "permissions", f"no subscribing: {_first(exc)}"))
    try:
        await broker.publish([(_TOPIC, b"check")])
    except Refused as exc:
        findings.append(Finding("error", "permissions", f"no publishing: {_first(exc)}"))
    return findings or [Finding("ok", "permissions", "the user may subscribe and publish")]


def _first(exc: Refused) -> str:
    return "" if not exc.reasons else str(next(iter(exc.reasons.values())))
