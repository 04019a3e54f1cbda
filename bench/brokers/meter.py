"""What one measurement counts: messages, and this process' own CPU time from one of them to another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

#: What is counted first is not measured: caches, buffers and windows fill.
WARM_UP_S = 0.3


class Measured(NamedTuple):
    """CPU and wall time in seconds of so many messages."""

    messages: int
    cpu_s: float
    wall_s: float


class Meter:
    """Counts messages. The clocks are read at every ``step``-th only, so that reading them costs nothing.

    ``on_step`` is called then, too. :attr:`is_over` becomes true when the measurement is at least ``limit_s`` long.
    """

    def __init__(self, step: int, limit_s: float, on_step: Callable[[], object] | None = None) -> None:
        self.is_over: bool = False
        self._step = step
        self._limit_s = limit_s
        self._on_step = on_step
        self._over = asyncio.Event()
        self._seen = 0
        self._next = 1
        self._began_s: float | None = None
        self._from: tuple[int, float, float] | None = None
        self._measured: Measured | None = None

    def count(self, _: object = None) -> None:
        """A message came, or was taken by the broker."""
        self._seen += 1
        if self._seen >= self._next:
            self._look()

    def count_many(self, messages: int) -> None:
        """So many did."""
        self._seen += messages
        if self._seen >= self._next:
            self._look()

    def _look(self) -> None:
        while self._next <= self._seen:
            self._next += self._step
            if self._on_step is not None:
                self._on_step()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        if self._began_s is None:
            self._began_s = wall_s
        elif self._from is None:
            if wall_s - self._began_s >= WARM_UP_S:
                self._from = self._seen, cpu_s, wall_s
        elif not self.is_over and wall_s - self._from[2] >= self._limit_s:
            seen, cpu_before_s, wall_before_s = self._from
            self._measured = Measured(self._seen - seen, cpu_s - cpu_before_s, wall_s - wall_before_s)
            self.is_over = True
            self._over.set()

    async def wait(self) -> Measured:
        """Return what was measured, when it is."""
        await self._over.wait()
        assert self._measured is not None
        return self._measured
