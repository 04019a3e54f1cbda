"""Doing something to thousands of sockets, spread over time: who is closed comes back, and not all in one instant."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import anyio
import anyio.lowlevel

T = TypeVar("T")

#: How often it is looked what is due, at most.
_TICK_S: Final = 0.01
#: So many are done in one turn of the event loop, at most.
_AT_ONCE: Final = 50
#: Who is later than that, because the process stood still, spreads what is left anew instead of catching up at once.
_LATE_S: Final = 0.1


def moments(
    count: int, *, per_s: float, limit_s: float, jitter: Callable[[], float] = random.random
) -> Iterator[float]:
    """When each of so many is due, in seconds from the beginning, in order.

    Time is cut into slots of equal length, one for each: ``per_s`` of them in a second, or more where the last would
    not end within ``limit_s``.  Each is due somewhere in its slot, as ``jitter`` (from 0 to 1) says.
    """
    slot_s = min(1 / per_s, limit_s / count) if count else 0.0
    for number in range(count):
        yield min((number + jitter()) * slot_s, limit_s)


async def pace(items: Iterable[T], do: Callable[[T], object], *, per_s: float, limit_s: float) -> None:
    """Do it to each, when :func:`moments` says, within some hundredths of a second.

    Where the process stood still for longer, what is left is spread anew over the time that is left, rather than
    caught up with at once.  Cancelled, it leaves the rest as it is.
    """
    left = deque(items)
    ends_at = anyio.current_time() + limit_s
    began_at = anyio.current_time()
    while left:
        plan = moments(len(left), per_s=per_s, limit_s=max(0.0, ends_at - began_at))
        await _as_planned(left, do, began_at, plan)
        # A little is made up for, so that it goes on whatever happens.
        began_at = anyio.current_time() - _LATE_S / 2


async def _as_planned(
    left: deque[T], do: Callable[[T], object], began_at: float, plan: Iterator[float]
) -> None:
    """Go on until all is done, or it is too late for this plan."""
    in_turn = 0
    for moment in plan:
        wait_s = began_at + moment - anyio.current_time()
        if wait_s > 0:
            await anyio.sleep(max(wait_s, _TICK_S))
            in_turn = 0
        elif wait_s < -_LATE_S:
            return
        elif in_turn >= _AT_ONCE:
            await anyio.lowlevel.checkpoint()
            in_turn = 0
        do(left.popleft())
        in_turn += 1
