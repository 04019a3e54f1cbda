"""A broker that passes all on to the real one, and writes down when sessions began and ended."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from fleets.book import Book
from wigwag.broker import Broker, BrokerLost, Inbox, Position
from wigwag.node import BROADCAST_CHANNEL


@dataclass(slots=True, eq=False)
class SessionLog:
    """One ``run`` of a broker. Moments are the book's; ``ended_s`` is the loop's time."""

    began: int
    ready: int | None = None
    kept: bool = False
    #: When the node's own channels were live: it hears broadcasts and direct messages from here on.
    hears: int | None = None
    ended: int | None = None
    #: When the broker was closed after it: core counts its topics as live until then.
    closed: int | None = None
    ended_s: float = 0.0
    #: Where it was, as the ground calls it, where that counts.
    server: int | None = None
    why: str = ""
    gaps: list[tuple[int, list[str] | None]] = field(default_factory=list)
    #: How many topics each call of ``subscribe`` was for.
    joins: list[int] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)


class _Inbox:
    """Core's inbox, with an ear to what a session says of itself."""

    def __init__(
        self, inbox: Inbox, session: SessionLog, book: Book, server_of: Callable[[], int | None]
    ) -> None:
        self._inbox = inbox
        self._session = session
        self._book = book
        self._server_of = server_of
        self.deliver = inbox.deliver  # nothing in between: it is the hot path

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        self._session.ready, self._session.kept = self._book.now(), kept
        self._session.server = self._server_of()
        self._inbox.ready(max_payload_bytes=max_payload_bytes, kept=kept)

    def gap(self, topics: Sequence[str] | None = None) -> None:
        self._session.gaps.append((self._book.now(), None if topics is None else list(topics)))
        self._inbox.gap(topics)


class WatchedBroker(Broker):
    """The real broker, watched."""

    def __init__(self, broker: Broker, book: Book) -> None:
        self.real = broker
        self.envelope = broker.envelope
        self._book = book
        self.sessions: list[SessionLog] = []
        #: Which server a broker is connected to.
        self.server_of: Callable[[Broker], int | None] = lambda _: None

    async def run(self, inbox: Inbox) -> None:
        session = SessionLog(self._book.now())
        self.sessions.append(session)
        watched: Any = _Inbox(inbox, session, self._book, lambda: self.server_of(self.real))
        try:
            await self._run_real(watched)
        except BaseException as exc:
            session.why = f"{type(exc).__name__}: {exc}"
            raise
        finally:
            session.ended, session.ended_s = self._book.now(), anyio.current_time()

    async def _run_real(self, inbox: Inbox) -> None:
        await self.real.run(inbox)

    async def subscribe(self, topics: Sequence[str]) -> None:
        session = self.sessions[-1]
        session.joins.append(len(topics))
        await self.real.subscribe(topics)
        if BROADCAST_CHANNEL in topics:
            session.hears = self._book.now()

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        self.sessions[-1].leaves.append(len(topics))
        await self.real.unsubscribe(topics)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self.real.publish(messages)

    def lane(self, topic: str) -> Hashable:
        return self.real.lane(topic)

    async def check(self) -> None:
        await self.real.check()

    async def close(self) -> None:
        try:
            await self.real.close()
        finally:
            for session in self.sessions[-1:]:
                session.closed = self._book.now()

    @property
    def hears(self) -> bool:
        """Whether the node hears broadcasts and direct messages, as far as the broker has said."""
        return bool(self.sessions) and self.sessions[-1].hears is not None and self.sessions[-1].ended is None


class FaultyBroker(WatchedBroker):
    """One that does wrong to every n-th message, to see that the judge sees it."""

    def __init__(self, broker: Broker, book: Book, defect: str, every: int) -> None:
        super().__init__(broker, book)
        self.defect = defect
        self._every = every
        self._count = 0
        self._late: tuple[str, bytes] | None = None

    async def run(self, inbox: Inbox) -> None:
        self._over = anyio.Event()
        await super().run(_Faulty(inbox, self))

    async def _run_real(self, inbox: Inbox) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.real.run, inbox)
            await self._over.wait()
            raise BrokerLost("hung up")

    def spoil(self, inbox: Inbox, topic: str, payload: bytes) -> None:
        """Deliver, most of the time as one should."""
        if topic.startswith("__"):
            inbox.deliver(topic, payload)
            return
        self._count += 1
        is_due = self._count % self._every == 0
        if is_due and self.defect == "loses":
            return
        if is_due and self.defect == "swaps" and self._late is None:
            self._late = (topic, payload)
            return
        inbox.deliver(topic, payload)
        if is_due and self.defect == "doubles":
            inbox.deliver(topic, payload)
        if self._late is not None and self._late[0] == topic:
            late, self._late = self._late, None
            inbox.deliver(*late)
        if is_due and self.defect == "cries wolf":
            inbox.gap([topic])
        if is_due and self.defect in ("hangs up", "keeps silent"):
            self._over.set()


class _Faulty:
    def __init__(self, inbox: Inbox, broker: FaultyBroker) -> None:
        self._inbox = inbox
        self._broker = broker
        self.gap = inbox.gap

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        kept = kept or self._broker.defect == "keeps silent"
        self._inbox.ready(max_payload_bytes=max_payload_bytes, kept=kept)

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        self._broker.spoil(self._inbox, topic, payload)
