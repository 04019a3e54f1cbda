"""A histogram as Prometheus knows it: how many took at most so long, in plain integers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import fsum, isnan
from typing import Final

#: From half a millisecond, which a broker of the same rack takes, to the limits after which nobody waits any more.
BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Durations, counted by :data:`BOUNDS_S`."""

    __slots__ = ("_counts", "sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        #: Of all durations, in seconds.
        self.sum_s: float = 0.0

    def observe_since(self, times: Iterable[float], now: float, most_s: float) -> None:
        """Count how long ago each of these times is: from 0, which one to come counts as, to ``most_s``.

        What a turn of the event loop brings was sent at nearly one time, so that a few looks for the bounds in
        the sorted times do: a quarter of what a look for each time costs.
        """
        earliest, times = now - most_s, sorted(times)
        # What is not a number has no place in the order; the sum shows it.
        if isnan(sum(times)) or times[0] < earliest or times[-1] > now:
            times = sorted(max(earliest, min(time, now)) for time in times)
        counts, end = self._counts, len(times)
        newest, oldest = bisect_left(BOUNDS_S, now - times[-1]), bisect_left(BOUNDS_S, now - times[0])
        for number in range(newest, oldest):
            begin = bisect_left(times, now - BOUNDS_S[number], 0, end)
            counts[number] += end - begin
            end = begin
        counts[oldest] += end
        self.sum_s += len(times) * now - fsum(times)

    def observe_many(self, seconds: float, times: int) -> None:
        """Count a duration that so many had."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += times
        self.sum_s += seconds * times

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self._counts)

    def add(self, other: Histogram) -> None:
        """Count what the other has counted too."""
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        self.sum_s += other.sum_s

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Each bound, as Prometheus writes it, with how many were at most that; the last one is ``+Inf``."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield bound, total
