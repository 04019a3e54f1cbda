"""A connection over what a server hands over: an accepted WebSocket, without the ASGI call that accepted it.

A server that speaks RFC 6455 itself puts a :class:`TakeOver` into ``scope["extensions"]["wigwag.connection"]``
(``wigwag.uvicorn`` does).  Once the handshake is accepted, ``Sockets`` takes the WebSocket over and returns: no task,
queue or scope is then kept for an idle socket.  Frames are written as bytes that were encoded once for all sockets;
the server goes on parsing what comes, keeps the connection alive, and closes it as the protocol wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from wigwag.frames import Batch, Frame, encode_frame
from wigwag.frames.deflate import Deflater
from wigwag.frames.encoding import BINARY, FIN, TEXT
from wigwag.provider.counters import Counters
from wigwag.sockets.connection import Cancel, Connection
from wigwag.sockets.limits import Limits
from wigwag.sockets.session import Session
from wigwag.wire.client import GOING_AWAY, OVERLOADED, PONG, TOO_BIG

EXTENSION = "wigwag.connection"

_TEXT = FIN | TEXT
_BINARY = FIN | BINARY
_PONG = Frame.of(PONG)
#: What waits is sent on in pieces of about so much, that the kernel may take at once.
_PIECE_BYTES = 64 * 1024


class Receiver(Protocol):
    """What a server tells whoever has taken a WebSocket over.  All synchronous; nothing here may raise."""

    def begin(self) -> None:
        """It is taken over.  Called once, and first, but for :meth:`pause_writing` and :meth:`go_away` where that is
        how it stands."""
        ...

    def received(self, message: str | bytes) -> None:
        """A message came.  After :meth:`Transport.pause_reading` none do, but for what came before the end."""
        ...

    def pinged(self, data: bytes) -> None:
        """A ping came, and is answered (RFC 6455, 5.5.2)."""
        ...

    def ponged(self, data: bytes) -> None:
        """A pong came (5.5.3)."""
        ...

    def pause_writing(self) -> None:
        """The kernel takes no more: something of what was written waits.  Called inside a ``write``."""
        ...

    def resume_writing(self) -> None:
        """All that was written has been taken."""
        ...

    def go_away(self) -> None:
        """The server stops: close, with 1012."""
        ...

    def failed(self, code: int) -> None:
        """The client broke the protocol, or a limit, and is closed with this code; :meth:`lost` follows."""
        ...

    def lost(self, code: int, reason: str) -> None:
        """The WebSocket is over: with the peer's code or, where the server closed it, its own.  Called once, last."""
        ...


