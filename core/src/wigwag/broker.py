"""What a broker plugin implements.

A plugin's author writes one :class:`Broker`: about a hundred lines that connect, receive, subscribe
and publish.  Core has everything else: who wants what, the comparison of what is wanted with what is
live, retries with backoff, batching, the probe that finds a link which is up but deaf, fan-out, and
telling sockets of what they may have missed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol

from wigwag.errors import BrokerError, BrokerLost, Refused

__all__ = [
    "Broker",
    "BrokerError",
    "BrokerLost",
    "Capabilities",
    "EnvelopeFormat",
    "Finding",
    "Inbox",
    "Position",
    "Refused",
]

#: How messages are written: wigwag's own, or OriJS's JSON, for a fleet that holds nodes of both. Both are read.
EnvelopeFormat = Literal["compact", "json"]


class Position(NamedTuple):
    """Where a message stands in a topic's history: offsets count up within an epoch."""

    epoch: str
    offset: int


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a broker guarantees beyond the contract, as data: the conformance suite and the docs read it."""

    #: Which nodes hear each other: those of one process, of one machine, or all that share the broker.
    scope: Literal["process", "machine", "fleet"] = "fleet"
    #: Messages of one publisher on one topic arrive in order: within a session, or across sessions too.
    order: Literal["session", "sessions"] = "session"
    #: Nothing is lost while the link is down, as long as the broker keeps it (``ready(kept=True)``); what
    #: :meth:`Broker.publish` gave it is heard by all who listen, so that core probes only lanes that are listened to.
    keeps_messages: bool = False
    #: Messages carry a :class:`Position`.
    positions: bool = False


@dataclass(frozen=True)
class Finding:
    """What ``wigwag check`` says of one thing that a plugin has looked at, before a deploy."""

    level: Literal["ok", "warning", "error"]
    #: What was looked at, in a word or two: ``version``, ``output buffer limit``.
    subject: str
    #: One line: what it is; below ``ok`` also what that will do, and what to do about it.
    text: str
    #: Where it is about connections: for how many more nodes the server has room; ``wigwag check --replicas``
    #: compares.
    nodes: int | None = None


class Inbox(Protocol):
    """Core's side of ONE session.

    Its methods are synchronous, never block and never raise; they do nothing once the session is over,
    so a late callback of a client library does no harm.
    """

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        """Say, once, that the session is up.

        ``max_payload_bytes`` is the largest payload that :meth:`Broker.publish` may be given.
        ``kept`` says that nothing is lost of what was live in the session before (a log with
        positions), so that no socket needs to be told of a gap.
        """

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        """Hand over a message.  One that is not wanted here is dropped: over-delivery is legal."""

    def gap(self, topics: Sequence[str] | None = None) -> None:
        """Say that messages were lost although the session lives (a slow consumer, retention).

        ``None``: of any topic.
        """


class Broker(ABC):
    """One broker, one session at a time.

    **Guarantees to give.**  Payloads arrive bit-exact.  Messages of one :meth:`publish` call, and of
    later ones, arrive in order within a :meth:`lane`.  A message that is published after
    :meth:`subscribe` has returned is delivered.  Each message is delivered once in a session.

    **What core promises.**  Between :meth:`Inbox.ready` and the end of :meth:`run` it makes at most
    one ``subscribe`` or ``unsubscribe`` call and, per lane, one ``publish`` call at a time, from tasks
    that it cancels when ``run`` ends: keep no waiters to fail.  Core also limits each of those calls in
    time, by ending the session.  Topics are valid, or begin with ``__`` (core's own channels); a call
    is never empty.  Any exception but :class:`Refused`, from any method, ends the session.

    The clients of real brokers are asyncio libraries: a plugin need not run on trio.
    """

    #: Core delivers directly, to the sockets of this process, and never calls :meth:`publish`.
    in_process: ClassVar[bool] = False
    #: What is guaranteed beyond the above.
    capabilities: ClassVar[Capabilities] = Capabilities()
    #: How core writes what it gives to :meth:`publish`.
    envelope: EnvelopeFormat = "compact"

    @abstractmethod
    async def run(self, inbox: Inbox) -> None:
        """Connect, call ``inbox.ready()``, receive until the link is lost, raise :class:`BrokerLost`.

        No retry and no clean-up here.  Core limits the time to ``ready()``.  Cancelled when the
        session is to end.
        """

    @abstractmethod
    async def subscribe(self, topics: Sequence[str]) -> None:
        """Return when ALL are live: what is published from then on is delivered.

        Repeating one that is live is harmless.

        Raises:
            Refused: with ``{topic: reason}`` for the forbidden ones, and the others are live; or with
                ``None`` if none is, and core asks one by one.
        """

    @abstractmethod
    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Stop them.  What arrives all the same is dropped by core."""

    @abstractmethod
    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Return when the broker took all, in order.  All are of one lane.

        Raises:
            Refused: with ``{index: reason}``; the rest were taken.
        """

    def lane(self, topic: str) -> Hashable:
        """The lane (shard, partition) of a topic, asked at any time, in a session or not.

        Order holds within a lane; each lane has a batch of its own in flight and a probe of its own, so that
        a stalled one neither holds up the others nor hides behind them (of a broker that keeps messages, only
        the lanes that are listened to are probed).  A topic's lane may change from one
        session to the next, but not within one."""
        return None

    async def check(self) -> None:
        """Called before each probe: raise if this session must not be kept (a demoted master)."""
        return

    @abstractmethod
    async def close(self) -> None:
        """Called once after every ``run``, shielded from cancellation, with 2 s.  Abort the connection;
        never wait for the peer."""
