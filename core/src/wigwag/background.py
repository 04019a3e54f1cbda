"""A task that outlives the call that starts it.

``start()`` and ``stop()`` may be called from different tasks, where a task group could not span the
two.  The task is not in the void: whoever started it holds it, and ends or awaits it.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio


class BackgroundTask:
    """Runs ``main`` from :meth:`start` until it returns or :meth:`stop`, on asyncio or trio.

    On both it sees the context variables of who starts it.
    """

    def __init__(self, main: Callable[[], Awaitable[None]], *, name: str | None = None) -> None:
        self._main = main
        self._name = name
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._task: Any = None  # asyncio keeps only a weak reference to its tasks
        #: What ended the task, if it ended by itself.
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start it; it takes its first step later."""
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            self._task = trio.lowlevel.spawn_system_task(
                self._run, name=self._name, context=contextvars.copy_context()
            )
        else:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    def cancel(self) -> None:
        """Cancel it, before its first step too."""
        self._scope.cancel()

    async def wait(self) -> None:
        """Return when it has ended.  Cancelled, the task goes on."""
        await self._done.wait()

    async def stop(self) -> None:
        """Cancel it, before its first step too, and return when it has ended."""
        self._scope.cancel()
        await self._done.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._main()
        except Exception as exc:  # noqa: BLE001 - whoever stops it asks
            self.error = exc
        finally:
            self._done.set()
