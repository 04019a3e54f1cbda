"""A connection over a raw transport: the seam for a server that hands it over.

A server that speaks RFC 6455 itself puts an object with :class:`TakeOver`'s method into
``scope["extensions"]["wigwag.connection"]``.  Once the handshake is accepted, ``Sockets`` takes the
connection over and returns: no task, queue or scope is then kept for an idle socket.  Frames are written
as bytes that were encoded once for all sockets; the server goes on parsing what comes, and calls the
session.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from wigwag.frames import Frame, encode_close
from wigwag.provider.counters import Counters
from wigwag.sockets.connection import Connection
from wigwag.sockets.limits import Limits
from wigwag.sockets.session import Session

EXTENSION = "wigwag.connection"


class Transport(Protocol):
    """What is needed of an asyncio transport."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def resume_reading(self) -> None: ...
    def pause_reading(self) -> None: ...


class TakeOver(Protocol):
    """What a server offers in ``scope["extensions"]["wigwag.connection"]``."""

    def take_over(
        self, session: Session, make: Callable[[Transport, Spawn], TransportConnection]
    ) -> TransportConnection:
        """Make the connection over the server's transport, and from now on call the session's
        ``received``, ``pinged`` and ``ponged``, the connection's ``pause_writing`` and
        ``resume_writing``, and, once at the end, its ``lost``."""
        ...


#: Runs work as a task that the server holds.
Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


class TransportConnection(Connection):
    """Writes straight to the transport while that takes it, and queues while it is paused."""

    def __init__(
        self,
        transport: Transport,
        spawn: Spawn,
        session: Session,
        limits: Limits,
        counters: Counters,
        *,
        client: tuple[str, int] | None = None,
        subprotocol: str | None = None,
    ) -> None:
        super().__init__(limits, counters, client=client, subprotocol=subprotocol)
        self._transport = transport
        self._spawn = spawn
        self._session = session
        self._paused = False
        self._is_reading = True

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See :class:`Connection`."""
        self._spawn(work)

    def write(self, frame: Frame) -> None:
        """See :class:`Connection`."""
        if self._paused or self._closing is not None:
            super().write(frame)
        else:
            self._transport.write(frame.encoded)

    def pause_reading(self) -> None:
        """See :class:`Connection`.  What the server has read already still comes."""
        if self._closing is None and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See :class:`Connection`."""
        if self._closing is None and not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The transport's buffer is above its high-water mark.  Called inside a ``write``."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport's buffer is below its low-water mark."""
        self._paused = False
        self._flush()

    def _flush(self) -> None:
        while not self._paused:
            frame = self._next()
            if frame is None:
                break
            self._transport.write(frame.encoded)
        if not self._paused and self._queue.was_drained():
            self._session.drained()

    def _finish(self) -> None:
        # What is queued is within the socket's limits, and the transport closes when it has sent it
        # all, or is aborted by the server's own close timeout.
        while (frame := self._next()) is not None:
            self._transport.write(frame.encoded)
        code, reason = self._closing or (1000, "")
        self._transport.write(encode_close(code, reason))
        self._transport.close()

    def _abort(self, code: int, reason: str) -> None:
        self._end_as(code, reason)
        self._transport.abort()

    def lost(self, code: int, reason: str = "") -> None:
        """The connection is over; the code is the peer's, or ours where we closed it."""
        self._session.gone()
        code, reason = self._closing or (code, reason)
        self._end_as(code, reason)
        self._spawn(lambda: self._wind_up(code, reason))

    async def _wind_up(self, code: int, reason: str) -> None:
        await self._session.settle()
        await self._session.wind_up(code, reason)
