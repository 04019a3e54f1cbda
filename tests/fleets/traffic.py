"""What goes on at a node: messages are published all the time, sockets come and go, join and leave."""

from __future__ import annotations

import asyncio
import random

import anyio

from fleets.book import EVERYBODY, ONE, Ear, Fate, Message
from fleets.fleet import Fleet, FleetNode
from wigwag.errors import NotAccepted, NotLive, NotRunning, SubscribeError, Uncertain
from wigwag.provider import Provider

TOPICS = [f"topic.{number}" for number in range(40)]
PUBLISHERS = 3
SOCKETS = range(2, 7)  # on a node
WISHES = 20  # of a socket, at most
BURST = 8


async def publish(provider: Provider, message: Message) -> None:
    """Publish a message that was just written down, and write down how it went."""
    text = message.payload.decode() if message.is_text else message.payload
    try:
        if message.topic == EVERYBODY:
            await provider.broadcast(text)
        elif message.topic.startswith(ONE):
            await provider.send(message.topic.removeprefix(ONE), text)
        else:
            await provider.publish(message.topic, text)
    except (NotAccepted, NotRunning):
        message.end(Fate.REFUSED)
    except Uncertain:
        message.end(Fate.UNCERTAIN)
    else:
        message.end(Fate.TAKEN)


async def join(node: FleetNode, ear: Ear, *topics: str) -> None:
    """A socket subscribes; where several topics are not live in time, it asks for each."""
    wishes = [ear.wish(topic) for topic in topics]
    try:
        await node.provider.subscribe(ear.id, *topics)
    except SubscribeError as exc:
        now = node.book.now()
        if len(topics) > 1:  # the error is that of one topic, and says nothing of the others
            for wish in wishes:
                wish.cancelled.append(now)
            await _join_each(node, ear, topics)
        elif isinstance(exc, NotLive):
            wishes[0].gave_up.append(now)
    else:
        now = node.book.now()
        for wish in wishes:
            wish.live = wish.live or now


async def _join_each(node: FleetNode, ear: Ear, topics: tuple[str, ...]) -> None:
    for topic in topics:
        if any(wish.topic == topic for wish in ear.open_wishes):
            await join(node, ear, topic)


async def leave(node: FleetNode, ear: Ear, topic: str) -> None:
    """A socket unsubscribes; in this call, which never waits, it still gets what came before in this turn."""
    await node.provider.unsubscribe(ear.id, topic)
    ear.leave(topic)


async def join_and_cancel(node: FleetNode, ear: Ear, topic: str, after_s: float) -> None:
    """A subscribe is cancelled, and repeated, since nobody knows how far it came."""
    with anyio.move_on_after(after_s) as scope:
        await join(node, ear, topic)
    if scope.cancelled_caught and ear.gone is None:
        for wish in ear.open_wishes:
            if wish.topic == topic:
                wish.cancelled.append(node.book.now())
                await join(node, ear, topic)


class Traffic:
    """Publishers and sockets at each node of a fleet; ``pace`` times slower than usual."""

    def __init__(self, seed: str, *, pace: float = 1.0) -> None:
        self._seed = seed
        self._pace = pace
        self.fleet: Fleet | None = None
        self.is_over = False
        self._busy = 0

    def live(self, node: FleetNode) -> None:
        """Begin at a node."""
        assert node.tasks is not None
        for number in range(PUBLISHERS):
            node.tasks.start_soon(self._publish, node, f"{node.name}.p{number}")
        node.tasks.start_soon(self._move, node)

    def end(self) -> None:
        """No more begins."""
        self.is_over = True

    @property
    def is_quiet(self) -> bool:
        """Whether all that had begun at nodes that are there has ended."""
        return self.is_over and not self._busy

    # Publishers

    async def _publish(self, node: FleetNode, name: str) -> None:
        rng = random.Random(f"{self._seed}/{name}")
        while not self.is_over:
            count = rng.randint(1, BURST)
            topics = [self._topic(rng, name)] * count if rng.random() < 0.5 else None
            self._busy += 1
            try:
                # They begin in this order, so that the order of their numbers is that of publishing.
                await asyncio.gather(
                    *(
                        self._one(node, topics[0] if topics else self._topic(rng, name), name, rng)
                        for _ in range(count)
                    )
                )
            finally:
                self._busy -= 1
            await anyio.sleep(rng.expovariate(1 / (0.02 * self._pace)))

    def _topic(self, rng: random.Random, name: str) -> str:
        kind = rng.random()
        if kind < 0.04:
            return EVERYBODY
        if kind < 0.10 and self.fleet is not None:
            ears = [ear for node in self.fleet.up for ear in node.present]
            if ears:
                return ONE + rng.choice(ears).id
        return rng.choice(TOPICS)

    async def _one(self, node: FleetNode, topic: str, name: str, rng: random.Random) -> None:
        padding = rng.choice((0, 10, 200, 200, 5_000))
        message = node.book.message(topic, name, is_text=rng.random() < 0.8, padding=padding)
        await publish(node.provider, message)

    # Sockets

    async def _move(self, node: FleetNode) -> None:
        rng = random.Random(f"{self._seed}/{node.name}")
        assert node.tasks is not None
        for _ in range(SOCKETS.start):
            ear = node.attach()
            node.tasks.start_soon(self._tracked, join, node, ear, *rng.sample(TOPICS, 10))
        while not self.is_over:
            await anyio.sleep(rng.expovariate(1 / (0.03 * self._pace)))
            if node.stopping is None and not self.is_over:
                await self._step(node, rng)

    async def _step(self, node: FleetNode, rng: random.Random) -> None:
        assert node.tasks is not None
        ears, choice = node.present, rng.random()
        if len(ears) < SOCKETS.start or (choice < 0.06 and len(ears) < SOCKETS.stop):
            ear = node.attach()
            node.tasks.start_soon(self._tracked, join, node, ear, *rng.sample(TOPICS, 3))
            return
        ear = rng.choice(ears)
        wanted = [wish.topic for wish in ear.open_wishes]
        if choice < 0.1:
            node.detach(ear)
        elif len(wanted) > WISHES or (wanted and choice < 0.4):
            await leave(node, ear, rng.choice(wanted))
        elif choice < 0.6:
            node.tasks.start_soon(
                self._tracked, join_and_cancel, node, ear, rng.choice(TOPICS), rng.choice((0.0, 0.001, 0.05))
            )
        else:
            node.tasks.start_soon(self._tracked, join, node, ear, *rng.sample(TOPICS, rng.choice((1, 1, 3))))

    async def _tracked(self, act: object, *args: object) -> None:
        self._busy += 1
        try:
            await act(*args)  # type: ignore[operator]
        finally:
            self._busy -= 1