class Transport(Protocol):
    """An accepted WebSocket, for its :class:`Receiver`: whole frames go out, messages come in."""

    #: See :class:`~wigwag.interfaces.BatchingSocket`; None where all goes through :meth:`write` (TLS).
    send_now: Callable[[bytes], int] | None
    #: What compresses frames for it; None where compression was not agreed on.
    deflater: Deflater | None

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of what was written the kernel has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Send frames.  Of what one read from the client causes all is sent together, when that is handled."""
        ...

    def send_rest(self, data: bytes) -> None:
        """Send what ``send_now`` left of a frame that it began, ahead of all else."""
        ...

    def close(self, code: int, reason: str, timeout_s: float) -> None:
        """Send a close frame behind what was written, and wait for the peer's, so long in all.  Messages come
        until then."""
        ...

    def limit(self, max_message_bytes: int) -> None:
        """Take no larger messages: a client that announces one is closed with 1009."""
        ...

    def pause_reading(self) -> None:
        """Hand over no more messages."""
        ...

    def resume_reading(self) -> None:
        """Hand over messages again, in a later turn."""
        ...

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Cancel:
        """Run it as a task that the server holds and, where it stops, cancels; returns what cancels it."""
        ...


class TakeOver(Protocol):
    """What a server offers in ``scope["extensions"]["wigwag.connection"]``."""

    def take_over(self, receiver: Receiver) -> None:
        """From now on call the receiver, after :meth:`Receiver.begin` with what came since the handshake.  ASGI events
        come no more."""
        ...

    @property
    def transport(self) -> Transport:
        """The WebSocket to take over."""
        ...


class TransportConnection(Connection):
    """Writes at once while the kernel takes it all, and queues while it does not.  A :class:`Receiver`."""

    __slots__ = ("_is_paused", "_is_reading", "_session", "_transport")

    runs_at_once = True

    def __init__(
        self,
        transport: Transport,
        session: Session,
        limits: Limits,
        counters: Counters,
        *,
        client: tuple[str, int] | None = None,
        subprotocol: str | None = None,
    ) -> None:
        super().__init__(limits, counters, client=client, subprotocol=subprotocol)
        self._transport = transport
        self._session = session
        self._is_paused = False
        self._is_reading = True
        transport.limit(limits.message_bytes)

    def _set_send_now(self) -> None:
        """Fan-out may send past this object while nothing waits here."""
        transport = self._transport
        may_send = not self._is_paused and self.closing is None and transport.deflater is None
        self._session.send_now = transport.send_now if may_send else None

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Cancel:
        """See :class:`Connection`."""
        return self._transport.spawn(work)

    def begin(self) -> None:
        """See :class:`Receiver`."""
        self._set_send_now()
        self._session.begin()

    def received(self, message: str | bytes) -> None:
        """See :class:`Receiver`."""
        self._session.received(message)

    def pinged(self, data: bytes) -> None:
        """See :class:`Receiver`."""
        self._session.pinged(data)

    def ponged(self, data: bytes) -> None:
        """See :class:`Receiver`."""
        self._session.ponged(data)

    # Writing

    @property
    def buffered_bytes(self) -> int:
        """See :class:`Connection`."""
        return super().buffered_bytes + self._transport.buffered_bytes

    def write(self, frame: Frame) -> None:
        """See :class:`Connection`."""
        if self._is_paused or self.closing is not None:
            self._queue_up(frame)
        else:
            transport = self._transport
            deflater = transport.deflater
            transport.write(frame.encoded if deflater is None else frame.deflated(deflater))

    def send(self, payload: bytes, is_text: bool) -> None:
        """See :class:`Connection`."""
        if self._is_paused or self.closing is not None or self._transport.deflater is not None:
            self.write(Frame(payload, is_text))
        else:
            self._transport.write(encode_frame(_TEXT if is_text else _BINARY, payload))

    def write_batch(self, batch: Batch) -> None:
        """See :class:`Connection`."""
        if self._is_paused or self.closing is not None:
            for frame in batch.frames:
                self._queue_up(frame)
        else:
            transport = self._transport
            deflater = transport.deflater
            transport.write(batch.encoded if deflater is None else batch.deflated(deflater))

    def unsent(self, data: bytes, sent: int) -> None:
        """See :class:`~wigwag.interfaces.BatchingSocket`."""
        self._transport.send_rest(data[sent:])

    def pong(self) -> None:
        """See :class:`Connection`."""
        if self._is_paused:
            super().pong()
        elif self.closing is None:
            self._transport.write(_PONG.encoded)

    def _queue_up(self, frame: Frame) -> None:
        """Keep what is to be sent, and none of the other forms of the message, which nobody else may need any more."""
        deflater = self._transport.deflater
        encoded = frame.encoded if deflater is None else frame.deflated(deflater)
        super().write(Frame(encoded, frame.is_text, frame.topic, None, encoded))

    def pause_writing(self) -> None:
        """See :class:`Receiver`."""
        self._is_paused = True
        self._set_send_now()

    def resume_writing(self) -> None:
        """See :class:`Receiver`."""
        self._is_paused = False
        self._flush()
        if not self._is_paused:
            self._set_send_now()

    def _flush(self) -> None:
        queue = self._queue
        if queue is None:
            return
        while not self._is_paused and (piece := self._next_piece()):
            self._transport.write(piece)
        if not self._is_paused:
            was_drained = queue.was_drained()
            self._queue = None  # most sockets never need one, so that it is not kept
            if was_drained:
                self._session.drained()

    def _next_piece(self) -> bytes:
        piece: list[bytes] = []
        size = 0
        while size < _PIECE_BYTES and (frame := self._next()) is not None:
            piece.append(frame.encoded)
            size += len(piece[-1])
        return b"".join(piece)

    # Reading

    def pause_reading(self) -> None:
        """See :class:`Connection`."""
        if self.takes_messages and self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See :class:`Connection`."""
        if self.takes_messages and not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    # The end

    def go_away(self) -> None:
        """See :class:`Receiver`."""
        self._session.close(GOING_AWAY, "going away")

    def _end_as(self, code: int, reason: str) -> None:
        super()._end_as(code, reason)
        self._set_send_now()

    def _finish(self) -> None:
        # What is queued is within the socket's limits, and goes to the transport's buffer, which has so long.
        code, reason = self.closing or (1000, "")
        while (piece := self._next_piece()) != b"":
            self._transport.write(piece)
        self._close(code, reason)

    def _abandon(self) -> None:
        # A frame that was begun is finished, so that the peer, should it read on, learns why.
        self._end_as(OVERLOADED, "too slow")
        self._close(OVERLOADED, "too slow")

    def _close(self, code: int, reason: str) -> None:
        # The peer's close frame may stand behind messages that nobody takes.
        if not (self._is_reading or self.takes_messages):
            self._is_reading = True
            self._transport.resume_reading()
        self._transport.close(code, reason, self._limits.close_timeout_s)

    def failed(self, code: int) -> None:
        """See :class:`Receiver`."""
        self._counters.refused["too big" if code == TOO_BIG else "protocol error"] += 1

    def lost(self, code: int, reason: str) -> None:
        """See :class:`Receiver`."""
        self._is_reading = True  # there is nothing any more that could be resumed
        self._session.gone()
        code, reason = self.closing or (code, reason)
        self._end_as(code, reason)
        self._transport.spawn(lambda: self._wind_up(code, reason))

    async def _wind_up(self, code: int, reason: str) -> None:
        session = self._session
        try:
            await session.settle()
        except asyncio.CancelledError:  # the server's time is over, and the handlers are cancelled as well
            await session.settle()
            raise
        finally:
            await session.wind_up(code, reason)
