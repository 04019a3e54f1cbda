"""What tasks of the client wait for, on asyncio and on trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

import anyio

T = TypeVar("T")


class Bell:
    """Wakes all who wait, each time that it rings."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None  # made where there is an event loop

    def ring(self) -> None:
        """Wake who waits."""
        event, self._event = self._event, None
        if event is not None:
            event.set()

    async def wait(self) -> None:
        """Return after the next ring.  Call it where no other task ran since the last look."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()


class Outcome(Generic[T]):
    """A value that is to come, or an error in its place.  Any number of tasks may wait for it.

    Unlike a future it is not cancelled with who waits, and an error that nobody waits for is no fault.
    """

    __slots__ = ("_bell", "_done", "_value", "error", "is_done")

    def __init__(self, done: Callable[[Outcome[T]], object] | None = None) -> None:
        """``done`` is called once, in the call that sets it."""
        self.is_done: bool = False
        self.error: Exception | None = None
        self._value: T | None = None
        self._bell = Bell()
        self._done = done

    def set(self, value: T) -> None:
        """Here it is; unless it is done."""
        self._finish(value, None)

    def fail(self, error: Exception) -> None:
        """It won't come; unless it is done."""
        self._finish(None, error)

    def _finish(self, value: T | None, error: Exception | None) -> None:
        if not self.is_done:
            self.is_done = True
            self._value, self.error = value, error
            self._bell.ring()
            if self._done is not None:
                self._done(self)

    async def wait(self) -> T:
        """The value, or the error raised."""
        while not self.is_done:
            await self._bell.wait()
        if self.error is not None:
            raise self.error
        return cast("T", self._value)
