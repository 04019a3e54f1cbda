"""A process's side: one connection to the hub."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox
from wigwag.local.protocol import (
    HELLO,
    MAX_PAYLOAD_BYTES,
    MESSAGE,
    SUBSCRIBE,
    SYNC,
    UNSUBSCRIBE,
    VERSION,
    Parser,
    ProtocolError,
    encode,
    encode_messages,
    encode_topics,
)
from wigwag.local.settings import PREFIX, LocalSettings, check_settings


class LocalBroker(Broker):
    """Delivers through a hub, to all processes that have the same path.  On asyncio."""

    # The hub drops what it has not read of a process's last connection before it serves the next.
    capabilities: ClassVar[Capabilities] = Capabilities(scope="machine", order="sessions")

    def __init__(self, settings: LocalSettings) -> None:
        """Raises SettingsError where no socket can have that path."""
        check_settings(settings)
        self._path = settings.path
        self._name = secrets.token_bytes(8)  # by which the hub knows a process that comes again
        self._numbers = itertools.count(1)
        self._link: _Link | None = None

    async def run(self, inbox: Inbox) -> None:
        link = self._link = _Link(inbox, self._path, self._name)
        try:
            check_owner(self._path)
            await asyncio.get_running_loop().create_unix_connection(lambda: link, str(self._path))
        except OSError as exc:
            raise BrokerLost(explain(exc, self._path)) from exc
        raise BrokerLost(await link.lost)

    async def subscribe(self, topics: Sequence[str]) -> None:
        self._current().live.update((topic.encode(), topic) for topic in topics)
        await self._do([encode_topics(SUBSCRIBE, topics)])

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        for topic in topics:
            self._current().live.pop(topic.encode(), None)
        await self._do([encode_topics(UNSUBSCRIBE, topics)])

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self._do(encode_messages(messages))

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    def _current(self) -> _Link:
        if self._link is None:
            raise BrokerLost("there is no session")
        return self._link

    async def _do(self, pieces: list[bytes]) -> None:
        """Send frames in one write, and return when the hub has done what they say.

        What waits to be written is bounded by this: core makes one call of a kind at a time.
        """
        number = b"%d" % next(self._numbers)
        pieces.append(encode(SYNC, number))
        await self._current().send(number, b"".join(pieces))


class _Link(asyncio.Protocol):
    """The connection of one session."""

    def __init__(self, inbox: Inbox, path: Path, name: bytes) -> None:
        self._inbox = inbox
        self._path = path
        self._name = name
        self._loop = asyncio.get_running_loop()
        #: Why it was lost, once it is.
        self.lost: asyncio.Future[str] = self._loop.create_future()
        #: Topics that are subscribed, or being so, by their bytes.
        self.live: dict[bytes, str] = {}
        self._waiters: dict[bytes, asyncio.Future[None]] = {}
        self._parser = Parser(self._on_frame)
        self._transport: asyncio.Transport | None = None
        self._is_over = False

    def abort(self) -> None:
        """Close it at once; nothing is handed over from here on."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()

    async def send(self, number: bytes, data: bytes) -> None:
        """Write, and return when the hub has answered with this number."""
        if self._transport is None:
            raise BrokerLost("there is no session")
        waiter = self._waiters[number] = self._loop.create_future()
        self._transport.write(data)
        try:
            await waiter
        finally:
            del self._waiters[number]

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        if self._is_over:  # closed while it connected
            self._transport.abort()
        else:
            self._transport.write(encode(HELLO, b"%d pid %d" % (VERSION, os.getpid()), self._name))

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        try:
            self._parser.feed(data)
        except ProtocolError as exc:
            self._lose(f"what listens at {self._path} is no hub of wigwag: it sent {exc}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._lose(
            f"the hub at {self._path} closed the link: it stopped, or this process read too slowly for it"
            if exc is None
            else f"the link to the hub at {self._path} was lost: {exc}"
        )

    def _lose(self, why: str) -> None:
        self.abort()
        if not self.lost.done():
            self.lost.set_result(why)

    def _on_frame(self, kind: int, topic: bytes, data: bytes, at: int, body_at: int, end: int) -> None:
        if self._is_over:
            return
        if kind == MESSAGE:
            name = self.live.get(topic)
            if name is not None:
                self._inbox.deliver(name, data[body_at:end])
        elif kind == SYNC:
            waiter = self._waiters.get(data[body_at:end])
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        elif kind == HELLO and data[body_at:end] == b"%d" % VERSION:
            self._inbox.ready(max_payload_bytes=MAX_PAYLOAD_BYTES)
        elif kind == HELLO:
            theirs = data[body_at:end].decode("ascii", "replace")
            self._lose(
                f"the hub at {self._path} speaks version {theirs}, and this process {VERSION}: restart what runs the "
                "hub, so that both are of one wigwag"
            )
        else:
            raise ProtocolError(f"a frame of kind {kind}")


def check_owner(path: Path) -> None:
    """Return if the socket is this user's, or root's: in a directory of all, anybody may have put one there.

    Raises:
        BrokerLost: it is another user's.
        OSError: there is none.
    """
    owner = path.stat().st_uid
    if os.geteuid() not in (0, owner) and owner != 0:
        raise BrokerLost(
            f"{path} belongs to another user (uid {owner}): the hub and this process must run as one"
        )


def explain(exc: OSError, path: Path) -> str:
    """Why nothing can be reached there, and what to do, in a line."""
    if isinstance(exc, FileNotFoundError):
        return f"there is no hub at {path}; does it run, and is {PREFIX}PATH right?"
    if isinstance(exc, ConnectionRefusedError):
        return f"nobody listens at {path}: the hub has ended; start it again"
    if isinstance(exc, PermissionError):
        return f"{path} may not be opened: the hub and this process must run as one user"
    return f"can't connect to the hub at {path}: {exc.strerror or exc}"
