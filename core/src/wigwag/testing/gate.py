"""Where a call waits until the test lets it through."""

from __future__ import annotations

from collections import deque

import anyio
import anyio.lowlevel


class Gate:
    """Where calls pass, or wait for the test."""

    def __init__(self) -> None:
        self._is_shut = False
        self._error: BaseException | None = None
        self._held: deque[tuple[anyio.Event, list[BaseException]]] = deque()

    @property
    def held(self) -> int:
        """How many calls wait."""
        return len(self._held)

    def shut(self) -> None:
        """Hold the calls that come from now on."""
        self._is_shut = True

    def open(self) -> None:
        """Let those through that wait, and all that come."""
        self._is_shut = False
        self.release(len(self._held))

    def release(self, count: int = 1) -> None:
        """Let the first of those that wait through; the gate stays as it is."""
        for _ in range(min(count, len(self._held))):
            self._held.popleft()[0].set()

    def fail(self, error: BaseException) -> None:
        """Make those that wait raise this or, if none does, the next call that comes."""
        if not self._held:
            self._error = error
        while self._held:
            event, errors = self._held.popleft()
            errors.append(error)
            event.set()

    async def pass_through(self) -> None:
        """Called by the fakes."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        await anyio.lowlevel.checkpoint()
        if self._is_shut:
            waiting = anyio.Event(), list[BaseException]()
            self._held.append(waiting)
            try:
                await waiting[0].wait()
            finally:
                if waiting in self._held:
                    self._held.remove(waiting)
            if waiting[1]:
                raise waiting[1][0]
