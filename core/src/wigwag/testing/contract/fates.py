"""What became of each message of a run with faults."""

from __future__ import annotations

from itertools import pairwise

from wigwag.broker import Capabilities
from wigwag.testing.contract.checks import check
from wigwag.testing.socket import FakeSocket

_NO_END = 1 << 60


class Fates:
    """Numbered messages by topic: what the publisher was told of each, against what the socket has.

    A message is delivered, or its publish raised, or the socket was told by ``wigwag.resync`` that it may have
    missed something; none comes twice, and none of which was said that it was not sent comes at all.
    """

    def __init__(self, topics: list[str], capabilities: Capabilities) -> None:
        self.topics = topics
        self._capabilities = capabilities
        self._end: dict[str, int] = {}
        self._begun = dict.fromkeys(topics, 0)
        self._took: dict[str, set[int]] = {topic: set() for topic in topics}
        self._refused: dict[str, set[int]] = {topic: set() for topic in topics}

    def begin(self, topic: str) -> int:
        """A message is about to be published; its number."""
        self._begun[topic] += 1
        return self._begun[topic]

    def took(self, topic: str, number: int) -> None:
        """``publish`` returned."""
        self._took[topic].add(number)

    def refused(self, topic: str, number: int) -> None:
        """``publish`` raised NotAccepted."""
        self._refused[topic].add(number)

    def ends_here(self, topic: str) -> None:
        """All before the latest message is over when that has arrived, or one after it."""
        self._end[topic] = self._begun[topic]

    def dead(self, socket: FakeSocket) -> list[str]:
        """The topics of which the end, or what was published again for it, has not arrived."""
        got = self._numbers(socket)
        return [topic for topic in self.topics if max(got[topic], default=0) < self._end.get(topic, _NO_END)]

    def not_ended(self, socket: FakeSocket) -> str:
        """What to say if there are such."""
        return (
            f"{len(self.dead(socket))} of {len(self.topics)} topics are dead after the outage, though subscribe() "
            "returned in the new session: what confirmed it was not this session's"
        )

    def untold(self, socket: FakeSocket) -> list[str]:
        """The topics of which something is missing, and the socket was not told."""
        told = {topic for topics in socket.resyncs for topic in topics}
        got = self._numbers(socket)
        return [topic for topic in self.topics if self._took[topic] - set(got[topic]) and topic not in told]

    def judge(self, socket: FakeSocket) -> None:
        """Fail the test if a message met another fate than it may."""
        got = self._numbers(socket)
        for topic in self.topics:
            self._judge_copies(topic, got[topic])
            self._judge_order(topic, got[topic])
        if self._capabilities.keeps_messages:
            self._judge_keeping(socket, got)
        untold = self.untold(socket)
        check(
            not untold,
            f"SILENT LOSS: publish() returned for messages on {len(untold)} topics that did not arrive, and the socket "
            "was not told by wigwag.resync: return from publish() only when the broker took them, end run() when "
            "messages may be missing, or call inbox.gap()",
        )

    def _judge_keeping(self, socket: FakeSocket, got: dict[str, list[int]]) -> None:
        missing = sum(len(self._took[topic] - set(got[topic])) for topic in self.topics)
        check(
            not missing,
            f"capabilities.keeps_messages is True, and {missing} messages that were taken are missing",
        )
        check(
            not socket.resyncs,
            "capabilities.keeps_messages is True, and the socket was told that it may have missed something: say "
            "ready(kept=True) in the session after, and no gap()",
        )

    def _judge_copies(self, topic: str, got: list[int]) -> None:
        doubled = (
            sorted({number for number in got if got.count(number) > 1}) if len(set(got)) < len(got) else []
        )
        check(
            not doubled,
            f"messages {doubled[:5]} on {topic!r} were delivered twice over an outage: publish() must not retry "
            "what it handed over (raise BrokerLost: it is in doubt), and the old session's reader must be gone",
        )
        sent = sorted(self._refused[topic] & set(got))
        check(
            not sent,
            f"messages {sent[:5]} on {topic!r} were delivered, and their publish raised NotAccepted: raise Refused "
            "only for what the broker refused, BrokerLost for what is in doubt",
        )

    def _judge_order(self, topic: str, got: list[int]) -> None:
        if self._capabilities.order != "sessions":
            got = [number for number in got if number in self._took[topic]]
        wrong = next((pair for pair in pairwise(got) if pair[0] > pair[1]), None)
        check(
            wrong is None,
            f"messages {wrong} on {topic!r} arrived in this order over an outage, for which capabilities.order is "
            f"{self._capabilities.order!r}: what an old connection still held came out behind what a new one brought. "
            "Abort it in close(), so that nothing more is written on it",
        )

    def _numbers(self, socket: FakeSocket) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = {topic: [] for topic in self.topics}
        for message in socket.messages:
            topic, _, number = str(message).rpartition(" ")
            if topic in numbers:
                numbers[topic].append(int(number))
        return numbers
