"""What came from the server, on its way to handlers and to ``events()``; bounded both ways.

An event goes to the handlers of its name.  What has no handler goes to ``events()``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import anyio

from wigwag.client.errors import ClientError, UnexpectedData
from wigwag.client.events import ConnectionEvent
from wigwag.client.messages import EventFrame, Frame, Raw, Received, as_type, received
from wigwag.client.waiting import Bell
from wigwag.errors import InvalidMessage
from wigwag.schema import Schema

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("wigwag.client")

Handler = Callable[[Any], Awaitable[Any] | Any]
#: What handlers are found by: the name of an event, or the class of what happened to the connection.
Key = str | type[ConnectionEvent]


class Subscription:
    """A handler, and what the data is to be that it gets; None: it gets the whole event."""

    __slots__ = ("handler", "schema")

    def __init__(self, handler: Handler, schema: Schema[Any] | None) -> None:
        self.handler: Handler = handler
        self.schema: Schema[Any] | None = schema

    def argument(self, item: EventFrame | ConnectionEvent) -> Any:
        """What the handler is called with.  Raises UnexpectedData."""
        if isinstance(item, ConnectionEvent):
            return item
        if self.schema is not None:
            return as_type(item.name, item.data, self.schema)
        event = item.received()
        if isinstance(event, Raw):
            raise UnexpectedData(item.name, "JSON", InvalidMessage("it can't be read"))
        return event


class _Queue(Generic[T]):
    def __init__(self, limit: int) -> None:
        self.items: deque[T] = deque()
        self.limit = limit
        self.changed = Bell()

    @property
    def is_full(self) -> bool:
        return len(self.items) >= self.limit

    async def put(self, item: T) -> bool:
        had_to_wait = False
        while self.is_full:
            had_to_wait = True
            await self.changed.wait()
        self.items.append(item)
        self.changed.ring()
        return had_to_wait

    def pop(self) -> T:
        self.changed.ring()
        return self.items.popleft()


class Inbox:
    """Queues of at most ``limit`` messages: one for handlers, one for ``events()``."""

    def __init__(self, limit: int, report: Callable[[ClientError], None]) -> None:
        """``report`` is told of events that do not fit the class that a handler wants."""
        self._report = report
        self._handlers: dict[Key, list[Subscription]] = {}
        self._handled: _Queue[EventFrame | ConnectionEvent] = _Queue(limit)
        self._others: _Queue[Frame] = _Queue(limit)
        self._has_reader = False
        self._is_finishing = False
        self._is_stopped = False
        self._dispatcher: anyio.TaskInfo | None = None
        self._scope: anyio.CancelScope | None = None
        #: How many messages nobody read in time, before ``events()`` was called for the first time.
        self.dropped_count: int = 0

    def on(self, key: Key, handler: Handler, schema: Schema[Any] | None) -> Callable[[], None]:
        """Hand what has this key to a handler.  Returns what takes it back."""
        subscription = Subscription(handler, schema)
        self._handlers.setdefault(key, []).append(subscription)

        def off() -> None:
            subscriptions = self._handlers.get(key, [])
            if subscription in subscriptions:
                subscriptions.remove(subscription)
                if not subscriptions:
                    del self._handlers[key]

        return off

    async def put(self, frame: Frame) -> bool:
        """Queue a message; wait for room where its queue is full.  Returns whether it had to wait."""
        if isinstance(frame, EventFrame) and frame.name in self._handlers:
            return await self._handled.put(frame)
        if self._others.is_full and not self._has_reader:
            self._others.pop()
            if not self.dropped_count:
                logger.warning(
                    "nobody reads events(): %d messages are kept, and older ones are dropped",
                    self._others.limit,
                )
            self.dropped_count += 1
        return await self._others.put(frame)

    def tell(self, event: ConnectionEvent) -> None:
        """Queue what happened to the connection, for its handlers, in its place among the messages.

        It does not wait: while handlers lag behind, an older event of its class makes room.
        """
        if type(event) not in self._handlers:
            return
        queue = self._handled
        if queue.is_full:
            older = next((item for item in queue.items if type(item) is type(event)), None)
            if older is not None:
                queue.items.remove(older)
        queue.items.append(event)
        queue.changed.ring()

    @property
    def is_blocked(self) -> bool:
        """Whether :meth:`put` may have to wait."""
        return self._handled.is_full or (self._has_reader and self._others.is_full)

    # events()

    async def read(
        self, is_over: Callable[[], bool], error: Callable[[], Exception | None]
    ) -> AsyncGenerator[Received]:
        """Yield what has no handler, until it is over and all has been yielded; then raise ``error``."""
        self.keep_all()
        while (frame := await self.take(lambda _: True, is_over)) is not None:
            yield received(frame)
        if (why := error()) is not None:
            raise why

    def keep_all(self) -> None:
        """There is a reader: from now on nothing is dropped, and it is waited for."""
        self._has_reader = True

    async def take(self, matches: Callable[[Frame], bool], is_over: Callable[[], bool]) -> Frame | None:
        """Take the first that matches of what has no handler, waiting for one; None when it is over."""
        while True:
            for index, frame in enumerate(self._others.items):
                if matches(frame):
                    del self._others.items[index]
                    self._others.changed.ring()
                    return frame
            if is_over():
                return None
            await self._others.changed.wait()

    @property
    def waiting(self) -> tuple[Frame, ...]:
        """What has no handler, and was not taken."""
        return tuple(self._others.items)

    async def arrived(self) -> None:
        """Return after the next change of :attr:`waiting`."""
        await self._others.changed.wait()

    def has_handler(self, key: Key) -> bool:
        """Whether what has this key goes to a handler."""
        return key in self._handlers

    def wake(self) -> None:
        """Look again whether it is over."""
        self._others.changed.ring()

    # Handlers

    def begin(self) -> None:
        """Get ready for :meth:`dispatch`."""
        self._is_finishing = self._is_stopped = False
        self._scope = anyio.CancelScope()

    def finish(self) -> None:
        """End :meth:`dispatch` when all that is queued has been handled."""
        self._is_finishing = True
        self._handled.changed.ring()

    def stop(self) -> bool:
        """End :meth:`dispatch`; the handler that runs is cancelled, unless it is the caller.

        Returns whether it is.
        """
        self._is_stopped = True
        self._handled.changed.ring()
        is_caller = self.is_handler()
        if self._scope is not None and not is_caller:
            self._scope.cancel()
        return is_caller

    def is_handler(self) -> bool:
        """Whether the caller is a handler."""
        return self._dispatcher is not None and anyio.get_current_task() == self._dispatcher

    async def dispatch(self) -> None:
        """Run handlers, one after the other, in the order of the events."""
        self._dispatcher = anyio.get_current_task()
        scope = self._scope = self._scope or anyio.CancelScope()
        try:
            with scope:
                while not self._is_stopped:
                    if self._handled.items:
                        await self._handle(self._handled.pop())
                    elif self._is_finishing:
                        return
                    else:
                        await self._handled.changed.wait()
        finally:
            self._dispatcher = None

    async def _handle(self, item: EventFrame | ConnectionEvent) -> None:
        key = item.name if isinstance(item, EventFrame) else type(item)
        for subscription in tuple(self._handlers.get(key, ())):
            try:
                argument = subscription.argument(item)
            except UnexpectedData as exc:
                logger.warning("%s", exc)
                self._report(exc)
                continue
            try:
                result = subscription.handler(argument)
                if isinstance(result, Awaitable):
                    await result
            except Exception:
                logger.exception("a handler of %r failed", key)

    def clear(self) -> None:
        """Forget handlers and what is queued."""
        self._handlers.clear()
        self._handled.items.clear()
        self._others.items.clear()
