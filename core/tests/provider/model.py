"""What must have been delivered, and who may be told of a loss: the model of the state machine.

Everything is judged the moment it happens, by what has been promised until then:

- SILENT LOSS: the network took a message while a socket was subscribed (its ``subscribe`` had returned, it
  had not unsubscribed), and the socket neither got it nor was told, afterwards, of that topic.
- SPURIOUS RESYNC: a socket is told of a topic, or at all, with nothing lost since it was last told.
- PREMATURE RESYNC: a socket is told while a topic that the node lost is not live again.
- duplicate, disorder, unwanted delivery; a publish that was "not accepted" and arrived.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from wigwag.broker import Inbox, Refused
from wigwag.frames import Frame
from wigwag.testing import FakeBroker, FakeNetwork, FakeSocket

Pair = tuple["Client", str]
_NUMBER = re.compile(rb"(\d+) by (\d+)")


@dataclass(eq=False)
class Client:
    """A socket as its application sees it."""

    broker: ModelBroker
    socket: FakeSocket
    wishes: set[str] = field(default_factory=set)
    subscribed: set[str] = field(default_factory=set)  # subscribe has returned
    members: set[str] = field(default_factory=set)  # the same, or it was live when the wish came
    word_due: bool = False  # it may have missed broadcasts


class Model:
    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.faults: list[str] = []
        self.owed: dict[Pair, set[int]] = defaultdict(set)  # taken while subscribed, not delivered yet
        self.left: dict[Pair, set[int]] = defaultdict(set)  # the same, of topics that it left since
        self.promised: set[Pair] = set()  # subscribe failed: "told when it is live"
        self.reasons: dict[Pair, set[str]] = defaultdict(set)  # why it may be told
        self.last: dict[tuple[Client, str, int], int] = {}
        self.seen: dict[Pair, set[int]] = defaultdict(set)
        self.taken: set[int] = set()
        self.taken_back: Counter[Pair] = Counter()
        self.refused_numbers: set[int] = set()

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def of(self, broker: ModelBroker) -> list[Client]:
        return [client for client in self.clients if client.broker is broker]

    # Sockets

    def attach(self, broker: ModelBroker, socket: FakeSocket) -> Client:
        client = Client(broker, socket, word_due="__broadcast__" not in broker.topics)
        self.clients.append(client)
        socket.on_write = lambda frame: self.written(client, frame)
        return client

    def detach(self, client: Client) -> None:
        self.clients.remove(client)
        client.socket.on_write = lambda _: self.fault("a write after detach")
        for table in (self.owed, self.left, self.reasons):
            for pair in [pair for pair in table if pair[0] is client]:
                del table[pair]
        self.promised = {pair for pair in self.promised if pair[0] is not client}

    def wish(self, client: Client, topic: str, *, is_live: bool) -> None:
        pair = client, topic
        if is_live:
            client.members.add(topic)
            self.may_have_ended(client, topic)
        if topic not in client.wishes:
            client.wishes.add(topic)
            if topic not in client.broker.topics:  # a re-joiner
                self.owed[pair] |= self.left[pair]
                if client.broker.kept:  # kept, or lost while nobody else wanted it: either is right
                    self.reasons[pair].add("re-joined")
            self.left.pop(pair, None)

    def live(self, client: Client, topic: str) -> None:
        """``subscribe`` returned."""
        if topic in client.wishes:
            client.subscribed.add(topic)
            client.members.add(topic)
            self.may_have_ended(client, topic)

    def may_have_ended(self, client: Client, topic: str) -> None:
        """To core it is live; if its session has just ended, core will learn that, and tell."""
        if topic not in client.broker.topics and not client.broker.kept:
            self.reasons[client, topic].add("loss")

    def refused_at_once(self, client: Client, topic: str) -> None:
        """The broker forbids it, as core knows; ``subscribe`` may wait for its other topics before it says so."""
        self.reasons[client, topic].add("refused")

    def gave_up(self, client: Client, topic: str) -> None:
        if topic in client.wishes:
            self.reasons[client, topic].add("gave up")
            self.promised.add((client, topic))

    def unwish(self, client: Client, topic: str) -> None:
        pair = client, topic
        self.taken_back[pair] += 1
        client.wishes.discard(topic)
        client.subscribed.discard(topic)
        client.members.discard(topic)
        self.promised.discard(pair)
        if "loss" in self.reasons[pair] and not any(topic in c.wishes for c in self.of(client.broker)):
            self.reasons[pair] ^= {"loss", "left as the last"}  # it isn't waited for, by those who are told
        owed = self.owed.pop(pair, set())
        if topic not in client.broker.topics:  # lost, and known to be: should it come back, it is told
            self.left[pair] |= owed

    # Brokers

    def session_ended(self, broker: ModelBroker, topics: Iterable[str]) -> None:
        if broker.kept:
            return
        topics = set(topics)
        for client in self.of(broker):
            client.word_due = True
            for topic in topics & client.wishes:
                if topic in client.members or self.reasons[client, topic]:
                    self.reasons[client, topic].add("loss")

    def gap(self, broker: ModelBroker, topics: Iterable[str] | None) -> None:
        for client in self.of(broker):
            client.word_due = client.word_due or topics is None
            for topic in client.wishes if topics is None else client.wishes.intersection(topics):
                self.reasons[client, topic].add("gap")

    def refused(self, broker: ModelBroker, topics: Iterable[str]) -> None:
        for client in self.of(broker):
            for topic in client.wishes.intersection(topics):
                self.reasons[client, topic].add("refused")

    # Messages

    def took(self, topic: str, number: int) -> None:
        if number in self.taken:
            self.fault(f"the network got {number} twice")
        if number in self.refused_numbers:
            self.fault(f"{number} was not accepted, and sent")
        self.taken.add(number)
        for client in self.clients:
            if topic in client.subscribed:
                self.owed[client, topic].add(number)

    def not_accepted(self, number: int) -> None:
        self.refused_numbers.add(number)
        if number in self.taken:
            self.fault(f"{number} was sent, and not accepted")

    def written(self, client: Client, frame: Frame) -> None:
        if frame.payload.startswith(b'{"name":"wigwag.resync"'):
            self.told(client, msgspec.json.decode(frame.payload)["data"]["topics"])
            return
        match = _NUMBER.fullmatch(frame.payload)
        assert match is not None
        assert frame.topic is not None
        number, publisher = int(match[1]), int(match[2])
        pair = client, frame.topic
        if frame.topic not in client.wishes:
            self.fault(f"unwanted delivery of {number}")
        if number in self.seen[pair]:
            self.fault(f"duplicate of {number}")
        self.seen[pair].add(number)
        self.owed[pair].discard(number)
        last = self.last.get((client, frame.topic, publisher), -1)
        if number < last:
            self.fault(f"disorder: {number} after {last}")
        self.last[client, frame.topic, publisher] = number

    def told(self, client: Client, topics: list[str]) -> None:
        broker = client.broker
        lost = {t for c in self.of(broker) for t in c.wishes if "loss" in self.reasons[c, t]}
        for topic in sorted(lost - broker.topics.keys() - broker.network.forbidden.keys()):
            self.fault(f"PREMATURE RESYNC: {topic} is not live")
        if not topics and not client.word_due:
            self.fault("SPURIOUS RESYNC with no topic")
        client.word_due = False
        for topic in topics:
            pair = client, topic
            if topic not in client.wishes:
                self.fault(f"SPURIOUS RESYNC of {topic}, which it doesn't want")
            elif not self.reasons[pair]:
                self.fault(f"SPURIOUS RESYNC of {topic}")
            is_back = topic in broker.topics and topic not in broker.network.forbidden
            again = {"refused"} if self.reasons[pair] & {"loss", "gap"} and not is_back else set()
            self.reasons[pair] &= again
            self.owed.pop(pair, None)
            self.promised.discard(pair)
            if is_back:  # it knows now that it is subscribed
                client.members.add(topic)
                client.subscribed.add(topic)
        for table in (self.left, self.reasons):
            for pair in [p for p in table if p[0] is client and p[1] not in client.wishes]:
                del table[pair]

    def judge_the_end(self) -> None:
        """All is well again, and had time enough."""
        for (client, topic), numbers in self.owed.items():
            if numbers and topic in client.wishes:
                self.fault(f"SILENT LOSS of {sorted(numbers)} on {topic}")
        for _, topic in self.promised:
            self.fault(f"SILENT LOSS: who gave up on {topic} was not told")


class ModelNetwork(FakeNetwork):
    """Tells the model what it takes."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.number_of: Callable[[bytes], int | None] = number_of

    def publish(self, topic: str, payload: bytes) -> None:
        number = self.number_of(payload)
        if number is not None:
            self.model.took(topic, number)
        super().publish(topic, payload)


class ModelBroker(FakeBroker):
    """Tells the model when a session ends, and what is refused."""

    def __init__(self, network: ModelNetwork, *, kept: bool) -> None:
        super().__init__(network, kept=kept)
        self.model = network.model
        self.live_in_session: dict[str, int] = {}

    async def run(self, inbox: Inbox) -> None:
        live: dict[str, int] = {}
        try:
            self.live_in_session = live
            await super().run(inbox)
        finally:
            self.model.session_ended(self, live)

    async def subscribe(self, topics: Sequence[str]) -> None:
        try:
            await super().subscribe(topics)
        except Refused as exc:
            self.model.refused(self, topics if exc.reasons is None else exc.reasons)
            raise
        finally:
            self.live_in_session.update(self.topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        for topic in topics:
            self.live_in_session.pop(topic, None)
        await super().unsubscribe(topics)


def number_of(payload: bytes) -> int | None:
    match = _NUMBER.search(payload)
    return None if match is None else int(match[1])
