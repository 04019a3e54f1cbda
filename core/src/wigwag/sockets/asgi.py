"""A connection over any ASGI server: one bounded queue, and one task that writes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.abc
from starlette.websockets import WebSocket, WebSocketDisconnect

from wigwag.frames import Frame, fit_reason
from wigwag.provider.counters import Counters
from wigwag.provider.signal import Signal
from wigwag.sockets.connection import Connection
from wigwag.sockets.limits import Limits
from wigwag.sockets.session import Session

logger = logging.getLogger("wigwag.sockets")

#: What is reported when a connection ends without a close frame (RFC 6455, section 7.1.5).
_ABNORMAL = 1006
#: How long the server has to take a close frame after all else has failed.
_LAST_WORD_S = 1.0


class AsgiConnection(Connection):
    """Lives as long as :meth:`run` does, which is as long as the ASGI application's call."""

    def __init__(
        self, websocket: WebSocket, limits: Limits, counters: Counters, subprotocol: str | None
    ) -> None:
        client = websocket.client
        super().__init__(
            limits,
            counters,
            client=None if client is None else (client.host, client.port),
            subprotocol=subprotocol,
        )
        self._websocket = websocket
        self._wake = Signal()
        self._room = Signal()
        self._sending = anyio.CancelScope()
        self._receiving = anyio.CancelScope()
        self._tasks: anyio.abc.TaskGroup | None = None

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See :class:`Connection`."""
        if self._tasks is not None:
            self._tasks.start_soon(work)

    def resume_reading(self) -> None:
        """See :class:`Connection`."""
        self._room.set()

    def _flush(self) -> None:
        self._wake.set()

    def _finish(self) -> None:
        self._sending.deadline = anyio.current_time() + self._limits.close_timeout_s
        self._wake.set()

    def _abort(self, code: int, reason: str) -> None:
        self._closing = (code, reason)
        self._sending.cancel()

    async def run(self, session: Session) -> None:
        """Serve the socket until it is closed, by either side; then wind it up.

        Cancelled, it winds up first: the ``close`` handler runs, within its limit.
        """
        code, reason = _ABNORMAL, ""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write, session)
                session.begin()
                with self._receiving:
                    code, reason = await self._read(session)
                if self._closing is not None:
                    code, reason = self._closing
                self._closing = self._closing or (code, reason)
                session.gone()
                await session.settle()
                tasks.cancel_scope.cancel()
        finally:
            self._closing = self._closing or (code, reason)
            self._tasks = None
            with anyio.CancelScope(shield=True):  # bounded: the close handler has its limit
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
            session.received(event["bytes"] if text is None else text)
            while session.is_full and self._closing is None:
                await self._room.wait()

    async def _write(self, session: Session) -> None:
        try:
            with self._sending:
                while True:
                    frame = self._queue.pop()
                    if frame is not None:
                        await self._send(frame)
                    elif self._closing is not None:
                        break
                    elif self._queue.was_drained():
                        session.drained()
                    else:
                        await self._wake.wait()
            await self._say_goodbye()
        except (WebSocketDisconnect, RuntimeError, OSError):
            # The client has gone, or the server closes: the reader learns it from the server, with the
            # code, unless it waits for a handler.
            self._queue.clear()
            if self._closing is None:
                await anyio.sleep(self._limits.close_timeout_s)
        self._receiving.cancel()

    async def _send(self, frame: Frame) -> None:
        if frame.is_text:
            await self._websocket.send({"type": "websocket.send", "text": frame.text})
        else:
            await self._websocket.send({"type": "websocket.send", "bytes": frame.payload})

    async def _say_goodbye(self) -> None:
        code, reason = self._closing or (1000, "")
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_WORD_S):
            await self._websocket.send(
                {"type": "websocket.close", "code": code, "reason": fit_reason(reason)}
            )
