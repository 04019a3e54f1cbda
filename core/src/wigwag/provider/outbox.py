"""Publishes on their way to the broker: batched, bounded, and each caller told how it went.

What is published while a batch is in flight forms the next one.  **The batch is the unit of fate**:
when the link dies, only the one in flight is in doubt; what is queued behind it is known not to have
been sent, and goes out, in order, in the next session, unless its time is up.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

import anyio

from wigwag.broker import Broker, Refused
from wigwag.errors import NotAccepted, PublishError, Uncertain
from wigwag.provider.counters import Counters
from wigwag.provider.signal import Latch, Signal, now

#: A batch is closed at this many messages or bytes, so that none holds a lane for long.
BATCH_MESSAGES = 512
BATCH_BYTES = 256 * 1024

#: Why the broker did not take a message, in the words of the metrics.
_FULL: Final = "queue full"
_REFUSED: Final = "refused"
_WHY: Final[dict[type[PublishError], str]] = {NotAccepted: "not accepted", Uncertain: "in doubt"}


class Batch:
    """Messages that share one publish call, and one fate."""

    __slots__ = ("bytes", "done", "error", "is_closed", "largest", "messages", "opened_at", "refused")

    def __init__(self, opened_at: float) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.bytes: int = 0
        self.largest: int = 0
        self.opened_at: float = opened_at
        self.is_closed: bool = False  # takes no more
        self.done: Latch = Latch()
        self.error: type[PublishError] | None = None
        self.refused: dict[int, str] = {}

    def add(self, topic: str, payload: bytes, size: int) -> int:
        """Take a message; its place."""
        messages = self.messages
        messages.append((topic, payload))
        self.bytes += size
        if size > self.largest:
            self.largest = size
        if len(messages) >= BATCH_MESSAGES or self.bytes >= BATCH_BYTES:
            self.is_closed = True
        return len(messages) - 1


class Lane:
    """One queue of batches: those of a shard, a partition, or of everything."""

    __slots__ = ("in_flight", "key", "queue", "signal", "urgent")

    def __init__(self, key: Hashable = None) -> None:
        self.key: Hashable = key
        self.queue: deque[Batch] = deque()
        self.in_flight: Batch | None = None
        self.urgent: list[tuple[str, bytes]] = []
        self.signal: Signal = Signal()


class Outbox:
    """The lanes, and their common bounds in messages, bytes and time."""

    def __init__(
        self,
        broker: Broker,
        *,
        max_messages: int,
        max_bytes: int,
        timeout_s: float,
        why_down: Callable[[], str],
        counters: Counters,
    ) -> None:
        self._broker = broker
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._why_down = why_down
        self._counters = counters
        self.lanes: dict[Hashable, Lane] = {}
        self._backlog = Lane()  # of lanes that are no more; it goes before all else
        self._backlog_is_sent = anyio.Event()
        #: The largest payload that the broker takes, as of the last session; None where it takes any.
        self.max_payload_bytes: int | None = None
        self._messages = 0
        self._bytes = 0
        self._filled = Signal()
        self._emptied = anyio.Event()
        #: Called with a lane that is new, so that a session that is up serves it.
        self.on_new_lane: Callable[[Lane], None] | None = None

    def __len__(self) -> int:
        """How many messages are queued or in flight."""
        return self._messages

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return when the broker took the message.

        Raises:
            NotAccepted: certainly not sent: the outbox is full, the link was down until the deadline,
                or the broker refused it.
            Uncertain: handed over, then the link was lost or the deadline passed.
        """
        batch, index = self.post(topic, payload)
        await batch.done.waiter()
        if batch.error is not None:
            raise self._error(batch.error, topic)
        if index in batch.refused:
            raise NotAccepted(f"the broker refused the message for {topic!r}: {batch.refused[index]}")

    def post(self, topic: str, payload: bytes) -> tuple[Batch, int]:
        """Queue the message; its batch, and its place therein.

        Raises:
            NotAccepted: the outbox is full.
        """
        size = len(payload)
        if self._messages >= self._max_messages or self._bytes + size > self._max_bytes:
            self._counters.publish_errors[_FULL] += 1
            raise NotAccepted(
                f"the message for {topic!r} was not accepted: {self._messages} messages "
                f"({self._bytes} bytes) wait for the broker already; {self._why_down()}"
            )
        queue = self._lane(topic).queue
        batch = queue[-1] if queue else None
        if batch is None or batch.is_closed:
            batch = self._open_batch(topic)
        self._messages += 1
        self._bytes += size
        return batch, batch.add(topic, payload, size)

    def _open_batch(self, topic: str) -> Batch:
        lane = self._lane(topic)
        batch = Batch(now())
        lane.queue.append(batch)
        lane.signal.set()
        self._filled.set()
        return batch

    def send_first(self, topic: str, payload: bytes) -> None:
        """Put a message ahead of all that is queued: a probe must not wait behind a backlog."""
        lane = self._lane(topic)
        lane.urgent.append((topic, payload))
        lane.signal.set()

    def _lane(self, topic: str) -> Lane:
        key = self._broker.lane(topic)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(key)
            if self.on_new_lane is not None:
                self.on_new_lane(lane)
        return lane

    def begin(self, max_payload_bytes: int | None) -> None:
        """A session begins, in which topics may be of other lanes than before.

        Where one is, what waits in its old lane goes before all else, so that no later message overtakes it.
        """
        self.max_payload_bytes = max_payload_bytes
        for key, lane in list(self.lanes.items()):
            waiting = (topic for batch in lane.queue for topic, _ in batch.messages)
            if not lane.queue or any(self._broker.lane(topic) != key for topic in waiting):
                self._backlog.queue.extend(lane.queue)
                del self.lanes[key]
        self._backlog_is_sent = anyio.Event()

    async def serve_backlog(self) -> None:
        """Write what waits from lanes that are no more; until it is done, no lane is served."""
        while self._backlog.queue:
            await self._send(self._backlog, self._backlog.queue.popleft())
        self._backlog_is_sent.set()

    async def _publish(self, lane: Lane, batch: Batch) -> None:
        limit = self.max_payload_bytes
        if lane is self._backlog or (limit is not None and batch.largest > limit):
            await self._publish_in_runs(batch.messages, limit)
        else:
            await self._broker.publish(batch.messages)

    async def _publish_in_runs(self, messages: list[tuple[str, bytes]], limit: int | None) -> None:
        """One call for each run of one lane, without what is too large: it was queued when no limit was known."""
        refused: dict[int, str] = {}
        if limit is not None:
            refused = {
                index: f"it has {len(payload)} bytes, and the broker takes at most {limit}"
                for index, (_, payload) in enumerate(messages)
                if len(payload) > limit
            }
        allowed = [index for index in range(len(messages)) if index not in refused]
        for _, run in itertools.groupby(allowed, lambda index: self._broker.lane(messages[index][0])):
            indices = list(run)
            try:
                await self._broker.publish([messages[index] for index in indices])
            except Refused as exc:
                reasons = _reasons(exc, len(indices))
                refused |= {indices[index]: reason for index, reason in reasons.items()}
        if refused:
            raise Refused(refused)

    async def serve(self, lane: Lane, is_over: Callable[[], bool]) -> None:
        """Write one lane's batches, one at a time, until the session is over.

        Any exception but :class:`Refused` ends the session; the batch in flight is then in doubt.
        """
        await self._backlog_is_sent.wait()
        while not is_over():
            if lane.urgent:
                urgent, lane.urgent = lane.urgent, []
                await self._broker.publish(urgent)
            elif lane.queue:
                await self._send(lane, lane.queue.popleft())
            else:
                await lane.signal.wait()

    async def _send(self, lane: Lane, batch: Batch) -> None:
        lane.in_flight = batch
        error: type[PublishError] | None = Uncertain
        try:
            await self._publish(lane, batch)
            error = None
        except Refused as exc:
            error = None
            batch.refused = _reasons(exc, len(batch.messages))
        finally:
            lane.in_flight = None
            self._settle(batch, error)

    def _settle(self, batch: Batch, error: type[PublishError] | None) -> None:
        if batch.done.is_set:
            return
        batch.error = error
        batch.done.set()
        self._count(batch)
        self._messages -= len(batch.messages)
        self._bytes -= batch.bytes
        if not self._messages:
            self._emptied.set()

    def _count(self, batch: Batch) -> None:
        """Once for all messages of a batch: a clock for each would cost as much as all else that is done with it."""
        counters = self._counters
        if batch.error is not None:
            counters.publish_errors[_WHY[batch.error]] += len(batch.messages)
            return
        if batch.refused:
            counters.publish_errors[_REFUSED] += len(batch.refused)
        counters.publish_s.observe_many(now() - batch.opened_at, len(batch.messages) - len(batch.refused))

    async def expire(self) -> None:
        """Fail what has waited too long, for ever.  One task for all callers: a timer each costs more
        than the publish."""
        while True:
            await self._filled.wait()
            while self._messages:
                await anyio.sleep(self._timeout_s / 10)
                limit = anyio.current_time() - self._timeout_s
                for lane in self._all_lanes():
                    while lane.queue and lane.queue[0].opened_at <= limit:
                        self._settle(lane.queue.popleft(), NotAccepted)
                    if lane.queue:
                        lane.queue[-1].is_closed = True  # so that all in a batch are about equally old
                    # What is in flight stays so: its lane is held until the broker answers, or the
                    # probe finds the session deaf. Only its callers stop waiting.
                    if lane.in_flight is not None and lane.in_flight.opened_at <= limit:
                        self._settle(lane.in_flight, Uncertain)

    async def flush(self) -> None:
        """Return when nothing is queued or in flight."""
        while self._messages:
            if self._emptied.is_set():
                self._emptied = anyio.Event()
            await self._emptied.wait()

    def abandon(self) -> None:
        """Fail all that remains: the provider stops."""
        for lane in self._all_lanes():
            while lane.queue:
                self._settle(lane.queue.popleft(), NotAccepted)

    def forget_urgent(self) -> None:
        """A session ended: its probes mean nothing to the next."""
        for lane in self.lanes.values():
            lane.urgent.clear()

    def _all_lanes(self) -> list[Lane]:
        return [self._backlog, *self.lanes.values()]

    def _error(self, kind: type[PublishError], topic: str) -> PublishError:
        if kind is Uncertain:
            return Uncertain(
                f"the message for {topic!r} was handed to the broker, which did not confirm it: it may "
                "have been delivered; publish it again only if a duplicate does no harm"
            )
        return NotAccepted(
            f"the message for {topic!r} was not sent within {self._timeout_s:g} s; {self._why_down()}"
        )


def _reasons(refusal: Refused, count: int) -> dict[int, str]:
    """Why each message that was refused, of so many, was."""
    if refusal.reasons is None:
        return dict.fromkeys(range(count), "it refused the whole batch")
    return dict(refusal.reasons)
