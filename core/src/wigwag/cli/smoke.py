"""``wigwag smoke``: whether what is published on one replica arrives on each, as ``helm test`` asks."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from wigwag.cli.publish import publish
from wigwag.cli.requests import get
from wigwag.cli.token import token
from wigwag.client import ClientError, Event, SocketClient
from wigwag.errors import WigwagError

#: Where the topics of a test lie: what a token for it has to allow.
TOPICS: Final = "wigwag-smoke:*"
_EVENT: Final = "smoke"
_PAUSE_S: Final = 1.0
#: What one step of a try may take: connecting to a replica, joining, a message on its way.
_STEP_S: Final = 5.0
_TTL_S: Final = 600


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which replicas there are to be, and how they are reached."""

    hosts: Sequence[str]
    replicas: int
    port: int
    internal_port: int
    path: str
    key: str | None
    #: The Authorization header of clients; None where they bring no token.
    authorization: str | None


class NotYet(Exception):
    """A try that found something wrong, which may come right: replicas start, endpoints are told late."""


def smoke(plan: Plan, *, timeout_s: float, connects: bool) -> None:
    """Try until it works, for ``timeout_s`` at most; say what was found.

    Raises:
        WigwagError: it has not worked; what was wrong at the last try.
    """
    click.echo(asyncio.run(_try_again_and_again(plan, timeout_s, connects)))


def authorization_of(environ: Mapping[str, str], token_file: Path | None) -> str | None:
    """The header with the token from the file, or with one that the environment's secret signs; None without either.

    Raises:
        WigwagError: the file can't be read, or the secret not used.
    """
    if token_file is not None:
        try:
            return f"Bearer {token_file.read_text().strip()}"
        except (OSError, UnicodeDecodeError) as exc:
            raise WigwagError(f"--token-file {token_file} can't be read: {exc}") from None
    if "WIGWAG_JWT_SECRET" in environ or "WIGWAG_JWT_SECRET_FILE" in environ:
        return f"Bearer {token(environ, 'wigwag-smoke', topics=[TOPICS], publish=[], ttl_s=_TTL_S)}"
    return None


async def _try_again_and_again(plan: Plan, timeout_s: float, connects: bool) -> str:
    attempt = _exchange if connects else _compare_nodes
    last = ""
    told = set[str]()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await attempt(plan, await _addresses(plan))
                except NotYet as exc:
                    last = str(exc)
                    if last not in told:
                        click.echo(f"wigwag: not yet: {last}", err=True)
                    told.add(last)
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise WigwagError(f"after {timeout_s:g} s: {last or 'no replica has answered'}") from None


async def _addresses(plan: Plan) -> list[str]:
    """The address of each replica, as the name service has it now."""
    found = set[str]()
    for host in plan.hosts:
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise NotYet(f"{host} has no address: {exc.strerror or exc}") from None
        found |= {str(address[0]) for *_, address in answers}
    if len(found) < plan.replicas:
        raise NotYet(
            f"{len(found)} of {plan.replicas} replicas are there: {', '.join(sorted(found)) or 'none'}"
        )
    return sorted(found)


# As clients and a backend


async def _exchange(plan: Plan, addresses: Sequence[str]) -> str:
    """Publish on each replica, and see each message on each: the pairs that failed are told."""
    topic = f"{TOPICS[:-1]}{secrets.token_hex(8)}"
    receivers = {address: _Receiver(plan, address) for address in addresses}
    async with AsyncExitStack() as open_:
        for each in receivers.values():
            open_.push_async_callback(
                each.disconnect
            )  # of those, too, that are still connecting when one has failed
        await asyncio.gather(*(each.connect() for each in receivers.values()))
        await asyncio.gather(*(each.join(topic) for each in receivers.values()))
        began = time.monotonic()
        await asyncio.gather(*(_publish(plan, address, topic) for address in addresses))
        await asyncio.gather(*(each.wait_for(addresses) for each in receivers.values()))
        took_ms = (time.monotonic() - began) * 1000
    pairs = len(addresses) ** 2
    return f"{len(addresses)} replicas: {pairs} of {pairs} messages arrived, within {took_ms:.0f} ms"


async def _publish(plan: Plan, address: str, topic: str) -> None:
    url = f"http://{_netloc(address, plan.internal_port)}"
    data = msgspec.json.encode({"from": address}).decode()
    try:
        await asyncio.to_thread(publish, topic, data, name=_EVENT, url=url, key=plan.key)
    except WigwagError as exc:
        raise NotYet(f"publishing on {address}: {exc}") from None


class _Receiver:
    """A client of one replica, and from whom it has heard."""

    def __init__(self, plan: Plan, address: str) -> None:
        headers = {} if plan.authorization is None else {"Authorization": plan.authorization}
        url = f"ws://{_netloc(address, plan.port)}{plan.path}"
        self._address = address
        self._client = SocketClient(url, reconnect=False, headers=headers)
        self._heard = set[str]()

    async def connect(self) -> None:
        """Raises NotYet."""
        await self._within("connecting to", self._client.connect())

    async def disconnect(self) -> None:
        """Connected or not."""
        await self._client.disconnect()

    async def join(self, topic: str) -> None:
        """Raises NotYet."""
        await self._within("joining on", self._client.join_room(topic))

    async def wait_for(self, addresses: Sequence[str]) -> None:
        """Return when a message from each has come.  Raises NotYet."""
        try:
            await self._within("receiving on", self._read(frozenset(addresses)))
        except NotYet as exc:
            missing = ", ".join(sorted(set(addresses) - self._heard))
            raise NotYet(f"nothing published on {missing} arrived on {self._address}: {exc}") from None

    async def _read(self, wanted: frozenset[str]) -> None:
        async for message in self._client.events():
            if isinstance(message, Event) and message.name == _EVENT:
                self._heard.add(message.data["from"])
            if wanted <= self._heard:
                return
        raise NotYet("the connection has ended")

    async def _within(self, what: str, step: Any) -> None:
        try:
            async with asyncio.timeout(_STEP_S):
                await step
        except TimeoutError:
            raise NotYet(f"{what} {self._address}: no answer within {_STEP_S:g} s") from None
        except ClientError as exc:
            raise NotYet(f"{what} {self._address}: {exc}") from None


# Through the internal ports alone


async def _compare_nodes(plan: Plan, addresses: Sequence[str]) -> str:
    """Have each replica ask all nodes, over the broker: each must hear the same ones, and enough of them."""
    path = f"/api/topics/{TOPICS[:-1]}{secrets.token_hex(8)}"
    answers = await asyncio.gather(*(_nodes(plan, address, path) for address in addresses))
    everyone = frozenset[str]().union(*answers)
    for address, heard in zip(addresses, answers, strict=True):
        if heard != everyone:
            raise NotYet(f"{address} hears {len(heard)} of {len(everyone)} nodes")
    if len(everyone) < len(addresses):
        raise NotYet(f"{len(addresses)} replicas, but only {len(everyone)} nodes answer")
    return f"{len(addresses)} replicas: each hears all {len(everyone)} nodes"


class _Node(msgspec.Struct):
    node: str


class _Counted(msgspec.Struct):
    nodes: list[_Node]


async def _nodes(plan: Plan, address: str, path: str) -> frozenset[str]:
    url = f"http://{_netloc(address, plan.internal_port)}"
    try:
        answer = msgspec.json.decode(await asyncio.to_thread(get, url, path, plan.key), type=_Counted)
    except (WigwagError, ValueError) as exc:
        raise NotYet(f"asking {address}: {exc}") from None
    return frozenset(each.node for each in answer.nodes)


def _netloc(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
