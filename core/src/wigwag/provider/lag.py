"""How long messages were on their way: all that one turn of the event loop brings, by one look at the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from wigwag.provider.histogram import Histogram

#: A message that took longer, by the clocks of two machines, counts as one that took so long.
_MOST_S: Final = 3600.0
#: A turn may bring messages without end.
_MOST_PENDING: Final = 1024


class Lags:
    """Counts the lag of each message that arrives."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._pending: list[float] = []
        try:
            self._soon: Callable[[Callable[[], object]], object] | None = asyncio.get_running_loop().call_soon
        except RuntimeError:  # trio
            self._soon = None

    def arrived(self, sent_at: float) -> None:
        """A message arrived that was sent at that time: seconds since the epoch, by the publisher's clock."""
        pending = self._pending
        pending.append(sent_at)
        if len(pending) == 1 and self._soon is not None:
            self._soon(self.count)
        elif self._soon is None or len(pending) >= _MOST_PENDING:
            self.count()

    def count(self) -> None:
        """Count those that have arrived.  Clocks differ, and a peer may write what it likes: 0 to an hour."""
        pending, self._pending = self._pending, []
        if pending:
            self._histogram.observe_since(pending, time.time(), _MOST_S)
