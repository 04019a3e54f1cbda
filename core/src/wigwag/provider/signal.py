"""A flag that one task waits for, and that is nearly free to raise when it is up already."""

from __future__ import annotations

import asyncio

import anyio


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
