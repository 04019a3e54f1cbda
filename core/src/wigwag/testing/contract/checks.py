"""Waiting with a limit, and failing with a message that says what to mend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import anyio
import anyio.lowlevel
import pytest

_POLL_S = 0.002


def check(holds: object, message: str) -> None:
    """Fail the test with this message unless ``holds``."""
    __tracebackhide__ = True
    if not holds:
        pytest.fail(message)


async def until(holds: Callable[[], object], limit_s: float, message: str | Callable[[], str]) -> None:
    """Wait for a condition; fail the test with this message if it does not come true in time."""
    __tracebackhide__ = True
    if not await comes_true(holds, limit_s):
        pytest.fail(message if isinstance(message, str) else message())


async def comes_true(holds: Callable[[], object], limit_s: float) -> bool:
    """Whether a condition comes true in time."""
    with anyio.move_on_after(limit_s):
        await anyio.lowlevel.checkpoint()
        while not holds():  # noqa: ASYNC110 - what is waited for is the plugin's and tells nobody
            await anyio.sleep(_POLL_S)
        return True
    return bool(holds())


async def together(*calls: Awaitable[object]) -> list[BaseException | None]:
    """Await all at the same time; what each raised."""
    errors: list[BaseException | None] = [None] * len(calls)

    async def collect(index: int, call: Awaitable[object]) -> None:
        try:
            await call
        except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001 - it is the caller's to judge
            errors[index] = exc

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(collect, index, call)
    return errors


def raise_first(errors: Iterable[BaseException | None]) -> None:
    """Raise the first that is one."""
    for error in errors:
        if error is not None:
            raise error
