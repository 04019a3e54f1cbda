"""What happened in a fleet, in the order in which it happened: messages, wishes, what sockets heard."""

from __future__ import annotations

import enum
import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from wigwag.frames import Frame

#: Not topics: what is for every socket, and what is for one, whose id follows.
EVERYBODY = "*"
ONE = "@"
_RESYNC = b'{"name":"wigwag.resync"'


class Fate(enum.Enum):
    """What the publisher was told."""

    TAKEN = "taken"
    UNCERTAIN = "uncertain"  # also: not told anything, since its node died
    REFUSED = "refused"


@dataclass(slots=True, eq=False)
class Message:
    """One that was published; its payload is like no other's."""

    topic: str
    publisher: str
    number: int
    payload: bytes
    is_text: bool
    began: int
    clock: Callable[[], int]
    fate: Fate = Fate.UNCERTAIN
    #: When the publisher was told.
    ended: int | None = None

    def end(self, fate: Fate) -> None:
        """The publisher was told."""
        self.fate, self.ended = fate, self.clock()

    def __str__(self) -> str:
        return f"{self.topic}/{self.publisher}#{self.number} ({self.fate.value}, began {self.began})"


@dataclass(slots=True, eq=False)
class Wish:
    """A socket wants a topic: from the call of ``subscribe`` to that of ``unsubscribe``."""

    topic: str
    wished: int
    live: int | None = None
    #: When ``subscribe`` said that the topic is not live yet: a resync is owed from then on.
    gave_up: list[int] = field(default_factory=list)
    #: When ``subscribe`` was cancelled: a resync may come.
    cancelled: list[int] = field(default_factory=list)
    left: int | None = None


class Book:
    """The order of all events in a run, and all messages."""

    def __init__(self) -> None:
        self.now: Callable[[], int] = itertools.count(1).__next__
        self.by_payload: dict[bytes, Message] = {}
        self.by_topic: dict[str, list[Message]] = defaultdict(list)
        self._numbers: dict[tuple[str, str], itertools.count[int]] = defaultdict(lambda: itertools.count(1))

    def message(self, topic: str, publisher: str, *, is_text: bool = True, padding: int = 0) -> Message:
        """Write down the publisher's next message on a topic, which is published at this moment."""
        number = next(self._numbers[topic, publisher])
        payload = f"{topic} {publisher} {number} {'x' * padding}".encode()
        if not is_text:
            payload += b"\0\xff"
        message = Message(topic, publisher, number, payload, is_text, self.now(), self.now)
        self.by_payload[payload] = message
        self.by_topic[topic].append(message)
        return message


class Ear:
    """A socket that writes down what it hears: a :class:`~wigwag.interfaces.LocalSocket`."""

    def __init__(self, id: str, book: Book) -> None:
        self.id = id
        self.user_id: str | None = None
        self._book = book
        self.attached = book.now()
        #: Whether its node heard broadcasts and direct messages when it attached.
        self.heard_everybody = True
        self.gone: int | None = None
        self.heard: list[tuple[int, Message]] = []
        self.strange: list[str] = []
        self.resyncs: list[tuple[int, list[str]]] = []
        self.wishes: dict[str, list[Wish]] = defaultdict(list)
        self.on_close: Callable[[], object] | None = None

    def write(self, frame: Frame) -> None:
        message = self._book.by_payload.get(frame.payload)
        if message is not None:
            self.heard.append((self._book.now(), message))
            if frame.is_text is not message.is_text:
                self.strange.append(f"{message} came as {'text' if frame.is_text else 'binary'}")
        elif frame.is_text and frame.payload.startswith(_RESYNC):
            topics = msgspec.json.decode(frame.payload)["data"]["topics"]
            self.resyncs.append((self._book.now(), topics))
        else:
            self.strange.append(f"nobody published {frame.payload[:80]!r}")

    def close(self, code: int, reason: str) -> None:
        if self.on_close is not None:
            self.on_close()

    # What it wants

    def wish(self, topic: str) -> Wish:
        """The wish for a topic that stands, from now on if there was none."""
        wishes = self.wishes[topic]
        if not wishes or wishes[-1].left is not None:
            wishes.append(Wish(topic, self._book.now()))
        return wishes[-1]

    @property
    def open_wishes(self) -> list[Wish]:
        """Those that stand."""
        if self.gone is not None:
            return []
        return [wishes[-1] for wishes in self.wishes.values() if wishes and wishes[-1].left is None]

    def leave(self, topic: str) -> None:
        """Take back the wish for a topic."""
        for wish in self.wishes[topic][-1:]:
            wish.left = wish.left or self._book.now()

    def go(self) -> None:
        """The socket goes, with all its wishes."""
        if self.gone is None:
            for topic in self.wishes:
                self.leave(topic)
            self.gone = self._book.now()
