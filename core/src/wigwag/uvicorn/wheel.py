"""Deadlines of thousands of connections, without a timer for each.  Sans-I/O."""

from __future__ import annotations

import math
from typing import Protocol

_SLOTS = 256


class Timed(Protocol):
    """What can have a deadline, one at a time."""

    #: Where it stands in the wheel; kept by the wheel, and None at first.
    slot: int | None
    #: How often the wheel has yet to turn.
    turns: int

    def is_due(self) -> None:
        """The deadline has passed."""
        ...


class Wheel:
    """A hashed timing wheel (Varghese and Lauck, SOSP 1987): setting, moving and dropping a deadline cost the same
    however many there are, and it holds nothing for who has none.

    Whoever owns it calls :meth:`advance` once a tick while :attr:`is_empty` is false.
    """

    def __init__(self, tick_s: float) -> None:
        self.tick_s: float = tick_s
        self._slots: list[dict[Timed, None]] = [{} for _ in range(_SLOTS)]
        self._now = 0
        self._count = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody has a deadline."""
        return not self._count

    def set(self, timed: Timed, delay_s: float) -> None:
        """Set its deadline, in place of the one that it had: two ticks late at most, and never early."""
        self.drop(timed)
        ticks = max(1, math.ceil(delay_s / self.tick_s)) + 1
        timed.turns = (ticks - 1) // _SLOTS
        timed.slot = (self._now + ticks) % _SLOTS
        self._slots[timed.slot][timed] = None
        self._count += 1

    def drop(self, timed: Timed) -> None:
        """It has no deadline any more."""
        slot = timed.slot
        if slot is not None:
            timed.slot = None
            del self._slots[slot][timed]
            self._count -= 1

    def advance(self) -> None:
        """A tick has passed: tell those that are due."""
        self._now = (self._now + 1) % _SLOTS
        due: list[Timed] = []
        for timed in self._slots[self._now]:
            timed.turns -= 1
            if timed.turns < 0:
                due.append(timed)
        for timed in due:
            # Unless one that was told before it has dropped or moved it.
            if timed.slot is not None and timed.turns < 0:
                self.drop(timed)
                timed.is_due()
