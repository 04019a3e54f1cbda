"""What came from the server, on its way to handlers and to ``events()``; bounded both ways.

An event goes to the handlers of its name.  What has no handler goes to ``events()``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeVar

import anyio

from wigwag.client.messages import Event, Received

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("wigwag.client")

Handler = Callable[[Event], Awaitable[Any] | Any]


class _Queue(Generic[T]):
    def __init__(self, limit: int) -> None:
        self.items: deque[T] = deque()
        self.limit = limit
        self.changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return len(self.items) >= self.limit

    async def wait(self) -> None:
        """Return after the next change.  Call it where no other task ran since the last look."""
        self.changed.clear()
        await self.changed.wait()

    async def put(self, item: T) -> bool:
        had_to_wait = False
        while self.is_full:
            had_to_wait = True
            await self.wait()
        self.items.append(item)
        self.changed.set()
        return had_to_wait

    def pop(self) -> T:
        self.changed.set()
        return self.items.popleft()


class Inbox:
    """Queues of at most ``limit`` messages: one for handlers, one for ``events()``."""

    def __init__(self, limit: int) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self._handled: _Queue[Event] = _Queue(limit)
        self._others: _Queue[Received] = _Queue(limit)
        self._has_reader = False
        self._is_finishing = False
        self._is_stopped = False
        self._dispatcher: asyncio.Task[Any] | None = None
        self._scope: anyio.CancelScope | None = None
        #: How many messages nobody read in time, before ``events()`` was called for the first time.
        self.dropped_count: int = 0

    def on(self, name: str, handler: Handler) -> Callable[[], None]:
        """Hand events of a name to a handler.  Returns what takes it back."""
        self._handlers.setdefault(name, []).append(handler)

        def off() -> None:
            handlers = self._handlers.get(name, [])
            if handler in handlers:
                handlers.remove(handler)
                if not handlers:
                    del self._handlers[name]

        return off

    async def put(self, item: Received) -> bool:
        """Queue a message; wait for room where its queue is full.  Returns whether it had to wait."""
        if isinstance(item, Event) and item.name in self._handlers:
            return await self._handled.put(item)
        if self._others.is_full and not self._has_reader:
            self._others.pop()
            if not self.dropped_count:
                logger.warning(
                    "nobody reads events(): %d messages are kept, and older ones are dropped",
                    self._others.limit,
                )
            self.dropped_count += 1
        return await self._others.put(item)

    @property
    def is_blocked(self) -> bool:
        """Whether :meth:`put` may have to wait."""
        return self._handled.is_full or (self._has_reader and self._others.is_full)

    # events()

    async def read(
        self, is_over: Callable[[], bool], error: Callable[[], Exception | None]
    ) -> AsyncGenerator[Received]:
        """Yield what has no handler, until it is over and all has been yielded; then raise ``error``."""
        self._has_reader = True
        while True:
            while self._others.items:
                yield self._others.pop()
            if is_over():
                if (why := error()) is not None:
                    raise why
                return
            await self._others.wait()

    def wake(self) -> None:
        """Look again whether it is over."""
        self._others.changed.set()

    # Handlers

    def begin(self) -> None:
        """Get ready for :meth:`dispatch`."""
        self._is_finishing = self._is_stopped = False
        self._scope = anyio.CancelScope()

    def finish(self) -> None:
        """End :meth:`dispatch` when all that is queued has been handled."""
        self._is_finishing = True
        self._handled.changed.set()

    def stop(self) -> bool:
        """End :meth:`dispatch`; the handler that runs is cancelled, unless it is the caller.

        Returns whether it is.
        """
        self._is_stopped = True
        self._handled.changed.set()
        is_caller = self.is_handler()
        if self._scope is not None and not is_caller:
            self._scope.cancel()
        return is_caller

    def is_handler(self) -> bool:
        """Whether the caller is a handler."""
        return self._dispatcher is not None and asyncio.current_task() is self._dispatcher

    async def dispatch(self) -> None:
        """Run handlers, one after the other, in the order of the events."""
        self._dispatcher = asyncio.current_task()
        scope = self._scope = self._scope or anyio.CancelScope()
        try:
            with scope:
                while not self._is_stopped:
                    if self._handled.items:
                        await self._handle(self._handled.pop())
                    elif self._is_finishing:
                        return
                    else:
                        await self._handled.wait()
        finally:
            self._dispatcher = None

    async def _handle(self, event: Event) -> None:
        for handler in tuple(self._handlers.get(event.name, ())):
            try:
                result = handler(event)
                if isinstance(result, Awaitable):
                    await result
            except Exception:
                logger.exception("a handler of %r failed", event.name)

    def clear(self) -> None:
        """Forget handlers and what is queued."""
        self._handlers.clear()
        self._handled.items.clear()
        self._others.items.clear()
