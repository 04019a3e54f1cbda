"""The hub: which processes want a topic, and the way to them.  It reads headers, and passes bytes on.

A message goes to each process that wants its topic, the sender too.  What one turn of the event loop brings for a
process is written to it at once.  Nothing is kept for a process that is not connected, and little for one that reads
too slowly: its link is cut, and core tells its sockets (``wigwag.resync``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from wigwag.errors import WigwagError
from wigwag.local.protocol import (
    HELLO,
    MESSAGE,
    SUBSCRIBE,
    SYNC,
    UNSUBSCRIBE,
    VERSION,
    Parser,
    ProtocolError,
    encode,
)
from wigwag.local.settings import LocalSettings, check_settings

logger: logging.Logger = logging.getLogger("wigwag.local")

_BACKLOG: Final = 1024


class HubNotStarted(WigwagError):
    """The hub can't listen: another one does, or the path is no place for a socket."""


class HubRuns(HubNotStarted):
    """Another hub listens at this path."""


class Hub:
    """Serves from :meth:`start` to :meth:`stop`, or within ``async with``.  On asyncio."""

    def __init__(self, settings: LocalSettings) -> None:
        """Raises SettingsError where no socket can have that path."""
        check_settings(settings)
        self._path = settings.path
        self._buffer_bytes = settings.buffer_bytes
        self._lock: int | None = None
        self._server: asyncio.Server | None = None
        self._topics: dict[bytes, dict[Link, None]] = {}
        self._links: set[Link] = set()
        self._by_name: dict[bytes, Link] = {}
        self._filled: list[Link] = []  # those for which there is something to write when this turn ends
        #: Messages that came, whoever wanted them.
        self.messages: int = 0
        #: Links that were cut because their processes read too slowly.
        self.cuts: int = 0

    @property
    def processes(self) -> int:
        """How many are connected."""
        return len(self._by_name)

    async def start(self) -> None:
        """Listen.

        Raises:
            HubNotStarted: one line that says why not, and what to do.
        """
        self._lock = _lock(self._path)
        try:
            listening = _bind(self._path)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Link(self), sock=listening, backlog=_BACKLOG)
        except BaseException:
            self._unlock()
            raise

    async def stop(self) -> None:
        """Cut every link and stop listening; nothing is left but an empty file beside the path."""
        if self._server is not None:
            self._server.close()
            for link in list(self._links):
                link.abort()
            await self._server.wait_closed()
            self._server = None
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # What links tell their hub

    def join(self, link: Link) -> None:
        """A connection is there, which has not said yet whose it is."""
        self._links.add(link)

    def leave(self, link: Link) -> None:
        """It is over; nothing is kept for it."""
        self._links.discard(link)
        if self._by_name.get(link.name) is link:
            del self._by_name[link.name]
        for topic in list(link.topics):
            self.unsubscribe(link, topic)

    def name(self, link: Link, name: bytes) -> None:
        """A process says that this connection is its only one from now on."""
        last = self._by_name.get(name)
        if last is not None:  # it has given that one up, and this hub has not noticed yet
            last.abort()
        link.name = name
        self._by_name[name] = link

    def subscribe(self, link: Link, topic: bytes) -> None:
        """What comes on the topic from now on goes there too."""
        self._topics.setdefault(topic, {})[link] = None
        link.topics.add(topic)

    def unsubscribe(self, link: Link, topic: bytes) -> None:
        """And no longer.  What was not subscribed is no error."""
        links = self._topics.get(topic)
        if links is not None and links.pop(link, link) is None and not links:
            del self._topics[topic]
        link.topics.discard(topic)

    def pass_on(self, topic: bytes, data: bytes, at: int, end: int) -> None:
        """Send a message to those who want it."""
        self.messages += 1
        links = self._topics.get(topic)
        if links is not None:
            frame = data[at:end]
            for link in links:
                waiting = link.waiting
                if not waiting:
                    self._fill(link)
                waiting.append(frame)

    def write(self, link: Link, frame: bytes) -> None:
        """Write a frame when this turn ends."""
        if not link.waiting:
            self._fill(link)
        link.waiting.append(frame)

    def _fill(self, link: Link) -> None:
        if not self._filled:
            asyncio.get_running_loop().call_soon(self._flush)
        self._filled.append(link)

    def _flush(self) -> None:
        filled, self._filled = self._filled, []
        for link in filled:
            unread_bytes = link.flush()
            if unread_bytes > self._buffer_bytes:
                self.cuts += 1
                logger.warning(
                    "the process with %s reads too slowly: %d bytes wait for it (at most %d may), so its link is cut, "
                    "and its sockets are told that they missed something",
                    link.who,
                    unread_bytes,
                    self._buffer_bytes,
                )
                link.abort()


