"""A broker without a wire, and the network that several of them share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel

from wigwag.broker import Broker, BrokerLost, Inbox, Refused
from wigwag.testing.gate import Gate


class FakeNetwork:
    """What the fake brokers connect to.

    ``is_down``: it refuses to connect.  ``forbidden``: topics that it refuses, and why;
    ``refuses_whole_calls`` makes it refuse the whole call with no word on which.  ``holds_deliveries``: it
    keeps what is published until :meth:`deliver_held`.  ``log``: all that it took, in order, and ``messages`` by topic.
    """

    def __init__(self) -> None:
        self.brokers: list[FakeBroker] = []
        self.is_down: bool = False
        self.forbidden: dict[str, str] = {}
        self.refuses_whole_calls = False
        self.holds_deliveries = False
        self.log: list[tuple[str, bytes]] = []
        self.messages: dict[str, list[bytes]] = {}
        self._held: deque[tuple[Inbox, str, bytes]] = deque()

    def stop(self) -> None:
        """Cut every link, and refuse to connect until :meth:`start`."""
        self.is_down = True
        for broker in self.brokers:
            broker.cut("the network stopped")

    def start(self) -> None:
        """Accept connections again."""
        self.is_down = False

    def publish(self, topic: str, payload: bytes) -> None:
        """Take a message, and deliver it to those who are subscribed: what brokers do, or a stranger."""
        self.log.append((topic, payload))
        self.messages.setdefault(topic, []).append(payload)
        for broker in self.brokers:
            broker._hear(topic)

    def deliver_held(self, count: int | None = None) -> None:
        """Deliver what was held, or the first of it: to the session it was for, be it over or not."""
        for _ in range(len(self._held) if count is None else min(count, len(self._held))):
            inbox, topic, payload = self._held.popleft()
            inbox.deliver(topic, payload)


class FakeBroker(Broker):
    """One node's link to the network.

    Gates: ``connecting``, before ready; ``subscribing``, before the topics are live; ``unsubscribing``,
    after they no longer are; ``publishing``, before the network has the batch; ``confirming``, after it has.
    ``is_deaf``: accepts everything, delivers nothing; ``is_deaf_to``: the same, of some topics.
    ``topics``: what is live on the network.  ``lane_of``: the lane of a topic; to be changed with a new session only.
    ``inboxes``: core's side of each session, the last one last.  ``calls``: each call's name and topics
    (for publish, its batch).
    """

    def __init__(
        self,
        network: FakeNetwork | None = None,
        *,
        max_payload_bytes: int | None = None,
        kept: bool = False,
        lane: Callable[[str], Hashable] = lambda _: None,
    ) -> None:
        """``kept``: what is published while the link is down is delivered when it is back."""
        self.network: FakeNetwork = network or FakeNetwork()
        self.network.brokers.append(self)
        self.connecting: Gate = Gate()
        self.subscribing: Gate = Gate()
        self.unsubscribing: Gate = Gate()
        self.publishing: Gate = Gate()
        self.confirming: Gate = Gate()
        self.checking: Gate = Gate()
        self.max_payload_bytes = max_payload_bytes
        self.kept = kept
        self.is_deaf = False
        self.is_deaf_to: Callable[[str], bool] = lambda _: False
        self.topics: dict[str, int] = {}  # live → how many of its messages it has heard
        self.inboxes: list[Inbox] = []
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.refuse_indices: dict[int, str] | None = None  # of the next batch
        self.violations: list[str] = []
        self.lane_of: Callable[[str], Hashable] = lane
        self._left: dict[str, int] = {}
        self._is_up = False
        self._to_close = False
        self._cut: anyio.Event | None = None
        self._why = ""
        self._busy: set[Hashable] = set()

    def cut(self, why: str = "cut by the test") -> None:
        """End the session as a lost link does: ``run`` raises BrokerLost."""
        self._why = why
        if self._cut is not None:
            self._cut.set()

    @property
    def is_up(self) -> bool:
        """Whether there is a session that is ready, and not over."""
        return self._is_up

    @property
    def _is_linked(self) -> bool:
        return self._cut is not None and not self._cut.is_set()

    def _check_link(self) -> None:
        if not self._is_linked:
            raise BrokerLost(self._why)

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """What the calls of this name were given."""
        return [what for called, what in self.calls if called == name]

    # The contract

    async def run(self, inbox: Inbox) -> None:
        """See :class:`~wigwag.broker.Broker`."""
        if self._cut is not None or self._to_close:
            self.violations.append("run() before the last session was closed")
        self._cut = anyio.Event()
        self._to_close = True
        self.inboxes.append(inbox)
        self.calls.append(("run", ()))
        try:
            await self.connecting.pass_through()
            if self.network.is_down:
                raise BrokerLost("the network is down")
            self._is_up = True
            inbox.ready(max_payload_bytes=self.max_payload_bytes, kept=self.kept)
            await self._cut.wait()
            raise BrokerLost(self._why)
        finally:
            self._is_up = False
            self._cut = None
            self._left = {**self._left, **self.topics} if self.kept else {}
            self.topics = {}

    async def subscribe(self, topics: Sequence[str]) -> None:
        """See :class:`~wigwag.broker.Broker`."""
        with self._call("subscribe", topics, key="subscribe or unsubscribe"):
            await self.subscribing.pass_through()
            self._check_link()
            refused = {t: why for t, why in self.network.forbidden.items() if t in topics}
            if refused and self.network.refuses_whole_calls:
                raise Refused(None)
            for topic in topics:
                if topic not in refused and topic not in self.topics:
                    self.topics[topic] = self._left.pop(topic, len(self.network.messages.get(topic, ())))
                    self._hear(topic)
            if refused:
                raise Refused(refused)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """See :class:`~wigwag.broker.Broker`."""
        with self._call("unsubscribe", topics, key="subscribe or unsubscribe"):
            for topic in topics:
                self.topics.pop(topic, None)
                self._left.pop(topic, None)
            await self.unsubscribing.pass_through()

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """See :class:`~wigwag.broker.Broker`."""
        batch = list(messages)
        lanes = {self.lane_of(topic) for topic, _ in batch}
        if len(lanes) > 1:
            self.violations.append(f"one publish for the lanes {lanes}")
        for topic, payload in batch:
            if self.max_payload_bytes is not None and len(payload) > self.max_payload_bytes:
                self.violations.append(f"{len(payload)} bytes published to {topic}")
        with self._call("publish", batch, key=("publish", *lanes)):
            await self.publishing.pass_through()
            self._check_link()
            refused, self.refuse_indices = self.refuse_indices, None
            for index, (topic, payload) in enumerate(batch):
                if refused is None or index not in refused:
                    self.network.publish(topic, payload)
            await self.confirming.pass_through()
            if refused is not None:
                raise Refused(refused or None)

    def lane(self, topic: str) -> Hashable:
        """See :class:`~wigwag.broker.Broker`."""
        return self.lane_of(topic)

    async def check(self) -> None:
        """See :class:`~wigwag.broker.Broker`."""
        await self.checking.pass_through()

    async def close(self) -> None:
        """See :class:`~wigwag.broker.Broker`."""
        if self._cut is not None or not self._to_close:
            self.violations.append("close() was called during run(), or twice after it")
        self._to_close = False
        self.calls.append(("close", ()))
        await anyio.lowlevel.checkpoint()

    @contextmanager
    def _call(self, name: str, what: Sequence[object], key: Hashable) -> Iterator[None]:
        self.calls.append((name, tuple(what)))
        if not what:
            self.violations.append(f"{name} of nothing")
        if not self._is_up:
            self.violations.append(f"{name} outside of a session")
        if key in self._busy:
            self.violations.append(f"a second {key} call at a time")
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)

    def _hear(self, topic: str) -> None:
        """Deliver what of this topic has not been heard yet, if it is live here."""
        heard = self.topics.get(topic)
        messages = self.network.messages.get(topic, [])
        if heard is None or not self._is_linked or (self.is_deaf and self.kept):
            return
        self.topics[topic] = len(messages)
        inbox = self.inboxes[-1]
        for payload in [] if self.is_deaf or self.is_deaf_to(topic) else messages[heard:]:
            if self.network.holds_deliveries:
                self.network._held.append((inbox, topic, payload))
            else:
                inbox.deliver(topic, payload)
