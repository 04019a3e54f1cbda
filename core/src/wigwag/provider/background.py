"""A task that outlives the call that starts it.

``start()`` and ``stop()`` may be called from different tasks, where a task group could not span the
two.  The task is not in the void: whoever started it holds it, and ``stop`` ends and awaits it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio


class BackgroundTask:
    """Runs ``main`` from :meth:`start` to :meth:`stop`, on asyncio or trio."""

    def __init__(self, main: Callable[[], Awaitable[None]]) -> None:
        self._main = main
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._task: Any = None  # asyncio keeps only a weak reference to its tasks
        #: What ended the task, if it ended by itself.
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start it; it takes its first step later."""
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            self._task = trio.lowlevel.spawn_system_task(self._run)
        else:
            self._task = asyncio.get_running_loop().create_task(self._run())

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
