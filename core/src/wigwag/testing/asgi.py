"""An ASGI application without a server: its lifespan, and WebSockets in memory."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import anyio

from wigwag.background import BackgroundTask
from wigwag.client.waiting import Bell
from wigwag.client.websocket import ABNORMAL, Over

logger: logging.Logger = logging.getLogger("wigwag.testing")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSIONS: Final = {"version": "3.0", "spec_version": "2.4"}
#: How many messages wait on their way, either way, before who sends has to wait.
_IN_FLIGHT: Final = 64
_NORMAL: Final = 1000
_APP_FAILED: Final = 1011


class Lifespan:
    """An application's lifespan, in a task of its own, so that it may be entered and left from two.

    ``state`` is what the application put there, for the scope of each request.
    """

    def __init__(self, app: App, limit_s: float) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._limit_s = limit_s
        self._task = BackgroundTask(self._run, name="wigwag test lifespan")
        self._is_stopping = False
        self._was_received = False
        self._answers: list[Message] = []
        self._changed = Bell()

    async def start(self) -> None:
        """Return when the application has started.

        Raises:
            TimeoutError: not within the limit.
            Exception: what the application raised.
        """
        self._task.start()
        try:
            await self._answered()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._task.stop()
            raise

    async def stop(self) -> None:
        """Return when the application has stopped.  Raises as :meth:`start` does."""
        self._is_stopping = True
        self._answers.clear()
        self._changed.ring()
        try:
            await self._answered()
        finally:
            with anyio.CancelScope(shield=True):
                await self._task.stop()

    async def _answered(self) -> None:
        with anyio.move_on_after(self._limit_s) as limit:
            while not self._answers and not self._task.is_done:
                await self._changed.wait()
            if self._answers and self._answers[0]["type"].endswith(".failed"):
                await self._task.wait()
        if limit.cancelled_caught:
            done = "stopped" if self._is_stopping else "started"
            raise TimeoutError(f"the application has not {done} within {self._limit_s:g} s")
        if self._task.error is not None and self._was_received:
            raise self._task.error
        if self._answers and self._answers[0]["type"].endswith(".failed"):
            what = "shutdown" if self._is_stopping else "startup"
            raise RuntimeError(f"the application's {what} failed: {self._answers[0].get('message')}")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": VERSIONS, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:
            if self._was_received:
                raise
            logger.info("the application has no lifespan", exc_info=True)  # ASGI lets it say so like this
        finally:
            # Not at once: the task's error is there when it is done.
            self._changed.ring()

    async def _receive(self) -> Message:
        if not self._was_received:
            self._was_received = True
            return {"type": "lifespan.startup"}
        while not self._is_stopping:
            await self._changed.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        self._answers.append(message)
        self._changed.ring()


class AppWebSocket:
    """A WebSocket of an application, in memory: what :mod:`wigwag.client` needs of one.

    Made, then :meth:`open`; what came of it then stands in ``is_open``, ``status`` and ``error``.
    """

    def __init__(self, app: App, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._to_app: deque[Message] = deque([{"type": "websocket.connect"}])
        self._to_client: deque[str | bytes] = deque()
        self._changed = Bell()
        self._is_accepted = False
        self._end: tuple[int, str] | None = None
        self._task = BackgroundTask(self._run, name="wigwag test websocket")
        #: The HTTP status of an answer that was no WebSocket, and the text of that answer.
        self.status: int | None = None
        self.answer: str = ""
        #: What the application raised.
        self.error: Exception | None = None
        #: The subprotocol that the application chose.
        self.subprotocol: str | None = None

    async def open(self) -> None:
        """Return when the application has accepted or refused, or has ended.  Cancelled, it ends it."""
        self._task.start()
        try:
            while not self._is_accepted and not self._task.is_done:
                if self.status is not None and self._end is not None:
                    return
                await self._changed.wait()
        except BaseException:
            self.abort()
            raise

    async def end(self) -> None:
        """Cancel what is left of the application's call."""
        self.abort()
        await self._task.stop()

    # What the client needs

    @property
    def is_open(self) -> bool:
        """See :class:`~wigwag.client.websocket.WebSocket`."""
        return self._is_accepted and self._end is None

    @property
    def ending(self) -> tuple[int, str]:
        """See :class:`~wigwag.client.websocket.WebSocket`."""
        return self._end or (ABNORMAL, "")

    async def send(self, message: str | bytes) -> None:
        """See :class:`~wigwag.client.websocket.WebSocket`."""
        while len(self._to_app) >= _IN_FLIGHT and self._end is None:
            await self._changed.wait()
        if self._end is not None:
            raise Over
        kind = "text" if isinstance(message, str) else "bytes"
        self._to_app.append({"type": "websocket.receive", kind: message})
        self._changed.ring()

    async def receive(self) -> str | bytes:
        """See :class:`~wigwag.client.websocket.WebSocket`."""
        while not self._to_client:
            if self._end is not None:
                raise Over
            await self._changed.wait()
        self._changed.ring()
        return self._to_client.popleft()

    async def close(self) -> None:
        """See :class:`~wigwag.client.websocket.WebSocket`; the application has seen to its end by then."""
        self._over(_NORMAL, "")
        await self._task.wait()

    def abort(self) -> None:
        """See :class:`~wigwag.client.websocket.WebSocket`."""
        self._over(ABNORMAL, "")

    def _over(self, code: int, reason: str) -> None:
        if self._end is None:
            self._end = code, reason
        self._changed.ring()

    # What the application meets

    async def _run(self) -> None:
        failure = ""
        try:
            await self._app(self._scope, self._receive, self._send)
            failure = "the application returned"
        except Exception as exc:
            failure = f"the application raised {exc!r}"
            self.error = exc
            if self._is_accepted:
                logger.exception("the application failed on a WebSocket")
        finally:
            if not self._is_accepted and self.status is None:
                self.status = 500
            self._over(ABNORMAL if self.error is None else _APP_FAILED, failure)

    async def _receive(self) -> Message:
        while not self._to_app:
            if self._end is not None:
                code, reason = self._end
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await self._changed.wait()
        self._changed.ring()
        return self._to_app.popleft()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.send":
            await self._send_to_client(message)
        elif self._end is not None:
            raise OSError("the client has gone")  # ASGI, "Disconnected Client - send exception"
        elif kind == "websocket.accept":
            self.subprotocol = message.get("subprotocol")
            self._is_accepted = True
            self._changed.ring()
        elif kind == "websocket.close":
            if not self._is_accepted:
                self.status = 403
            self._over(message.get("code") or _NORMAL, message.get("reason") or "")
        elif kind == "websocket.http.response.start":
            self.status = message["status"]
        elif kind == "websocket.http.response.body":
            self.answer += bytes(message.get("body", b"")).decode(errors="replace")
            if not message.get("more_body"):
                self._over(ABNORMAL, "")
        else:
            raise RuntimeError(f"an application can't send {kind!r} on a WebSocket")

    async def _send_to_client(self, message: Message) -> None:
        while len(self._to_client) >= _IN_FLIGHT and self._end is None:
            await self._changed.wait()
        if self._end is not None:
            raise OSError("the client has gone")
        text = message.get("text")
        self._to_client.append(bytes(message["bytes"]) if text is None else text)
        self._changed.ring()
