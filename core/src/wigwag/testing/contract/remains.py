"""What a session leaves behind: tasks and file descriptors."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection

import anyio

from wigwag.testing.contract.checks import comes_true, until

#: How long what a closed session has cancelled or aborted may take to be gone.
SETTLE_S = 1.0
_DESCRIPTORS = "/proc/self/fd"


def running() -> dict[int, str]:
    """The tasks of this loop, by id."""
    return {task.id: task.name or "?" for task in anyio.get_running_tasks()}


async def expect_nothing_new(before: Collection[int], after_what: str) -> None:
    """Fail unless no task runs that did not before."""
    __tracebackhide__ = True

    def remaining() -> list[str]:
        return [name for task, name in running().items() if task not in before]

    await until(
        lambda: not remaining(),
        SETTLE_S,
        lambda: (
            f"{after_what} and close(), {len(remaining())} tasks still run: {remaining()[:3]}. Whatever a session "
            "starts must end with it: start tasks in a task group of run(), or cancel them in close()"
        ),
    )


def open_descriptors() -> int | None:
    """How many files and sockets this process has open; None where that can't be seen."""
    gc.collect()
    return len(os.listdir(_DESCRIPTORS)) if os.path.isdir(_DESCRIPTORS) else None


async def descriptors_at_most(limit: int) -> bool:
    """Whether no more than these are open, now or soon: an aborted socket is closed a turn later."""
    return await comes_true(lambda: (open_descriptors() or 0) <= limit, SETTLE_S)