class Link(asyncio.Protocol):
    """A connection of a process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._parser = Parser(self._on_frame)
        self._transport: asyncio.Transport | None = None
        #: By which the process is known when it comes again; empty until it has greeted.
        self.name: bytes = b""
        self.who: str = "no name"
        self.topics: set[bytes] = set()
        self.waiting: list[bytes] = []

    def abort(self) -> None:
        """Close it at once; what it has sent and is not read yet is not done."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
            self.waiting.clear()
            self._hub.leave(self)

    def flush(self) -> int:
        """Write what waits; how many bytes the process has not read, beside what the kernel holds."""
        data = b"".join(self.waiting)
        self.waiting.clear()
        if self._transport is None:
            return 0
        self._transport.write(data)
        return self._transport.get_write_buffer_size()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        self._hub.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self.abort()

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        try:
            self._parser.feed(data)
        except ProtocolError as exc:
            logger.warning(
                "the process with %s does not speak as one of wigwag does (%s): its link is cut",
                self.who,
                exc,
            )
            self.abort()

    def _on_frame(self, kind: int, topic: bytes, data: bytes, at: int, body_at: int, end: int) -> None:
        hub = self._hub
        if self._transport is None:
            return
        if kind == MESSAGE and self.name:
            hub.pass_on(topic, data, at, end)
        elif not self.name:
            self._begin(kind, topic, data[body_at:end])
        elif kind == SYNC:
            hub.write(self, data[at:end])
        elif kind == SUBSCRIBE:
            for each in data[body_at:end].split(b"\n"):
                hub.subscribe(self, each)
        elif kind == UNSUBSCRIBE:
            for each in data[body_at:end].split(b"\n"):
                hub.unsubscribe(self, each)
        else:
            raise ProtocolError(f"a frame of kind {kind}")

    def _begin(self, kind: int, name: bytes, body: bytes) -> None:
        if kind != HELLO or not name:
            raise ProtocolError("no greeting")
        version, _, who = body.partition(b" ")
        self.who = "".join(char for char in who.decode("ascii", "replace")[:40] if char.isprintable())
        hello = encode(HELLO, b"%d" % VERSION)
        if version == b"%d" % VERSION:
            self._hub.name(self, name)
            self._hub.write(self, hello)
        elif self._transport is not None:  # the process says what is wrong: to whom it may concern there
            self._transport.write(hello)
            self._transport.close()


def _lock(path: Path) -> int:
    """Be the only hub of this path, for as long as the file descriptor is open: the kernel sees to it."""
    import fcntl  # not on Windows, where this module can be imported all the same

    file = path.with_name(f"{path.name}.lock")
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise HubNotStarted(f"the hub can't listen at {path}: {exc.strerror} ({file})") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise HubRuns(f"a hub listens at {path} already: stop it, or choose another path") from exc
    return lock


def _bind(path: Path) -> socket.socket:
    """A socket at the path, that this user alone may open; the one that a dead hub has left is taken away."""
    if path.is_socket():
        try:
            path.unlink()
        except OSError as exc:
            raise HubNotStarted(f"the hub can't listen at {path}: {exc.strerror}") from exc
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Before it is there, not after: in between, others could connect.
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
    except OSError as exc:
        listening.close()
        raise HubNotStarted(f"the hub can't listen at {path}: {exc.strerror}") from exc
    finally:
        os.umask(mask)
    return listening
