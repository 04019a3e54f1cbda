"""Who knows what each socket must have heard, and says what is wrong.

- What was taken is heard once by each socket whose ``subscribe`` had returned before it was published, and that did
  not leave; in the order of its publisher. What was refused is not heard; what is in doubt, at most once.
- What is missing is forgiven if the socket was told by ``wigwag.resync``, of the topic, after it was published.
- A socket is told only if its node's session was lost since, and a session is lost only by a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from fleets.book import EVERYBODY, ONE, Book, Ear, Fate, Message, Wish
from fleets.faults import HARMLESS, Fault
from fleets.fleet import Fleet, FleetNode

SPLIT = "SILENT LOSS BETWEEN TWO MASTERS"


@dataclass(frozen=True, slots=True)
class Outage:
    """A session of a node's was lost, and later a socket there told."""

    ended: float
    closed: float
    next_began: float
    told: float


@dataclass(slots=True)
class Verdict:
    """What is wrong, in words, by kind; all empty where all is well."""

    silent_losses: list[str] = field(default_factory=list)
    #: Silent losses too, of a kind: see :data:`~fleets.grounds.LossBy`.
    split: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    crosstalk: list[str] = field(default_factory=list)
    spurious_resyncs: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    #: Not wrong: what is missing, and was told.
    missing_but_told: int = 0
    #: Neither, where the broker can't do better: what was lost with a server.
    lost_in_crash: int = 0

    @property
    def wrongs(self) -> list[str]:
        """All that is wrong, the kind first."""
        kinds = {
            "SILENT LOSS": self.silent_losses,
            SPLIT: self.split,
            "DUPLICATE": self.duplicates,
            "DISORDER": self.disorder,
            "CROSS-TALK": self.crosstalk,
            "SPURIOUS RESYNC": self.spurious_resyncs,
            "NOT TOLD": self.untold,
            "SESSION LOST WITHOUT A FAULT": self.unexplained,
        }
        return [f"{kind}: {text}" for kind, texts in kinds.items() for text in texts]

    @property
    def is_waiting(self) -> bool:
        """Whether time may still mend what is wrong."""
        return bool(self.silent_losses or self.split or self.untold)


def judge(fleet: Fleet, faults: Sequence[Fault] = ()) -> Verdict:
    """Judge all that has happened so far."""
    verdict = Verdict()
    for node in fleet.all_nodes:
        outages = _outages(node)
        for ear in node.ears.values():
            _SocketJudge(fleet, node, ear, outages, verdict).judge()
        _judge_sessions(fleet, node, faults, verdict)
    return verdict


def _outages(node: FleetNode) -> list[Outage]:
    sessions = node.sessions
    told = sorted(tick for ear in node.ears.values() for tick, _ in ear.resyncs)
    outages: list[Outage] = []
    for session, following in zip(sessions, [*sessions[1:], None], strict=True):
        if session.ended is not None and session.ready is not None:
            ended = session.ended
            began = inf if following is None else following.began
            closed = inf if session.closed is None else session.closed
            outages.append(Outage(ended, closed, began, next((tick for tick in told if tick > ended), inf)))
    return outages


def _judge_sessions(fleet: Fleet, node: FleetNode, faults: Sequence[Fault], verdict: Verdict) -> None:
    serious = [fault for fault in faults if fault.kind not in HARMLESS]
    for session in node.sessions:
        if session.ready is None or session.ended is None:
            continue
        if node.stopping is not None and session.ended > node.stopping:
            continue
        if not any(f.explains(node.slot, session.ended_s, fleet.ground.grace_s) for f in serious):
            verdict.unexplained.append(f"{node.name}: {session.why}")


