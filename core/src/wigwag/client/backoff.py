"""How long to wait before the next attempt.  Sans-I/O.

Full jitter (Brooker, "Exponential Backoff And Jitter", 2015) over a floor, so that the clients of a
server that went away neither return in the same instant nor hammer it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: A connection that ended sooner than this counts as a failed attempt.  In seconds.
LASTED_S: Final = 5.0


def backoff_s(attempt: int, base_s: float, cap_s: float, random: Callable[[], float]) -> float:
    """Return ``base + random(0, base * 2**attempt)``, in seconds, at most ``cap_s``; attempts count from 0.

    The cap limits the range that is drawn from, not the number drawn: cut off afterwards, late attempts
    would all wait for exactly the cap.
    """
    floor_s = min(base_s, cap_s)
    spread_s = min(cap_s - floor_s, base_s * 2.0 ** min(attempt, 60))
    return floor_s + random() * spread_s


class Backoff:
    """Counts attempts; forgets them after a connection that lasted."""

    def __init__(
        self, base_s: float, cap_s: float, max_attempts: int | None, random: Callable[[], float]
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._max_attempts = max_attempts
        self._random = random
        self._attempt = 0

    @property
    def attempts(self) -> int:
        """How many attempts in a row were asked for."""
        return self._attempt

    def ended(self, lasted_s: float) -> None:
        """A connection ended after so many seconds; 0 for one that was never made."""
        if lasted_s >= LASTED_S:
            self._attempt = 0

    def next_s(self) -> float | None:
        """How long to wait before the next attempt, in seconds; None: make none."""
        attempt = self._attempt
        if self._max_attempts is not None and attempt >= self._max_attempts:
            return None
        self._attempt += 1
        return backoff_s(attempt, self._base_s, self._cap_s, self._random)
