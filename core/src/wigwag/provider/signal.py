"""A flag that one task waits for, and that is nearly free to raise when it is up already."""

from __future__ import annotations

import anyio


class Signal:
    """Raised from anywhere in the loop's thread; :meth:`wait` returns, and lowers it."""

    __slots__ = ("_event", "_raised")

    def __init__(self) -> None:
        self._raised = False
        self._event: anyio.Event | None = None

    def set(self) -> None:
        """Raise it."""
        if not self._raised:
            self._raised = True
            if self._event is not None:
                self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return when it is raised, or after the time."""
        if not self._raised:
            self._event = anyio.Event()
            try:
                if timeout_s is None:
                    await self._event.wait()
                else:
                    with anyio.move_on_after(timeout_s):
                        await self._event.wait()
            finally:
                self._event = None
        self._raised = False