class _SocketJudge:
    def __init__(
        self, fleet: Fleet, node: FleetNode, ear: Ear, outages: list[Outage], verdict: Verdict
    ) -> None:
        self._book: Book = fleet.book
        self._ground = fleet.ground
        self._keeps = fleet.ground.keeps
        self._senders = {each.name: each for each in fleet.all_nodes}
        self._node = node
        self._ear = ear
        self._outages = outages
        self._verdict = verdict
        self._heard: dict[Message, int] = {}

    def judge(self) -> None:
        self._verdict.crosstalk += [f"{self._name}: {text}" for text in self._ear.strange]
        self._read_heard()
        for wish in self._wishes():
            self._judge_wish(wish)
        self._judge_resyncs()

    @property
    def _name(self) -> str:
        return f"{self._node.name} {self._ear.id[9:13]}"

    def _wishes(self) -> Iterator[Wish]:
        ear = self._ear
        for wishes in ear.wishes.values():
            yield from wishes
        for topic in (EVERYBODY, ONE + ear.id):
            yield Wish(topic, ear.attached, live=ear.attached, left=ear.gone)

    # What was heard

    def _read_heard(self) -> None:
        last: dict[tuple[str, str], int] = {}
        for tick, message in self._ear.heard:
            stream = message.topic, message.publisher
            if message in self._heard:
                self._verdict.duplicates.append(f"{self._name}: {message} at {tick}")
            elif message.number < last.get(stream, 0):
                self._verdict.disorder.append(f"{self._name}: {message} at {tick} after #{last[stream]}")
            if message.fate is Fate.REFUSED:
                self._verdict.crosstalk.append(f"{self._name}: {message} was refused, and came at {tick}")
            if not self._wanted(message.topic, tick):
                self._verdict.crosstalk.append(f"{self._name}: {message} was not wanted at {tick}")
            last[stream] = max(message.number, last.get(stream, 0))
            self._heard.setdefault(message, tick)

    def _wanted(self, topic: str, tick: int) -> bool:
        ear = self._ear
        if topic in (EVERYBODY, ONE + ear.id):
            return ear.gone is None or tick < ear.gone
        return any(
            wish.wished < tick < (inf if wish.left is None else wish.left)
            for wish in ear.wishes.get(topic, ())
        )

    # What is missing

    def _judge_wish(self, wish: Wish) -> None:
        told = [tick for tick, topics in self._ear.resyncs if self._concerns(topics, wish.topic)]
        live = self._live_since(wish, told)
        if wish.left is None and wish.gave_up and max(told, default=0) < wish.gave_up[-1]:
            self._verdict.untold.append(f"{self._name}: {wish.topic}, not live at {wish.gave_up[-1]}")
        if live is None:
            return
        until = inf if wish.left is None else wish.left
        seen_to: dict[str, int] = {}  # of who left: what came later shows that the link was up
        if wish.left is not None:
            for message, tick in self._heard.items():
                if message.topic == wish.topic and tick < until:
                    seen_to[message.publisher] = message.number
        for message in self._book.by_topic.get(wish.topic, ()):
            if not live < message.began < until or message.fate is not Fate.TAKEN:
                continue
            if wish.left is not None and message.number > seen_to.get(message.publisher, 0):
                continue
            if message not in self._heard:
                self._miss(wish, message, told)

    def _concerns(self, topics: list[str], topic: str) -> bool:
        return topic == EVERYBODY or topic.startswith(ONE) or topic in topics

    def _live_since(self, wish: Wish, told: list[int]) -> int | None:
        """From when on all must come: subscribe returned, or the socket that gave up was told."""
        gave_up = wish.gave_up[0] if wish.gave_up else inf
        since = [tick for tick in told if tick > gave_up]
        if wish.live is not None:
            since.append(wish.live)
        return min(since, default=None)

    def _miss(self, wish: Wish, message: Message, told: list[int]) -> None:
        if self._is_forgiven(wish, message, told):
            self._verdict.missing_but_told += 1
            return
        sender = self._senders.get(message.publisher.rpartition(".")[0])
        by = sender and self._ground.explain(sender, self._node, self._ear, message)
        if by == "crash":
            self._verdict.lost_in_crash += 1
        else:
            since = [f"{o.ended}-{o.next_began} told {o.told}" for o in self._outages]
            (self._verdict.split if by == "split" else self._verdict.silent_losses).append(
                f"{self._name}: {message}; wished {wish.wished}, live {wish.live}, left {wish.left}, told {told}, "
                f"node's outages {since}"
            )

    def _is_forgiven(self, wish: Wish, message: Message, told: list[int]) -> bool:
        is_topic = wish.topic != EVERYBODY and not wish.topic.startswith(ONE)
        if self._keeps and (is_topic or self._ear.heard_everybody):
            return False
        if any(tick > message.began for tick in told):
            return True
        if not is_topic and wish.left is not None and message.began < self._heard_everybody_from():
            return True  # it came before its node heard these, and went before it could be told
        # Who left before the telling was owed a word that came too late, or that nobody could give.
        return wish.left is not None and any(
            outage.ended < wish.left <= outage.told and message.began < outage.told
            for outage in self._outages
        )

    def _heard_everybody_from(self) -> float:
        ear = self._ear
        if ear.heard_everybody:
            return ear.attached
        hears = (session.hears for session in self._node.sessions)
        return min((tick for tick in hears if tick is not None and tick > ear.attached), default=inf)

    # What was told

    def _judge_resyncs(self) -> None:
        ear = self._ear
        before = ear.attached
        for tick, topics in ear.resyncs:
            outages = (
                [] if self._keeps else [o for o in self._outages if before < o.closed and o.ended < tick]
            )
            is_first = before == ear.attached
            has_cause = bool(outages) or (is_first and not ear.heard_everybody)
            for topic in topics:
                if not self._may_be_told(topic, before, tick, outages):
                    self._verdict.spurious_resyncs.append(
                        f"{self._name}: of {topic} at {tick}, before that at {before}; wishes "
                        f"{ear.wishes.get(topic)}, node's outages {self._outages}"
                    )
            if not topics and not has_cause:
                self._verdict.spurious_resyncs.append(f"{self._name}: of no topic at {tick}")
            before = tick

    def _may_be_told(self, topic: str, before: int, tick: int, outages: list[Outage]) -> bool:
        for wish in self._ear.wishes.get(topic, ()):
            if any(
                wish.wished < o.next_began and (wish.left is None or wish.left > o.ended) for o in outages
            ):
                return True
            if any(moment < tick for moment in (*wish.gave_up, *wish.cancelled)):
                return True
        return False
