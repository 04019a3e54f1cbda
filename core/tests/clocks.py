"""A backend parameter whose clock jumps: tests with times in them take none, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import selectors
import sys
from typing import Any

import anyio.lowlevel
import trio
import trio.testing


class _JumpingSelector(selectors.BaseSelector):
    """Instead of waiting, moves the loop's time to its next timer; but wakes who waits for idleness first."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.now = 0.0
        self.idle: list[asyncio.Future[None]] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._selector.select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.idle:
            idle, self.idle = self.idle, []
            for future in idle:
                if not future.done():
                    future.set_result(None)
        elif timeout is not None:
            self.now += timeout
        else:
            raise RuntimeError("every task waits, and nothing will happen: the test is stuck")
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def close(self) -> None:
        self._selector.close()

    def get_map(self) -> Any:
        return self._selector.get_map()


class JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with a clock that jumps, as trio's ``MockClock(autojump_threshold=0)``."""

    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.selector.now


def backend(name: str) -> tuple[str, dict[str, Any]]:
    """The parameter of an ``anyio_backend`` fixture: a new clock each time it is called."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return name, {"loop_factory": JumpingLoop}


async def settle() -> None:
    """Return when no task can go on before time does: everything that was under way has been done."""
    if "trio" in sys.modules and trio.lowlevel.in_trio_run():
        await trio.testing.wait_all_tasks_blocked()
    else:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        idle = loop.create_future()
        loop.selector.idle.append(idle)
        await idle
    await anyio.lowlevel.checkpoint()


def jump(seconds: float) -> None:
    """The clock goes on while nothing runs, as when the process was stopped."""
    if "trio" in sys.modules and trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(seconds)
    else:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.selector.now += seconds
