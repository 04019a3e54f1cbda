"""The protocol class: one WebSocket on its transport (RFC 6455)."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from wigwag.frames.closing import (
    ABNORMAL,
    INTERNAL_ERROR,
    ProtocolError,
    encode_close,
    parse_close,
)
from wigwag.frames.deflate import Deflater
from wigwag.frames.encoding import CLOSE, FIN, PING, PONG, encode_frame
from wigwag.frames.parser import PART, Control, Parser
from wigwag.sockets.transport import Receiver
from wigwag.uvicorn.asgi import AsgiCall
from wigwag.uvicorn.handshake import Refused, Request, refuse
from wigwag.uvicorn.hub import Hub, hub_of
from wigwag.uvicorn.kernel import unacknowledged_bytes

logger: Final = logging.getLogger("wigwag.uvicorn")

#: How many messages of one connection are handled in one turn of the event loop: who sends more waits for the others.
_MESSAGES_A_TURN: Final = 64
#: How long the peer has for its part of the end, where nobody says otherwise. In seconds.
CLOSE_TIMEOUT_S: Final = 5.0

#: What is written while one read is handled is sent together, but no more than about so much is kept for that.
_MOST_CORKED_BYTES: Final = 64 * 1024
#: How much a client may send before its handshake is answered; it is read further when it is.
_MOST_EARLY_BYTES: Final = 4 * 1024
#: What may wait in a transport that encrypts before the connection is paused.
_TLS_BUFFER_BYTES: Final = 64 * 1024
_PING_FRAME: Final = encode_frame(FIN | PING, b"")


# The states. Plain numbers, since one is looked at for every message.
OPENING: Final = 0  # the handshake was asked for, and not answered
OPEN: Final = 1
CLOSING: Final = 2  # our close frame was sent, the peer's has not come
OVER: Final = 3  # nothing more is said; the transport may still be sending


class WebSocketProtocol(asyncio.Protocol):
    """What uvicorn makes for each WebSocket: ``uvicorn --ws wigwag.uvicorn:WebSocketProtocol``.

    Any ASGI application works on it.  One that knows :class:`~wigwag.sockets.transport.TakeOver` may take the
    connection over, and return: the protocol then calls a :class:`~wigwag.sockets.transport.Receiver`, of which it is
    the :class:`~wigwag.sockets.transport.Transport`; nothing else is kept.

    Of uvicorn's settings it knows ``ws_max_size`` (a larger message closes with 1009 as soon as it is announced),
    ``ws_max_queue``, ``ws_ping_interval``, ``ws_ping_timeout``.  Compression is ``WIGWAG_COMPRESSION``'s to switch
    on: uvicorn has it on unless told otherwise.
    """

    __slots__ = (
        "_context",
        "_cork",
        "_corked_bytes",
        "_heard",
        "_hub",
        "_is_ending",
        "_is_held",
        "_is_reading",
        "_is_writable",
        "_parser",
        "_pinged_at",
        "_pong",
        "_receiver",
        "_state",
        "_transport",
        "_unsent_bytes",
        "deflater",
        "send_now",
        "slot",
        "turns",
    )

    _transport: asyncio.Transport
    _receiver: Receiver | None

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], **_: Any
    ) -> None:
        self._hub: Hub = hub_of(config, server_state)
        self._state = OPENING
        self._parser: Parser | None = None  # until the request has come
        self._receiver = AsgiCall(self, self._hub, server_state.default_headers, app_state)
        self._context: contextvars.Context | None = None
        #: What is written while one read is handled, to be sent together.
        self._cork: list[bytes] | None = None
        self._corked_bytes = 0
        #: Whether the receiver wants no messages now, and whether the transport reads.
        self._is_held = False
        self._is_reading = True
        #: Whether what ends it has been read: nothing behind that counts.
        self._is_ending = False
        #: Whether the transport's buffer is empty (over TLS: nearly so).
        self._is_writable = True
        #: The payload of a ping that is to be answered once that can be sent.
        self._pong: bytes | None = None
        self._heard = False
        #: When the ping was sent to which nothing has been heard yet; by the loop's clock.
        self._pinged_at: float | None = None
        #: How much was still to be taken by the peer when that was last looked at, with nothing taken since.
        self._unsent_bytes = 0
        # See Transport, and Timed.
        self.send_now: Callable[[bytes], int] | None = None
        self.deflater: Deflater | None = None
        self.slot: int | None = None
        self.turns: int = 0

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio's."""
        self._transport = transport
        self._hub.connections.add(self)
        is_encrypted = transport.get_extra_info("sslcontext") is not None
        # Anything that waits in the transport makes itself known, so that nothing is ever written past it. Over TLS
        # a limit of 0 would never be seen to be kept.
        high = _TLS_BUFFER_BYTES if is_encrypted else 0
        transport.set_write_buffer_limits(high=high)
        # There may be an HTTP response that has not been sent yet.
        self._is_writable = transport.get_write_buffer_size() <= high
        if not is_encrypted and sys.platform != "win32":
            # A tenth cheaper than the transport's own write, which does the same first.
            fd = transport.get_extra_info("socket").fileno()
            self.send_now = functools.partial(os.write, fd)

    def data_received(self, data: bytes) -> None:
        """asyncio's.  uvicorn hands the request over so, too."""
        self._heard = True
        parser = self._parser
        if parser is None:
            self._begin(data)
        elif self._state != OVER:
            parser.feed(data)
            if self._state == OPENING:  # who waits for the answer sends nothing
                if len(parser.unread) >= _MOST_EARLY_BYTES:
                    self.pause_reading()
            elif not self._is_held:
                self._read()

    def eof_received(self) -> None:
        """asyncio's: the transport then closes."""

    def pause_writing(self) -> None:
        """asyncio's: the kernel has not taken all."""
        self._is_writable = False
        if self._receiver is not None:
            self._receiver.pause_writing()

    def resume_writing(self) -> None:
        """asyncio's: the kernel has taken all."""
        self._is_writable = True
        self._unsent_bytes = 0
        if self._pong is not None and self._state == OPEN:
            pong, self._pong = self._pong, None
            self.write(encode_frame(FIN | PONG, pong))
        if self._receiver is not None and self._is_writable:
            self._receiver.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        self._hub.connections.discard(self)
        self._hub.drop_deadline(self)
        if self._state in (OPEN, CLOSING) and not self._is_ending:
            self._read_rest()
        self._end(ABNORMAL, "")

    @property
    def is_open(self) -> bool:
        """Whether the handshake was answered, and its end has not begun: no close frame was sent."""
        return self._state == OPEN

    def shutdown(self) -> None:
        """uvicorn's: the server stops."""
        if self._receiver is not None:
            self._receiver.go_away()
        elif self._state == OVER:
            self._transport.close()

    # The handshake

    def _begin(self, head: bytes) -> None:
        call = self._receiver
        assert isinstance(call, AsgiCall)
        self._parser = Parser(self._hub.max_message_bytes)
        try:
            request = Request(head)
        except Refused as refused:
            self._transport.write(refuse(refused, call.default_headers))
            self.end_unopened()
            return
        call.start(request, self._transport)

    def open(self, answer: bytes, deflater: Deflater | None) -> None:
        """The handshake is accepted, with this answer."""
        assert self._parser is not None
        self._state = OPEN
        self.write(answer)
        self.deflater = deflater
        self._parser.inflates = deflater is not None
        first_ping_s = self._hub.first_ping_s()
        if first_ping_s is not None:
            self._hub.set_deadline(self, first_ping_s)
        if self._is_held:
            self.resume_reading()
        elif self._parser.unread:
            self._hub.loop.call_soon(self._read_on)

    def hand_to(self, receiver: Receiver) -> bool:
        """From now on this one is called, unless the WebSocket is over: then nobody is any more, and it is False.

        Its handlers see the context variables that the endpoint saw.
        """
        if self._state == OVER:
            return False
        self._receiver = receiver
        self._context = contextvars.copy_context()
        if not self._is_writable:
            receiver.pause_writing()
        return True

    # Reading

    def _read(self) -> None:
        """Handle what has come, as far as this turn allows; what that writes is sent together."""
        cork: list[bytes] = []
        self._cork = cork
        self._corked_bytes = 0
        try:
            self._in_context(self._handle)
        except ProtocolError as exc:
            self.break_off(exc)
        except Exception:
            logger.exception("a WebSocket failed")
            self._fail(INTERNAL_ERROR, "internal error")
        self._cork = None
        if cork and self._state == OPEN:
            self._send(cork[0] if len(cork) == 1 else b"".join(cork))

    def _in_context(self, handle: Callable[[], None]) -> None:
        if self._context is None:
            handle()
        else:
            self._context.copy().run(handle)

    def _handle(self) -> None:
        parser = self._parser
        assert parser is not None
        for _ in range(_MESSAGES_A_TURN):
            event = parser.next()
            if isinstance(event, Control):
                self._control(event)
            elif event is not None and self._state != OVER and self._receiver is not None:
                self._receiver.received(event)
            if self._is_held or self._state == OVER:
                return
            if event is None or not parser.unread:
                if not self._is_reading:
                    self._is_reading = True
                    self._transport.resume_reading()
                return
        # What is left comes after what other connections have sent.
        self._stop_reading()
        self._hub.loop.call_soon(self._read_on)

    def _read_rest(self) -> None:
        """Hand over what came before the end, now that no more comes; TCP waits with that end, TLS does not."""
        self._state = CLOSING  # nothing can be sent any more
        if self._receiver is not None:
            self._receiver.pause_writing()
        try:
            self._in_context(self._handle_rest)
        except ProtocolError as exc:
            if self._receiver is not None:
                self._receiver.failed(exc.code)
        except Exception:
            logger.exception("a WebSocket failed")

    def _handle_rest(self) -> None:
        parser = self._parser
        assert parser is not None
        while self._receiver is not None and (event := parser.next()) is not None:
            if not isinstance(event, Control):
                self._receiver.received(event)
            elif event.opcode == CLOSE:
                self._end(*parse_close(event.payload))

    def _control(self, event: Control) -> None:
        receiver = self._receiver
        if event.opcode == CLOSE:
            self._end_soon(self._closed_by_peer, *parse_close(event.payload))
        elif event is PART or receiver is None or self._state != OPEN:
            pass
        elif event.opcode == PONG:
            receiver.ponged(event.payload)
        else:
            if self._is_writable:
                self.write(encode_frame(FIN | PONG, event.payload))
            else:  # only the last has to be answered (RFC 6455, 5.5.3)
                self._pong = event.payload
            receiver.pinged(event.payload)

    def break_off(self, error: ProtocolError) -> None:
        """The peer broke the protocol, or a limit: close it, once what came before is handled."""
        if self._receiver is not None:
            self._receiver.failed(error.code)
        self._end_soon(self._fail, error.code, error.reason)

    @property
    def max_message_bytes(self) -> int:
        """How large a message may be now."""
        return self._hub.max_message_bytes if self._parser is None else self._parser.max_message_bytes

    def limit(self, max_message_bytes: int) -> None:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._parser is not None:
            self._parser.max_message_bytes = min(max_message_bytes, self._hub.max_message_bytes)

    def pause_reading(self) -> None:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._state != OVER:
            self._is_held = True
            self._stop_reading()

    def resume_reading(self) -> None:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._is_held and not self._is_ending:
            self._is_held = False
            self._hub.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._is_held and self._state in (OPEN, CLOSING):
            self._read()

    def _stop_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    # Writing

    @property
    def buffered_bytes(self) -> int:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._cork is not None:
            self._cork.append(data)
            self._corked_bytes += len(data)
            if self._corked_bytes >= _MOST_CORKED_BYTES:
                self._send_corked(self._cork)  # what the kernel does not take is then known to wait
        elif self._state == OPEN:
            self._send(data)

    def send_rest(self, data: bytes) -> None:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._state == OPEN:
            self._transport.write(data)

    def _uncork(self) -> None:
        """Send now what this turn has written; the rest of it is sent as it comes."""
        cork, self._cork = self._cork, None
        if cork:
            self._send_corked(cork)

    def _send_corked(self, cork: list[bytes]) -> None:
        data = b"".join(cork)
        cork.clear()
        self._corked_bytes = 0
        if self._state == OPEN:
            self._send(data)

    def _send(self, data: bytes) -> None:
        if self._is_writable and self.send_now is not None:
            try:
                sent = self.send_now(data)
            except OSError:  # nothing could be taken, or the peer has gone: the transport will see
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self._transport.write(data)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._context is None or self._cork is not None:  # which is there while _handle runs, in its copy
            return self._hub.spawn(work)
        return self._context.copy().run(self._hub.spawn, work)

    # The end

    def close(self, code: int, reason: str, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """See :class:`~wigwag.sockets.transport.Transport`."""
        if self._state == OPEN:
            self._uncork()
            self._send(encode_close(code, reason))
            self._state = CLOSING
            self._hub.set_deadline(self, timeout_s)

    def _end_soon(self, end: Callable[[int, str], None], code: int, reason: str) -> None:
        """End it when this turn is over, so that what came before is answered by who can do so at once."""
        self._is_ending = self._is_held = True
        self._stop_reading()
        self._hub.loop.call_soon(end, code, reason)

    def _closed_by_peer(self, code: int, reason: str) -> None:
        if self._state == OVER:
            return
        if self._state == OPEN:
            self._send(encode_close(code))
        self._end(code, reason)
        self._finish()

    def _fail(self, code: int, reason: str) -> None:
        """The peer broke the protocol, or we did ours badly: say so, and read nothing more."""
        if self._state == OVER:
            return
        if self._state == OPEN:
            self._uncork()
            self._send(encode_close(code, reason))
        self._end(code, reason)
        transport = self._transport
        try:
            if not transport.can_write_eof() or transport.is_closing():
                self._finish()
                return
            # Closed while something comes in, the connection would be reset, and our close frame lost with it. So
            # what comes is dropped, until the peer closes, or its time is over.
            transport.write_eof()
        except OSError:  # the peer has reset it, and nobody has read so yet
            self._finish()
            return
        self._drop_what_comes()
        self._hub.set_deadline(self, CLOSE_TIMEOUT_S)

    def _drop_what_comes(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def end_unopened(self) -> None:
        """The handshake was answered with something else than yes."""
        self._end(ABNORMAL, "")
        self._finish()

    def _finish(self) -> None:
        """Close the transport when what was written is sent, or its time is over."""
        if not self._transport.is_closing():
            if not self._transport.can_write_eof():  # TLS reads the peer's own end
                self._drop_what_comes()
            self._transport.close()
        self._hub.set_deadline(self, CLOSE_TIMEOUT_S)

    def _end(self, code: int, reason: str) -> None:
        """The WebSocket is over: nothing more comes of it, or goes to it."""
        self._state = OVER
        self.send_now = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(code, reason)

    # Keeping alive

    def is_due(self) -> None:
        """See :class:`~wigwag.uvicorn.wheel.Timed`: it is time for a ping, or for the peer to have answered."""
        if self._state != OPEN:
            self._transport.abort()
        elif not self._is_writable:
            self._watch_sending()
        elif self._pinged_at is None:
            self._ping()
        elif self._heard or not self._is_reading:  # what we do not read can't be heard
            self._await_ping(self._pinged_at)
        else:
            self._await_pong(self._pinged_at)

    def _ping(self) -> None:
        hub = self._hub
        self._heard = False
        self.write(_PING_FRAME)
        if hub.ping_timeout_s is None:
            hub.set_deadline(self, hub.ping_interval_s or CLOSE_TIMEOUT_S)
        else:
            self._pinged_at = hub.loop.time()
            hub.set_deadline(self, min(hub.ping_timeout_s, hub.ping_interval_s or CLOSE_TIMEOUT_S))

    def _await_ping(self, pinged_at: float) -> None:
        """The peer lives: the next ping is due an interval after the last."""
        hub = self._hub
        self._pinged_at = None
        left_s = pinged_at + (hub.ping_interval_s or 0.0) - hub.loop.time()
        if left_s > 0:
            hub.set_deadline(self, left_s)
        else:
            self._ping()

    def _await_pong(self, pinged_at: float) -> None:
        hub = self._hub
        left_s = pinged_at + (hub.ping_timeout_s or 0.0) - hub.loop.time()
        if left_s > 0:  # an answer may take longer than the time between pings
            hub.set_deadline(self, left_s)
        else:
            self._fail(INTERNAL_ERROR, "keepalive ping timeout")

    def _watch_sending(self) -> None:
        """A ping would wait behind what is being sent: a peer that takes some of it lives."""
        hub = self._hub
        unsent = self._transport.get_write_buffer_size() + unacknowledged_bytes(self._transport)
        if unsent == self._unsent_bytes and hub.ping_timeout_s is not None:
            self._fail(INTERNAL_ERROR, "nothing was read for too long")
        else:
            self._unsent_bytes = unsent
            self._pinged_at = None
            hub.set_deadline(self, hub.ping_timeout_s or hub.ping_interval_s or CLOSE_TIMEOUT_S)
