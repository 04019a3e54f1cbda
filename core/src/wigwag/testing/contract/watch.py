"""Calls to a plugin that can be counted, and that are given up when they ignore their cancellation."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import pytest

T = TypeVar("T")

#: How long a call may take to end once it is cancelled.
UNHEEDED_S = 2.0
_TICK_S = 0.1


class Steps(Awaitable[T]):
    """Awaits a coroutine and counts where it suspends.  ``abandon`` makes the next resumption its end."""

    def __init__(self, call: Coroutine[Any, Any, T], on_suspend: Callable[[int], None] | None = None) -> None:
        self.count: int = 0
        self.is_abandoned = False
        self._call = call
        self._on_suspend = on_suspend

    def __await__(self) -> Generator[Any, Any, T]:
        step: Callable[[], Any] = partial(self._call.send, None)
        while True:
            try:
                trap = step()
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            self.count += 1
            if self._on_suspend is not None:
                self._on_suspend(self.count)
            try:
                value = yield trap
            except BaseException as exc:
                if self.is_abandoned:
                    self._call.close()
                    raise
                step = partial(self._call.throw, exc)
            else:
                step = partial(self._call.send, value)


async def watched(
    call: Coroutine[Any, Any, T],
    name: str,
    scope: anyio.CancelScope,
    on_suspend: Callable[[int], None] | None = None,
) -> T:
    """Await a plugin's call, which ``scope`` cancels; fail the test if it does not end when it is cancelled.

    Without this a plugin that shields itself hangs the run, and says nothing.  On asyncio only.
    """
    steps = Steps(call, on_suspend)
    task = _current_task()
    if task is None:
        return await steps
    watch = _Watch(steps, scope, task)
    try:
        return await steps
    except asyncio.CancelledError:
        if not steps.is_abandoned:
            raise
        task.uncancel()
        pytest.fail(
            f"{name} went on for {UNHEEDED_S:g} s after it was cancelled: let the cancellation out of every await, "
            "and shield nothing that waits for the peer"
        )
    finally:
        watch.stop()


class _Watch:
    """Abandons a call that is still there some time after its cancellation."""

    def __init__(self, steps: Steps[Any], scope: anyio.CancelScope, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._steps = steps
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._overdue_at: float | None = None
        self._timer = self._loop.call_later(_TICK_S, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if self._scope.cancel_called and self._overdue_at is None:
            self._overdue_at = now + UNHEEDED_S
        if self._overdue_at is not None and now >= self._overdue_at:
            self._steps.is_abandoned = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_later(_TICK_S, self._look)


@contextmanager
def forced(before: Collection[int], limit_s: float) -> Iterator[None]:
    """End what the body waits for, through every shield, if it takes longer, and fail; on asyncio only.

    ``before``: the ids of the tasks that are none of the plugin's.
    """
    task = _current_task()
    if task is None:
        yield
        return
    stuck: list[str] = []

    def force() -> None:
        for other in asyncio.all_tasks():
            if other is not task and id(other) not in before:
                stuck.append(other.get_name())
                # One that has not begun is its task group's to end; anyio would never await what it wraps.
                if inspect.getcoroutinestate(other.get_coro()) != inspect.CORO_CREATED:  # type: ignore[arg-type]
                    other.cancel()

    timer = asyncio.get_running_loop().call_later(limit_s, force)
    try:
        yield
    finally:
        timer.cancel()
        if stuck:
            pytest.fail(
                f"a provider over this broker did not stop within {limit_s:g} s: a call of the plugin ignores that it "
                f"is cancelled. What ran still: {', '.join(stuck[:5])}"
            )


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # trio
        return None
