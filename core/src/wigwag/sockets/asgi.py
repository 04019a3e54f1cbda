"""A connection over any ASGI server: one bounded queue, and one task that writes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc
from starlette.websockets import WebSocket, WebSocketDisconnect

from wigwag.frames import Frame, fit_reason
from wigwag.provider.counters import Counters
from wigwag.provider.signal import Signal, now
from wigwag.sockets.connection import Cancel, Connection
from wigwag.sockets.limits import Limits, is_larger
from wigwag.sockets.session import Session
from wigwag.wire.client import GOING_AWAY, OVERLOADED, TOO_BIG

logger: logging.Logger = logging.getLogger("wigwag.sockets")

#: What is reported when a connection ends without a close frame (RFC 6455, section 7.1.5).
_ABNORMAL = 1006
#: How long the server has to take a close frame after all else has failed.
_LAST_WORD_S = 1.0
#: What ``send`` raises when there is nobody to send to.
_GONE = (WebSocketDisconnect, RuntimeError, OSError)


class AsgiConnection(Connection):
    """Lives as long as :meth:`run` does, which is as long as the ASGI application's call."""

    def __init__(
        self,
        websocket: WebSocket,
        limits: Limits,
        counters: Counters,
        client: tuple[str, int] | None,
        subprotocol: str | None,
    ) -> None:
        super().__init__(limits, counters, client=client, subprotocol=subprotocol)
        self._websocket = websocket
        self._wake = Signal()
        self._room = Signal()
        self._sending = anyio.CancelScope()
        self._receiving = anyio.CancelScope()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._is_reading = True
        self._is_over = False  # the peer has gone, or was told goodbye

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Cancel:
        """See :class:`Connection`."""
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await work()

        if self._tasks is not None:
            self._tasks.start_soon(run)
        return scope.cancel

    def pause_reading(self) -> None:
        """See :class:`Connection`."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """See :class:`Connection`."""
        self._is_reading = True
        self._room.set()

    def _flush(self) -> None:
        self._wake.set()

    def _finish(self) -> None:
        self._sending.deadline = now() + self._limits.close_timeout_s
        self._wake.set()

    def _abandon(self) -> None:
        self._end_as(OVERLOADED, "too slow")
        self._sending.cancel()

    async def run(self, session: Session) -> None:
        """Serve the socket until it is closed, by either side; then wind it up.

        Cancelled, as by a server that stops, it tells the client so with 1012, and winds up too: the
        ``close`` handler runs, within its limit.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write, session)
                session.begin()
                ended = _ABNORMAL, ""
                with self._receiving:
                    ended = await self._read(session)
                    self._is_over = True
                session.gone()
                self._end_as(*(self.closing or ended))
                await session.settle()
                tasks.cancel_scope.cancel()
        finally:
            code, reason = self.closing or (GOING_AWAY, "going away")
            self._end_as(code, reason)
            self._tasks = None
            with anyio.CancelScope(shield=True):  # bounded: the last word and the close handler have limits
                await self._say_goodbye()
                await session.wind_up(code, reason)

    async def _read(self, session: Session) -> tuple[int, str]:
        while True:
            try:
                event = await self._websocket.receive()
            except Exception:
                logger.exception("the server failed to receive for socket %s", session.id)
                return _ABNORMAL, ""
            if event["type"] == "websocket.disconnect":
                return event.get("code") or _ABNORMAL, event.get("reason") or ""
            text = event.get("text")
            message = event["bytes"] if text is None else text
            if is_larger(message, self._limits.message_bytes):  # the server's own limit is another
                self._counters.refused["too big"] += 1
                self.close(TOO_BIG, f"at most {self._limits.message_bytes} bytes")
            else:
                session.received(message)
            while not self._is_reading and self.closing is None:
                await self._room.wait()

    async def _write(self, session: Session) -> None:
        try:
            with self._sending:
                while True:
                    frame = self._next()
                    if frame is not None:
                        await self._send(frame)
                    elif self.closing is not None:
                        break
                    elif self._queue is not None and self._queue.was_drained():
                        session.drained()
                    else:
                        await self._wake.wait()
            await self._say_goodbye()
        except Exception as exc:
            # The client has gone, or the server closes: the reader learns it from the server, with the
            # code, unless it waits for a handler.
            if not isinstance(exc, _GONE):
                logger.exception("the server failed to send for socket %s", session.id)
            self._is_over = True
            self._queue = None
            if self.closing is None:
                await anyio.sleep(self._limits.close_timeout_s)
        self._receiving.cancel()

    async def _send(self, frame: Frame) -> None:
        if frame.is_text:
            await self._websocket.send({"type": "websocket.send", "text": frame.text})
        else:
            await self._websocket.send({"type": "websocket.send", "bytes": frame.payload})

    async def _say_goodbye(self) -> None:
        if self._is_over or self.closing is None:
            return
        self._is_over = True
        code, reason = self.closing
        # Whatever the server makes of it, the socket is wound up.
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_WORD_S), suppress(Exception):
            await self._websocket.send(
                {"type": "websocket.close", "code": code, "reason": fit_reason(reason)}
            )
