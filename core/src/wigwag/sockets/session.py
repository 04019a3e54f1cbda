"""One connected socket, from the accepted handshake to the end of its ``close`` handler.

Its work is done in the order in which it came, so that replies keep that order: first the connection guards and
``open``, then each message.  It is done by at most one task, which exists only while there is some; over a connection
that allows it, a message is begun in the call that brings it, and where its handler is a plain function no task is
needed at all.  Pings are answered beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio

from wigwag.errors import (
    Forbidden,
    InvalidMessage,
    InvalidTopic,
    NotConnected,
    NotLive,
    NotRunning,
    PublishError,
    SocketError,
)
from wigwag.frames import Batch, Frame
from wigwag.schema import encode_json
from wigwag.sockets.context import SocketContext
from wigwag.sockets.handlers import Handler, Route, call, is_awaitable
from wigwag.sockets.limits import TokenBucket
from wigwag.wire.client import (
    FORBIDDEN,
    INTERNAL_ERROR,
    INVALID_MESSAGE,
    PING,
    REFUSED,
    TOO_MANY_MESSAGES,
    UNAVAILABLE,
    UNKNOWN_TYPE,
    VALIDATION_FAILED,
    CorrelationId,
    Details,
    Incoming,
    MalformedMessage,
    encode_error,
    encode_reply,
    parse,
)

if TYPE_CHECKING:
    from wigwag.interfaces import WebSocketProvider
    from wigwag.sockets.application import Application
    from wigwag.sockets.connection import Cancel, Connection

logger: logging.Logger = logging.getLogger("wigwag.sockets")


class Session:
    """A :class:`~wigwag.interfaces.BatchingSocket`, and the
    :class:`~wigwag.sockets.connection.Listener` of its connection."""

    __slots__ = (
        "_admitted",
        "_beside",
        "_buckets",
        "_cancel",
        "_gone",
        "_idle",
        "_inbox",
        "_joins",
        "_may_begin",
        "_rate",
        "_violations",
        "_working",
        "app",
        "connection",
        "ctx",
        "flush",
        "id",
        "provider",
        "send_now",
        "user",
        "user_id",
    )

    connection: Connection

    def __init__(self, app: Application, provider: WebSocketProvider, user: Any) -> None:
        """Raises NotRunning."""
        self.app: Application = app
        self.provider: WebSocketProvider = provider
        self.id: str = provider.new_socket_id()
        self.user: Any = user
        self.user_id: str | None = app.user_id(user)
        self.ctx: SocketContext[Any, Any] = SocketContext(self)
        self._admitted = False
        self._gone = False
        self._working = False
        #: Whether a message may be handled in the call that brings it: the connection allows it, nothing is ahead.
        self._may_begin = False
        self._inbox: deque[tuple[str | bytes, bool]] | None = None  # an empty one takes 600 bytes
        self._idle: anyio.Event | None = None
        self._cancel: Cancel | None = None
        #: Of ping, pong and drain, those handlers that run, each with the next call that waits for it.
        self._beside: dict[Handler, _Beside] | None = None
        #: Kept by the connection.
        self.send_now: Callable[[bytes], int] | None = None
        #: Kept by the provider.
        self.flush: Callable[[], object] | None = None
        self._buckets: dict[Any, TokenBucket] | None = None
        self._violations: TokenBucket | None = None
        self._joins: TokenBucket | None = None
        limits = app.limits
        self._rate: TokenBucket | None = None
        if limits.messages_per_s is not None:
            burst = limits.messages_burst or limits.topics + 2 * limits.messages_per_s
            self._rate = TokenBucket(limits.messages_per_s, burst)

    @property
    def buckets(self) -> dict[Any, TokenBucket]:
        """What :class:`~wigwag.RateLimit` guards keep of this socket."""
        if self._buckets is None:
            self._buckets = {}
        return self._buckets

    def may_ask_for(self, topics: int) -> bool:
        """Whether so many topics more are within the rate."""
        limits = self.app.limits
        if limits.joins_per_s is None:
            return True
        if self._joins is None:
            burst = limits.joins_burst or max(limits.topics, 2 * limits.joins_per_s)
            self._joins = TokenBucket(limits.joins_per_s, burst)
        return self._joins.take(topics)

    # BatchingSocket: what the provider calls

    def write(self, frame: Frame) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""
        self.connection.write(frame)

    def write_batch(self, batch: Batch) -> None:
        """See :class:`~wigwag.interfaces.BatchingSocket`."""
        self.connection.write_batch(batch)

    @property
    def buffered_bytes(self) -> int:
        """See :class:`~wigwag.interfaces.BatchingSocket`."""
        return self.connection.buffered_bytes

    def unsent(self, data: bytes, sent: int) -> None:
        """See :class:`~wigwag.interfaces.BatchingSocket`."""
        self.connection.unsent(data, sent)

    def close(self, code: int, reason: str = "") -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""
        if self.flush is not None:
            self.flush()  # what was published before
        self.connection.close(code, reason)

    # Listener: what the connection calls

    def begin(self) -> None:
        """The handshake is accepted: guards, then ``open``; where there are none, no task is needed."""
        if self.connection.runs_at_once and not self.app.connection_guards and self.app.on_open is None:
            self._may_begin = self._attach()
        else:
            self._spawn_work()

    def received(self, message: str | bytes) -> None:
        """A message came: answer it if it is a ping, else begin to handle it, or queue it for that."""
        connection = self.connection
        if connection.closing is not None and not (self._admitted and connection.takes_messages):
            return
        self.app.counters.received += 1
        allowed = True
        if self._rate is not None and not self._rate.take():
            allowed = False
            self.violated(TOO_MANY_MESSAGES)
        if message == PING:
            if allowed:
                connection.pong()
        elif self._may_begin and not connection.is_backed_up:
            rest = self._handle(message, allowed)
            if rest is not None:
                self._spawn_work(rest)
        else:
            if self._inbox is None:
                self._inbox = deque()
            self._inbox.append((message, allowed))
            if self.is_full:
                connection.pause_reading()
            self._spawn_work()

    @property
    def is_full(self) -> bool:
        """Whether the connection was asked to read no more, until it is asked to resume."""
        return self._inbox is not None and len(self._inbox) >= self.app.limits.inbox_messages

    def pinged(self, data: bytes) -> None:
        """See :class:`~wigwag.sockets.connection.Listener`."""
        self._lifecycle(self.app.on_ping, data)

    def ponged(self, data: bytes) -> None:
        """See :class:`~wigwag.sockets.connection.Listener`."""
        self._lifecycle(self.app.on_pong, data)

    def drained(self) -> None:
        """See :class:`~wigwag.sockets.connection.Listener`."""
        self._lifecycle(self.app.on_drain)

    def _lifecycle(self, handler: Any, *args: Any) -> None:
        if handler is None or not self._admitted or self._gone:
            return
        if self._beside is None:
            self._beside = {}
        beside = self._beside.get(handler)
        if beside is not None:  # who sends pings without end makes no more than one wait: the latest
            beside.waiting = args
            return
        beside = self._beside[handler] = _Beside()
        cancel = self.connection.spawn(lambda: self._call_beside(beside, handler, args))
        if not beside.is_done:  # in that call
            beside.cancel = cancel

    async def _call_beside(self, beside: _Beside, handler: Handler, args: tuple[Any, ...]) -> None:
        try:
            while True:
                await self._call_safely(handler, *args)
                if beside.waiting is None or self._gone:
                    break
                args, beside.waiting = beside.waiting, None
        finally:
            beside.is_done = True
            assert self._beside is not None
            del self._beside[handler]
            if not self._beside:
                self._beside = None
            self._note_idle()

    def gone(self) -> None:
        """The connection is over; nothing more is written.  What came before is still handled, unless it was we
        who closed, and not because we go away: then no handler begins.  Called before the connection notes the
        peer's close."""
        if not self.connection.takes_messages:
            self._inbox = None
        self._gone = True

    async def settle(self) -> None:
        """Return when the handlers are done with what came.  After the limit the one that runs is
        cancelled, and has as long again to clean up."""
        if not self._is_busy:
            return
        self._idle = anyio.Event()
        with anyio.move_on_after(self.app.limits.close_timeout_s):
            await self._idle.wait()
            return
        logger.warning(
            "socket %s has gone, and a handler had not ended %g s later: it is cancelled",
            self.id,
            self.app.limits.close_timeout_s,
        )
        if self._cancel is not None:
            self._cancel()
        for beside in (self._beside or {}).values():
            if beside.cancel is not None:
                beside.cancel()
        with anyio.move_on_after(self.app.limits.close_timeout_s):
            await self._idle.wait()

    @property
    def _is_busy(self) -> bool:
        return self._working or self._beside is not None

    def _note_idle(self) -> None:
        if self._idle is not None and not self._is_busy:
            self._idle.set()

    async def wind_up(self, code: int, reason: str) -> None:
        """Run the ``close`` handler, if ``open`` was run, and forget the socket."""
        self._gone = True
        self._inbox = None
        try:
            if self._admitted and self.app.on_close is not None:
                with anyio.move_on_after(self.app.limits.close_timeout_s) as scope:
                    await self._call_safely(self.app.on_close, code, reason)
                if scope.cancelled_caught:
                    logger.warning("the close handler of socket %s took too long", self.id)
        finally:
            if self._admitted:
                self.provider.detach(self.id)
                self.app.counters.closed[_code_label(code)] += 1
            self.app.forget(self)

    # The work

    def _spawn_work(self, first: Awaitable[None] | None = None) -> None:
        """Begin to work, unless that is done already; with ``first``, what is left of a message."""
        if not self._working:
            self._working = True
            self._may_begin = False
            cancel = self.connection.spawn(lambda: self._work(first))
            if self._working:  # not done in that call
                self._cancel = cancel

    async def _work(self, first: Awaitable[None] | None) -> None:
        try:
            if first is not None:
                await first
            if self._admitted or await self._admit():
                await self._handle_inbox()
        except anyio.get_cancelled_exc_class():
            if _is_being_cancelled():
                raise
            logger.exception("a handler of socket %s was cancelled by something else than us", self.id)
            self.close(1011, "internal error")
        except Exception:  # a defect of ours: the application's are caught where they are called
            logger.exception("socket %s failed", self.id)
            self.close(1011, "internal error")
        finally:
            self._cancel = None
            self._working = False
            self._may_begin = self._admitted and not self._inbox and self.connection.runs_at_once
            self._note_idle()

    async def _admit(self) -> bool:
        """Ask the connection guards, attach, and run ``open``."""
        for guard in self.app.connection_guards:
            if not await self._passes(guard):
                self.close(REFUSED, "refused")
            if self.connection.is_closing:
                return False
        if not self._attach():
            return False
        if self.app.on_open is not None:
            await self._call_safely(self.app.on_open)
        return True

    def _attach(self) -> bool:
        if self.connection.is_closing:  # by either side
            return False
        try:
            self.provider.attach(self)
        except NotRunning:
            self.close(1012, "going away")
            return False
        self._admitted = True
        return True

    async def _passes(self, guard: Any) -> bool:
        try:
            passed = bool(await call(guard, self.ctx))
        except SocketError as exc:
            logger.info("socket %s was refused by a connection guard: %s", self.id, exc)
            passed = False
        except Exception:
            logger.exception("a connection guard failed for socket %s, which is refused", self.id)
            passed = False
        if not passed:
            self.app.counters.refused["connection guard"] += 1
        return passed

    async def _handle_inbox(self) -> None:
        while self._inbox:
            await self.connection.has_room()
            inbox = self._inbox
            if not inbox or not (self.connection.takes_messages or self._gone):
                break  # we have closed: no handler begins
            was_full = self.is_full
            message, allowed = inbox.popleft()
            if was_full and not self.is_full:
                self.connection.resume_reading()
            rest = self._handle(message, allowed)
            if rest is not None:
                await rest

    def _handle(self, message: str | bytes, allowed: bool) -> Awaitable[None] | None:
        """Handle a message; what has to be awaited for the rest of it is returned."""
        app = self.app
        raw = app.on_message
        if raw is not None and allowed and app.takes_raw_only:
            return self._handle_raw(raw, message)
        try:
            if isinstance(message, bytes):
                raise MalformedMessage("a message is sent as text", None, None)
            incoming = parse(message)
        except MalformedMessage as exc:
            if not allowed:
                self._error(exc.type, exc.correlation_id, TOO_MANY_MESSAGES)
            elif raw is not None:
                return self._handle_raw(raw, message)
            else:
                details = [{"path": "$", "message": exc.why}]
                self._error(exc.type, exc.correlation_id, INVALID_MESSAGE, details)
            return None
        if not allowed:
            self._error(incoming.type, incoming.correlation_id, TOO_MANY_MESSAGES)
            return None
        route = app.routes.get(incoming.type)
        if route is not None:
            return self._handle_routed(route, incoming)
        if raw is not None:
            return self._handle_raw(raw, message)
        self._error(incoming.type, incoming.correlation_id, UNKNOWN_TYPE)
        return None

    async def _handle_routed(self, route: Route, incoming: Incoming) -> None:
        ctx = self.ctx
        id_ = incoming.correlation_id
        try:
            for guard in self.app.guards:
                await guard.check(ctx, incoming)
            for guard in route.guards:
                await guard.check(ctx, incoming)
            if route.schema is None:
                result = route.handler(ctx)
            else:
                try:
                    data = route.schema.decode(incoming.data)
                except InvalidMessage as exc:
                    self._error(incoming.type, id_, VALIDATION_FAILED, exc.details)
                    return
                result = route.handler(ctx, data)
            if is_awaitable(result):
                result = await result
            if id_ is not None or result is not None:
                reply = encode_reply(incoming.type, id_, encode_json(result))
                self.connection.send(reply, is_text=True)
        except Exception as exc:  # noqa: BLE001 - logged there, unless it is for the client
            self._failed(exc, incoming.type, id_)

    def _handle_raw(self, handler: Handler, message: str | bytes) -> Awaitable[None] | None:
        try:
            result = handler(self.ctx, message)
        except Exception as exc:  # noqa: BLE001 - logged there, unless it is for the client
            self._failed(exc, None, None)
            return None
        return self._finish_raw(result) if is_awaitable(result) else None

    async def _finish_raw(self, result: Awaitable[Any]) -> None:
        try:
            await result
        except Exception as exc:  # noqa: BLE001 - as above
            self._failed(exc, None, None)

    def _failed(self, exc: Exception, type_: str | None, id_: CorrelationId | None) -> None:
        """A guard or handler raised: answer the client, who learns nothing of what is ours."""
        if isinstance(exc, Forbidden) and exc.text == FORBIDDEN:
            self.app.counters.refused["message guard"] += 1
        if isinstance(exc, SocketError):
            self._error(type_, id_, exc.text, exc.details)
        elif isinstance(exc, InvalidTopic):
            self._error(type_, id_, VALIDATION_FAILED, [{"path": "$", "message": exc.rule}])
        elif isinstance(exc, NotConnected) and self._gone:
            logger.debug("socket %s went while it was served", self.id)
        elif isinstance(exc, NotLive | PublishError | NotRunning):
            logger.warning("a message of socket %s could not be served: %s", self.id, exc)
            self._error(type_, id_, UNAVAILABLE)
        else:
            logger.error("a handler failed for socket %s, message type %r", self.id, type_, exc_info=exc)
            self._error(type_, id_, INTERNAL_ERROR)

    def _error(
        self,
        type_: str | None,
        id_: CorrelationId | None,
        error: str,
        details: Details | None = None,
    ) -> None:
        self.connection.send(encode_error(type_, id_, error, details), is_text=True)

    async def _call_safely(self, handler: Any, *args: Any) -> None:
        try:
            await call(handler, self.ctx, *args)
        except Exception:
            logger.exception("the %s handler failed for socket %s", _name(handler), self.id)

    def violated(self, what: str) -> None:
        """The client went over a limit; who goes on doing so is closed with 1008."""
        self.app.counters.refused[what.lower()] += 1
        if self._violations is None:
            limit = self.app.limits.violations_per_minute
            self._violations = TokenBucket(limit / 60, limit)
        if not self._violations.take():
            self.close(REFUSED, what.lower())


class _Beside:
    """A handler that runs beside the session's work."""

    __slots__ = ("cancel", "is_done", "waiting")

    def __init__(self) -> None:
        self.is_done = False
        self.cancel: Cancel | None = None
        #: With what it is to be called next.
        self.waiting: tuple[Any, ...] | None = None


def _is_being_cancelled() -> bool:
    """Whether this task is to end.  On asyncio, awaiting a task that somebody cancelled raises the same."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio
        return True
    return task is None or task.cancelling() > 0


def _code_label(code: int) -> str:
    """A few labels, whatever codes a client makes up."""
    if 1000 <= code <= 1015:
        return str(code)
    return "application" if 3000 <= code <= 4999 else "other"


def _name(handler: Any) -> str:
    return str(getattr(handler, "__qualname__", None) or repr(handler))
