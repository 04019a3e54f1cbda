"""What was published, what each client received, and what became of the rest.

A client that is connected and has joined a topic believes that it has all that is published to it.  So of what it
lacks, only this is told to it: what was published while it knew that it was away, what was still on its way when its
connection ended, and what ``wigwag.resync`` or ``wigwag.dropped`` said.  All else is a silent loss.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Fate(Enum):
    """How a publish ended."""

    TAKEN = "taken"
    DOUBT = "in doubt"
    UNSENT = "unsent"


@dataclass(slots=True)
class Message:
    """One message; times are the event loop's."""

    topic: str
    begun_s: float
    taken_s: float = math.inf
    fate: Fate = Fate.UNSENT


@dataclass(slots=True)
class Stay:
    """One connection of a client."""

    #: When the server said that a topic is live.
    joined_s: dict[str, float] = field(default_factory=dict)
    #: By number, when a message came.
    got: dict[int, float] = field(default_factory=dict)
    #: When it was told that messages may be missing, and of which topics; None: of all.
    told: list[tuple[float, frozenset[str] | None]] = field(default_factory=list)
    ended_s: float = math.inf

    def was_told_of(self, message: Message) -> bool:
        """Whether it was said, after this was published, that messages of its topic may be missing."""
        return any(
            told_s >= message.begun_s and (topics is None or message.topic in topics)
            for told_s, topics in self.told
        )


@dataclass(slots=True)
class Listener:
    """A client, as far as it is to be accounted for."""

    topics: tuple[str, ...]
    stays: list[Stay] = field(default_factory=list)
    #: When it went away for good: what was published later is not for it.
    left_s: float = math.inf
    #: Messages that came twice on one connection.
    repeated: int = 0


@dataclass(slots=True)
class Account:
    """What a run came to, in deliveries: one for each message and client that wants it."""

    #: Messages that were published and taken; in doubt; certainly not sent, attempts that were made again.
    taken: int = 0
    doubt: int = 0
    due: int = 0
    received: int = 0
    #: Missing, and the client knew: it was away when it was published …
    away: int = 0
    #: … its connection ended while it was on its way …
    at_the_end: int = 0
    #: … the server said so.
    resync: int = 0
    twice: int = 0
    #: Number and client of each that is missing without a word.
    silent: list[tuple[int, int]] = field(default_factory=list)

    @property
    def told(self) -> int:
        """Missing, and the client knew."""
        return self.away + self.at_the_end + self.resync


def account(messages: Sequence[Message], listeners: Iterable[Listener]) -> Account:
    """Go through all that was published, client by client."""
    found = Account()
    fates = Counter(message.fate for message in messages)
    found.taken, found.doubt = fates[Fate.TAKEN], fates[Fate.DOUBT]
    by_topic: dict[str, list[int]] = {}
    for number, message in enumerate(messages):
        by_topic.setdefault(message.topic, []).append(number)
    for index, listener in enumerate(listeners):
        counts = Counter(number for stay in listener.stays for number in stay.got)
        found.twice += sum(count - 1 for count in counts.values()) + listener.repeated
        for topic in listener.topics:
            for number in _due(topic, by_topic.get(topic, ()), messages, listener):
                found.due += 1
                if counts[number]:
                    found.received += 1
                else:
                    _missing(found, index, number, messages, listener)
    return found


def _due(
    topic: str, numbers: Sequence[int], messages: Sequence[Message], listener: Listener
) -> Iterator[int]:
    """What was taken while the client was there, from when it was first in the topic."""
    first_s = min((stay.joined_s.get(topic, math.inf) for stay in listener.stays), default=math.inf)
    for number in numbers:
        if messages[number].fate is Fate.TAKEN and first_s <= messages[number].begun_s < listener.left_s:
            yield number


def _missing(
    found: Account, index: int, number: int, messages: Sequence[Message], listener: Listener
) -> None:
    message = messages[number]
    for stay in listener.stays:
        joined_s = stay.joined_s.get(message.topic, math.inf)
        if joined_s <= message.begun_s and message.taken_s <= stay.ended_s:
            if stay.was_told_of(message):
                found.resync += 1
            elif stay.ended_s < math.inf and not _is_overtaken(message, stay, messages):
                found.at_the_end += 1
            else:
                found.silent.append((number, index))
            return
    found.away += 1


def _is_overtaken(message: Message, stay: Stay, messages: Sequence[Message]) -> bool:
    """Whether something came on this connection that was published only after this one had been taken."""
    return any(
        messages[number].topic == message.topic and messages[number].begun_s > message.taken_s
        for number in stay.got
    )
