"""The ASGI side: one application call for one WebSocket (the ASGI specification, version 2.5 of WebSockets)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_remote_addr,
)

from wigwag.frames import Frame, check_close_code
from wigwag.frames.closing import INTERNAL_ERROR, too_big
from wigwag.sockets.limits import is_larger
from wigwag.sockets.transport import EXTENSION, Receiver, Transport
from wigwag.uvicorn.handshake import Refused, Request, accept, refuse, respond
from wigwag.wire.client import GOING_AWAY, NORMAL

if TYPE_CHECKING:
    from wigwag.uvicorn.hub import Hub
    from wigwag.uvicorn.protocol import WebSocketProtocol

logger: Final = logging.getLogger("uvicorn.error")

Event = dict[str, Any]

#: How much the application may leave unreceived before no more is read, in bytes; in messages it is ws_max_queue.
_MOST_WAITING_BYTES: Final = 256 * 1024


class _Stage(Enum):
    CONNECTING = "connecting"
    ACCEPTED = "accepted"
    RESPONDING = "responding"  # an HTTP answer has begun
    CLOSED = "closed"  # by the application
    OVER = "over"
    HANDED_OVER = "handed over"


class AsgiCall:
    """What the application's call has received and sent.  A :class:`~wigwag.sockets.transport.Receiver`, until a
    connection is taken over."""

    def __init__(
        self,
        protocol: WebSocketProtocol,
        hub: Hub,
        default_headers: list[tuple[bytes, bytes]],
        app_state: dict[str, Any],
    ) -> None:
        self._protocol = protocol
        self._hub = hub
        self.default_headers: list[tuple[bytes, bytes]] = default_headers
        self._app_state = app_state
        self._transport: asyncio.Transport
        self._request: Request
        self._scope: dict[str, Any] = {}
        self._stage = _Stage.CONNECTING
        self._events: deque[Event] = deque()
        self._waiting_bytes = 0
        self._is_holding = False
        self._receiving: deque[asyncio.Future[None]] = deque()
        self._writable: asyncio.Future[None] | None = None
        #: Once there is one, that is all there is to receive.
        self._disconnect: Event | None = None

    def start(self, request: Request, transport: asyncio.Transport) -> None:
        """The request has come: call the application."""
        self._request = request
        self._transport = transport
        config = self._hub.config
        self._scope = {
            "type": "websocket",
            "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws" if transport.get_extra_info("sslcontext") is None else "wss",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "root_path": config.root_path,
            "path": config.root_path + request.path,
            "raw_path": config.root_path.encode("ascii") + request.raw_path,
            "query_string": request.query,
            "headers": request.headers,
            "subprotocols": request.subprotocols,
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: self},
        }
        self._events.append({"type": "websocket.connect"})
        # In a later turn: uvicorn gives the transport to our protocol only after this.
        self._hub.start(self._run())

    async def _run(self) -> None:
        failed = True
        try:
            result = await self._hub.app(self._scope, self._receive, self._send)
            failed = False
        except ClientDisconnected:
            failed = False
            return
        except Exception:
            logger.exception("Exception in ASGI application")
        else:
            if result is not None:
                logger.error("the application should return None, and returned %r", result)
        finally:
            self._returned(failed=failed)

    def _returned(self, *, failed: bool) -> None:
        """The application has ended: end what it left open."""
        if self._stage is _Stage.CONNECTING and self._disconnect is None:
            if not failed:
                logger.error("the application has returned without an answer to the handshake")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error")
        elif self._stage is _Stage.ACCEPTED:
            self._stage = _Stage.OVER
            self._close(INTERNAL_ERROR if failed else NORMAL)
        elif self._stage is _Stage.RESPONDING:
            self._finish()
        self._scope = {}  # its extension is us

    # receive

    async def _receive(self) -> Event:
        while not self._events:
            if self._disconnect is not None:
                return self._disconnect
            woken = self._hub.loop.create_future()
            self._receiving.append(woken)
            try:
                await woken
            except asyncio.CancelledError:
                if woken.cancelled():
                    self._receiving.remove(woken)
                else:  # it was woken, and cancelled before it ran: another may take what there is
                    self._wake()
                raise
        event = self._events.popleft()
        self._waiting_bytes -= _size(event)
        if self._is_holding and not self._events:
            self._is_holding = False
            self._protocol.resume_reading()
        return event

    def _put(self, event: Event) -> None:
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        while self._receiving:
            woken = self._receiving.popleft()
            if not woken.done():
                woken.set_result(None)
                if self._disconnect is None:  # which is for all who ask
                    return

    def received(self, message: str | bytes) -> None:
        """See :class:`~wigwag.sockets.transport.Receiver`."""
        if self._stage is not _Stage.ACCEPTED:  # it was told that no more comes
            return
        event: Event
        if isinstance(message, str):
            event = {"type": "websocket.receive", "text": message}
        else:
            event = {"type": "websocket.receive", "bytes": message}
        self._waiting_bytes += _size(event)
        self._put(event)
        is_full = len(self._events) >= self._hub.config.ws_max_queue
        if (is_full or self._waiting_bytes >= _MOST_WAITING_BYTES) and not self._is_holding:
            self._is_holding = True
            self._protocol.pause_reading()

    def begin(self) -> None:
        """See :class:`~wigwag.sockets.transport.Receiver`; it is there from the start."""

    def pinged(self, data: bytes) -> None:
        """ASGI has no event for it."""

    def ponged(self, data: bytes) -> None:
        """Likewise."""

    def failed(self, code: int) -> None:
        """Likewise."""

    def lost(self, code: int, reason: str) -> None:
        """See :class:`~wigwag.sockets.transport.Receiver`."""
        self._disconnected(code, reason)
        if self._stage not in (_Stage.HANDED_OVER, _Stage.CLOSED):
            self._stage = _Stage.OVER
        self.resume_writing()

    def _disconnected(self, code: int, reason: str) -> None:
        if self._disconnect is None:
            self._disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._wake()

    def go_away(self) -> None:
        """See :class:`~wigwag.sockets.transport.Receiver`."""
        if self._stage is _Stage.CONNECTING:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        elif self._stage is _Stage.ACCEPTED:
            self._stage = _Stage.OVER
            self._disconnected(GOING_AWAY, "")
            self._close(GOING_AWAY)
        elif self._stage is _Stage.RESPONDING:
            self._finish()

    # Taking over

    @property
    def transport(self) -> Transport:
        """See :class:`~wigwag.sockets.transport.TakeOver`."""
        return self._protocol

    def take_over(self, receiver: Receiver) -> None:
        """See :class:`~wigwag.sockets.transport.TakeOver`."""
        self._stage = _Stage.HANDED_OVER
        is_handed_over = self._protocol.hand_to(receiver)
        if is_handed_over and self._disconnect is not None:  # the server has begun to close it
            receiver.go_away()
        receiver.begin()
        if self._is_holding:
            self._is_holding = False
            self._protocol.resume_reading()
        while self._events:
            event = self._events.popleft()
            if event["type"] == "websocket.receive":
                text = event.get("text")
                message: str | bytes = event["bytes"] if text is None else text
                if is_larger(
                    message, self._protocol.max_message_bytes
                ):  # they were taken by the server's limit
                    self._protocol.break_off(too_big(self._protocol.max_message_bytes))
                    self._events.clear()
                else:
                    receiver.received(message)
        if not is_handed_over and self._disconnect is not None:
            receiver.lost(self._disconnect["code"], self._disconnect["reason"])

    # send

    def pause_writing(self) -> None:
        """See :class:`~wigwag.sockets.transport.Receiver`."""
        if self._writable is None:
            self._writable = self._hub.loop.create_future()

    def resume_writing(self) -> None:
        """See :class:`~wigwag.sockets.transport.Receiver`."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    async def _send(self, message: Event) -> None:
        while self._writable is not None:
            await asyncio.shield(self._writable)  # several may wait for it
        kind = message["type"]
        if self._stage is _Stage.ACCEPTED:
            self._send_accepted(kind, message)
        elif self._disconnect is not None and self._stage is not _Stage.CLOSED:
            raise ClientDisconnected
        elif self._stage is _Stage.CONNECTING:
            self._answer(kind, message)
        elif self._stage is _Stage.RESPONDING and kind == "websocket.http.response.body":
            self._transport.write(message.get("body", b""))
            if not message.get("more_body", False):
                self._finish()
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}: the WebSocket is {self._stage.value}")

    def _send_accepted(self, kind: str, message: Event) -> None:
        if kind == "websocket.send":
            data, text = message.get("bytes"), message.get("text")
            if data is None:
                data = text
            if data is None:  # against the specification; uvicorn's own sends nothing then
                return
            frame = Frame.of(data)
            deflater = self._protocol.deflater
            self._protocol.write(frame.encoded if deflater is None else frame.deflated(deflater))
        elif kind == "websocket.close":
            code, reason = message.get("code", NORMAL) or NORMAL, message.get("reason") or ""
            check_close_code(code)
            self._stage = _Stage.CLOSED
            self._disconnected(code, reason)
            self._close(code, reason)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}: the WebSocket is accepted")

    def _answer(self, kind: str, message: Event) -> None:
        """To the handshake."""
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._log("403")
            self._refuse(HTTPStatus.FORBIDDEN, "Forbidden")
        elif kind == "websocket.http.response.start":
            self._log(str(message["status"]))
            headers = [*self.default_headers, *message.get("headers", ())]
            self._transport.write(respond(message["status"], headers))
            self._stage = _Stage.RESPONDING
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}: the handshake is not answered yet")

    def _accept(self, message: Event) -> None:
        headers = [*self.default_headers, *message.get("headers", ())]
        subprotocol = message.get("subprotocol")
        if subprotocol:
            headers.append((b"Sec-WebSocket-Protocol", subprotocol.encode("latin-1")))
        agreed = self._hub.agree(self._request.extensions)
        if agreed is not None:
            headers.append((b"Sec-WebSocket-Extensions", agreed[0].header.encode("ascii")))
        answer = accept(self._request.key, headers)
        self._log("[accepted]")
        self._stage = _Stage.ACCEPTED
        self._protocol.open(answer, None if agreed is None else agreed[1])

    def _close(self, code: int, reason: str = "") -> None:
        self._protocol.close(code, reason)
        self._protocol.resume_reading()  # for the peer's close frame

    def _log(self, outcome: str) -> None:
        if logger.isEnabledFor(logging.INFO):
            scope: Any = self._scope
            # Not the query: the tokens of browsers stand there.
            query = "?…" if scope["query_string"] else ""
            logger.info(
                '%s - "WebSocket %s%s" %s', get_client_addr(scope), quote(scope["path"]), query, outcome
            )

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._transport.write(refuse(Refused(status, why), self.default_headers))
        self._finish()

    def _finish(self) -> None:
        """The HTTP answer is complete."""
        self._stage = _Stage.OVER
        self._protocol.end_unopened()


def _size(event: Event) -> int:
    return len(event.get("text") or event.get("bytes") or "")
