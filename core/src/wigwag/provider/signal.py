"""What tasks wait for, where an anyio event costs too much: for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import anyio


def now() -> float:
    """anyio's clock, in seconds; also where no task runs: in a callback of a plugin's transport, which delivers."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # trio
        return anyio.current_time()


class Signal:
    """Raised from anywhere in the loop's thread; :meth:`wait` returns, and lowers it."""

    __slots__ = ("_raised", "_waiter")

    def __init__(self) -> None:
        self._raised = False
        self._waiter: anyio.Event | asyncio.Future[None] | None = None

    def set(self) -> None:
        """Raise it."""
        if not self._raised:
            self._raised = True
            waiter = self._waiter
            if waiter is None:
                return
            if isinstance(waiter, anyio.Event):
                waiter.set()
            elif not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when it is raised, or after the time."""
        if not self._raised:
            try:
                if timeout_s is None:
                    await self._sleep()
                else:
                    with anyio.move_on_after(timeout_s):
                        await self._sleep()
            finally:
                self._waiter = None
        self._raised = False

    async def _sleep(self) -> None:
        # A bare future costs a third of an anyio event, and each socket's writer waits so for each
        # message. anyio cancels it as it cancels any await.
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # trio
            self._waiter = anyio.Event()
            await self._waiter.wait()
        else:
            self._waiter = loop.create_future()
            await self._waiter


class Latch:
    """Set once; any number of tasks wait for it, each with ``await latch.waiter()``.

    A future for each of them costs a third of an anyio event, and no coroutine stands between.
    """

    __slots__ = ("_event", "_futures", "is_set")

    def __init__(self) -> None:
        self.is_set: bool = False
        self._futures: list[asyncio.Future[None]] = []
        self._event: anyio.Event | None = None

    def set(self) -> None:
        """Wake all who wait."""
        self.is_set = True
        for future in self._futures:
            if not future.done():  # cancelled
                future.set_result(None)
        self._futures.clear()
        if self._event is not None:
            self._event.set()

    def waiter(self) -> Awaitable[object]:
        """Await this, once: it returns when the latch is set."""
        try:
            future = asyncio.get_running_loop().create_future()
        except RuntimeError:  # trio
            self._event = self._event or anyio.Event()
            if self.is_set:
                self._event.set()
            return self._event.wait()
        if self.is_set:
            future.set_result(None)
        else:
            self._futures.append(future)
        return future
