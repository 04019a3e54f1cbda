"""Which partitions are read, from where on, and for which topics.  Sans-I/O; it outlives sessions.

A session reads on where the one before it stopped, so that an outage loses nothing that Kafka has kept.  Core asks
for its topics anew then, one batch after the other, and does not say which of them it wants no longer.  So what
was wanted before the outage goes on being read, until core has asked for all that it wants.

A topic that begins in an outage gets nothing that is older than the session, though its partition is read from
further back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol
from zlib import crc32

from wigwag.node import BROADCAST_CHANNEL
from wigwag.topics import RESERVED_PREFIX

_NONE: Mapping[bytes, str] = {}
#: So many records at once are no trickle.
_BACKLOG = 100


class Record(Protocol):
    """What of a Kafka record is looked at."""

    offset: int
    key: Any  # bytes, or None in one that is not ours
    value: Any  # as the key


class Positions:
    """The partitions that are read, by number."""

    def __init__(self) -> None:
        self._topic_id = b""
        #: How many partitions the topic has; 0 until it is known.
        self.partitions: int = 0
        #: The offset to read next, of each partition that is read.
        self.next: dict[int, int] = {}
        self._live: dict[int, dict[bytes, str]] = {}
        self._kept: dict[int, dict[bytes, str]] = {}  # wanted before the outage, if not asked for again yet
        self._began: dict[int, int] = {}  # where partitions that were kept ended as the session began
        self._is_resumed = False

    def partition(self, topic: str) -> int:
        """Where a topic's messages are, on every node; 0 until the number of partitions is known."""
        return crc32(topic.encode()) % (self.partitions or 1)

    # A session

    def begin(
        self, topic_id: bytes, partitions: int, begins: Mapping[int, int], ends: Mapping[int, int]
    ) -> bool:
        """A session begins, of this topic; where the partitions that are read begin and end now.

        Returns whether nothing is lost: each goes on where it stopped. One whose messages are gone goes on
        with those that are left.
        """
        for partition in self.next:
            self._kept.setdefault(partition, {}).update(self._live.get(partition, {}))
        self._live.clear()
        self._is_resumed = False
        if (topic_id, partitions) != (self._topic_id, self.partitions):
            self._topic_id, self.partitions = topic_id, partitions
            self._forget()
            return False
        self._began = dict(ends)
        lost = [p for p, offset in self.next.items() if not begins[p] <= offset <= ends[p]]
        for partition in lost:
            self.mend(partition, begins[partition], ends[partition])
        return not lost

    def _forget(self) -> None:
        self.next.clear()
        self._kept.clear()
        self._began.clear()

    def is_of(self, topic_id: bytes, partitions: int) -> bool:
        """Whether this is the topic of the session."""
        return (topic_id, partitions) == (self._topic_id, self.partitions)

    def mend(self, partition: int, begin: int, end: int) -> list[str]:
        """If a partition's position is not there, go on as near to it as can be. Returns the topics concerned."""
        if begin <= self.next[partition] <= end:
            return []
        self.next[partition] = begin if self.next[partition] < begin else end
        return self._concerned(partition)

    def skip(self, partition: int, behind: int) -> list[str]:
        """What is before this offset can't be read: go on there. Returns the topics concerned."""
        if self.next.get(partition, behind) >= behind:
            return []
        self.next[partition] = behind
        return self._concerned(partition)

    def _concerned(self, partition: int) -> list[str]:
        return list({**self._live.get(partition, {}), **self._kept.get(partition, {})}.values())

    # What core wants

    def resume(self, topics: Collection[str]) -> dict[int, int]:
        """Core asks for topics: what to read on now, and from where. Nothing but the first time in a session.

        A provider that was stopped and started begins anew. It shows by its own channel, which is none of
        those that were wanted before.
        """
        if self._is_resumed:
            return {}
        self._is_resumed = True
        own = [t for t in topics if t.startswith(RESERVED_PREFIX) and t != BROADCAST_CHANNEL]
        if own and not any(t.encode() in self._kept.get(self.partition(t), _NONE) for t in own):
            self._forget()
        return dict(self.next)

    def want(self, topics: Collection[str]) -> set[int]:
        """These are wanted; returns their partitions, as far as they are not read yet."""
        for topic in topics:
            self._live.setdefault(self.partition(topic), {})[topic.encode()] = topic
        return {self.partition(topic) for topic in topics} - self.next.keys()

    def start(self, ends: Mapping[int, int]) -> None:
        """Read these partitions from here on."""
        self.next.update(ends)

    def unwant(self, topics: Collection[str]) -> list[int]:
        """These are wanted no longer; returns the partitions that are read no longer."""
        touched = set()
        for topic in topics:
            partition, key = self.partition(topic), topic.encode()
            self._live.get(partition, {}).pop(key, None)
            self._kept.get(partition, {}).pop(key, None)
            touched.add(partition)
        return self._stop(touched)

    def settle(self) -> list[int]:
        """Core has asked again for all that it wants; returns the partitions that are read no longer."""
        if not self._is_resumed:
            return []
        over = [p for p in self._kept if self.next.get(p, 0) >= self._began.get(p, 0)]
        for partition in over:
            del self._kept[partition]
        return self._stop(over)

    def _stop(self, partitions: Collection[int]) -> list[int]:
        idle = [p for p in partitions if p in self.next and not self._live.get(p) and not self._kept.get(p)]
        for partition in idle:
            del self.next[partition]
            self._live.pop(partition, None)
        return idle

    # What arrives

    def hand_over(
        self, partition: int, records: Sequence[Record], deliver: Callable[[str, bytes], None]
    ) -> None:
        """Deliver what is wanted of these records, and go on behind them."""
        if partition not in self.next:
            return
        live, kept = self._live.get(partition, _NONE), self._kept.get(partition, _NONE)
        if kept:
            self._hand_over_kept(partition, records, deliver)
        else:
            for record in records:
                topic = live.get(record.key)
                if topic is not None:
                    deliver(topic, record.value or b"")
        last = records[-1]
        # It is further already where a batch behind these was skipped.
        self.next[partition] = max(self.next[partition], last.offset + 1)
        if (
            len(records) >= _BACKLOG
            and last.key is not None
            and last.key not in live
            and last.key not in kept
        ):
            # Core drops it, and sees that the partition is alive: behind a long backlog of what nobody here
            # wants, a probe that does not come back yet must not end the session.
            deliver(last.key.decode(errors="replace"), last.value or b"")

    def _hand_over_kept(
        self, partition: int, records: Sequence[Record], deliver: Callable[[str, bytes], None]
    ) -> None:
        kept = self._kept[partition]
        live = self._live.get(partition, _NONE)
        began = self._began.get(partition, 0)
        for record in records:
            topic = kept.get(record.key)
            if topic is None and record.offset >= began:
                topic = live.get(record.key)
            if topic is not None:
                deliver(topic, record.value or b"")
