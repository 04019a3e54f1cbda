"""Which channels are wanted, and which are live.  Sans-I/O.

The reconcile loop asks :meth:`Channels.next` what to do, does it, and says how it went.  A topic is in
at most one of these states; one in none of them is not wanted, and not live::

    dirty ──join──▶ joining ──joined──▶ live ◀──▶ lingering ──leave──▶ (gone)
      ▲                │
      └── 30 s ── refused

A topic stops being live *when its leave is handed out*, not when that is confirmed: somebody who comes
in between waits for a join of their own.  What was wanted only while its join was under way lingers
like the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Join:
    """Subscribe to these, then call :meth:`Channels.joined` and :meth:`Channels.refuse`."""

    topics: list[str]


@dataclass(frozen=True, slots=True)
class Leave:
    """Unsubscribe from these."""

    topics: list[str]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until then (in the caller's clock), or until something changes if None."""

    until: float | None


class Channels:
    """The difference between the channels that are wanted and those that are live."""

    def __init__(
        self,
        is_wanted: Callable[[str], bool],
        *,
        linger_s: float,
        retry_refused_s: float = 30.0,
        batch: int = 500,
    ) -> None:
        self._is_wanted = is_wanted
        self._linger_s = linger_s
        self._retry_refused_s = retry_refused_s
        self._batch = batch
        self._dirty: dict[str, None] = {}
        self._joining: set[str] = set()
        self._live: set[str] = set()
        self._lingering: dict[str, float] = {}  # since when; the oldest first
        self._refused: dict[str, tuple[str, float]] = {}  # why, and when to try again; the oldest first

    def want(self, topic: str) -> bool:
        """The topic's first socket came.  Whether there is now something to do."""
        if topic in self._live:
            self._lingering.pop(topic, None)
            return False
        if topic in self._joining or topic in self._refused:
            return False
        self._dirty[topic] = None
        return True

    def unwant(self, topic: str, now: float) -> bool:
        """The topic's last socket left.  Whether there is now something to wait for."""
        self._dirty.pop(topic, None)
        self._refused.pop(topic, None)
        if topic not in self._live:
            return False
        self._lingering[topic] = now
        return True

    def is_live(self, topic: str) -> bool:
        """Whether what is published to the topic from now on is delivered."""
        return topic in self._live

    def why_refused(self, topic: str) -> str | None:
        """Why the broker forbids the topic, if it does."""
        refused = self._refused.get(topic)
        return None if refused is None else refused[0]

    def next(self, now: float) -> Join | Leave | Wait:
        """What to do next: joins first, in batches."""
        self._retry_refused(now)
        if self._dirty:
            batch = _first(self._dirty, self._batch)
            for topic in batch:
                del self._dirty[topic]
            self._joining.update(batch)
            return Join(batch)
        leaving = self._take_leaving(now)
        if leaving:
            return Leave(leaving)
        # The oldest stand first in both tables.
        times = [next(iter(self._refused.values()))[1]] if self._refused else []
        if self._lingering:
            times.append(next(iter(self._lingering.values())) + self._linger_s)
        return Wait(min(times, default=None))

    def _retry_refused(self, now: float) -> None:
        while self._refused:
            topic, (_, due) = next(iter(self._refused.items()))
            if due > now:
                break
            del self._refused[topic]
            self._dirty[topic] = None

    def _take_leaving(self, now: float) -> list[str]:
        leaving: list[str] = []
        for topic in _first(self._lingering, self._batch):
            if self._lingering[topic] + self._linger_s > now:
                break
            del self._lingering[topic]
            if not self._is_wanted(topic):
                self._live.discard(topic)
                leaving.append(topic)
        return leaving

    def joined(self, topics: Iterable[str], now: float) -> list[str]:
        """These are live; returns them.  What nobody wants any more begins to linger."""
        live = list(topics)
        for topic in live:
            self._joining.discard(topic)
            self._live.add(topic)
            if not self._is_wanted(topic):
                self._lingering[topic] = now
        return live

    def refuse(self, topic: str, reason: str, now: float) -> None:
        """The broker forbids this one, which was joining; it is tried again after a while."""
        self._joining.discard(topic)
        if self._is_wanted(topic):
            self._refused[topic] = (reason, now + self._retry_refused_s)

    def restart(self, wanted: Iterable[str]) -> set[str]:
        """A session ended: nothing is live, and everything wanted is to be joined again, in this order.

        Returns what was live and is wanted still.
        """
        lost = {topic for topic in self._live if self._is_wanted(topic)}
        self._live.clear()
        self._joining.clear()
        self._lingering.clear()
        self._refused.clear()
        self._dirty = dict.fromkeys(wanted)
        return lost

    @property
    def live_count(self) -> int:
        """How many topics are live."""
        return len(self._live)


def _first(table: Mapping[str, object], n: int) -> list[str]:
    if len(table) <= n:
        return list(table)
    return [topic for topic, _ in zip(table, range(n), strict=False)]
