"""Defects that plugins have had, each planted in a broker, or a server, that is right otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import anyio

from small_broker import LIMIT_BYTES, Link, Server, SmallBroker
from wigwag.broker import BrokerLost, Capabilities, Inbox, Refused

Messages = Sequence[tuple[str, bytes]]

# Subscribing


class ReturnsEarly(SmallBroker):
    """Writes the subscribe, and does not wait for its confirmation."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.linked.post("subscribe", topics)


class LeavesLate(SmallBroker):
    """Unsubscribes some time later, whoever has come meanwhile."""

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        link, loop = self.linked, asyncio.get_running_loop()
        loop.call_later(0.003, lambda: None if link.is_lost else link.post("unsubscribe", topics))


class NeverLeaves(SmallBroker):
    async def unsubscribe(self, topics: Sequence[str]) -> None:
        pass


class LosesTheTail(SmallBroker):
    """A request of its protocol holds 100 topics, and it sends one."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        await super().subscribe(topics[:100])


class Registers(SmallBroker):
    """Each subscribe adds a receiver."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.receivers: Counter[str] = Counter()

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.receivers.update(topics)
        await super().subscribe(topics)

    async def receive(self, link: Link, inbox: Inbox) -> None:
        message = await link.receive()
        for _ in range(self.receivers[message[0]]):
            inbox.deliver(*message)


class Remembers(SmallBroker):
    """Subscribes again by itself in the next session."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.topics: list[str] = []

    async def connect(self) -> Link:
        link = await super().connect()
        await link.call("subscribe", self.topics)
        return link

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.topics += topics
        await super().subscribe(topics)


class MatchesBeginnings(Server):
    """Hands a message over under all that it begins with."""

    def names(self, topic: str, wanted: frozenset[str]) -> Sequence[str]:
        return [name for name in wanted if topic.startswith(name)]


class MapsTwoToOne(Server):
    def names(self, topic: str, wanted: frozenset[str]) -> Sequence[str]:
        return [name for name in wanted if name.replace(":", ".") == topic.replace(":", ".")]


# Messages


class Reverses(SmallBroker):
    async def publish(self, messages: Messages) -> None:
        await super().publish(messages[::-1])


class LosesTheEnd(SmallBroker):
    async def publish(self, messages: Messages) -> None:
        await super().publish(messages[:30])


class Decodes(SmallBroker):
    async def publish(self, messages: Messages) -> None:
        await super().publish([(topic, data.decode(errors="replace").encode()) for topic, data in messages])


class DropsEmpty(SmallBroker):
    async def publish(self, messages: Messages) -> None:
        if full := [message for message in messages if message[1]]:
            await super().publish(full)


class HandsOverArrays(SmallBroker):
    async def publish(self, messages: Messages) -> None:
        await super().publish([(topic, bytearray(payload)) for topic, payload in messages])  # type: ignore[misc]


class TakesLess(Server):
    """Closes the link on a payload that `ready()` said it takes."""

    def publish(self, publisher: Link, messages: Messages) -> None:
        if any(len(payload) > LIMIT_BYTES - 300 for _, payload in messages):
            publisher.abort()
        super().publish(publisher, messages)


class HasNoEcho(Server):
    def publish(self, publisher: Link, messages: Messages) -> None:
        topics, publisher.topics = publisher.topics, []
        super().publish(publisher, messages)
        publisher.topics = topics


class HasAQueueGroup(Server):
    """Each message goes to one of them."""

    def publish(self, publisher: Link, messages: Messages) -> None:
        links = self.links
        for topic, payload in messages:
            self.links = [link for link in links if topic in link.topics][:1]
            super().publish(publisher, [(topic, payload)])
        self.links = links


class HasNoPrefix(SmallBroker):
    async def connect(self) -> Link:
        self.prefix = ""
        return await super().connect()


class ClaimsPositions(SmallBroker):
    capabilities = Capabilities(positions=True)


class HasLists(SmallBroker):
    """For lanes."""

    def lane(self, topic: str) -> Hashable:
        return [topic]  # type: ignore[return-value]


class HasLanesByLink(SmallBroker):
    """Asked at any time."""

    def lane(self, topic: str) -> Hashable:
        return self.linked.prefix


# A session's life


class ReadyTwice(SmallBroker):
    async def receive(self, link: Link, inbox: Inbox) -> None:
        await super().receive(link, inbox)
        inbox.ready()


class NeverReady(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        await self.connect()
        await asyncio.sleep(3600)


class OnceOnly(SmallBroker):
    """Its client object can't be opened again."""

    is_used = False

    async def connect(self) -> Link:
        if self.is_used:
            raise BrokerLost("the client is closed")
        self.is_used = True
        return await super().connect()


class LeaksATask(SmallBroker):
    """Its keep-alive outlives the session."""

    async def run(self, inbox: Inbox) -> None:
        self.task = asyncio.create_task(asyncio.sleep(3600), name="keep-alive")
        await super().run(inbox)


class LeaksAFile(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        self.server.leaked.append(os.dup(0))
        await super().run(inbox)


class ReadsOn(SmallBroker):
    """Its reader does not know that the session is closed."""

    async def receive(self, link: Link, inbox: Inbox) -> None:
        link.on_message = inbox.deliver
        await asyncio.sleep(3600)

    async def close(self) -> None:
        self.link = None


class WaitsToClose(SmallBroker):
    """Says good-bye, and waits for the answer."""

    async def close(self) -> None:
        if self.link is not None and not self.link.is_lost:
            await self.link.call("hello")
        await super().close()


class FinishesWhatItBegan(SmallBroker):
    """Cancelled or not: for far longer than the suite waits, not so long that a loop which closes hangs on it."""

    async def publish(self, messages: Messages) -> None:
        try:
            await super().publish(messages)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)


class SurvivesCancellation(SmallBroker):
    """Takes it for an error of the connection."""

    async def run(self, inbox: Inbox) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await super().run(inbox)


class SwallowsTheLoss(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        with contextlib.suppress(BrokerLost):
            await super().run(inbox)
        await asyncio.sleep(3600)


class Returns(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        with contextlib.suppress(BrokerLost):
            await super().run(inbox)


class LetsItOut(SmallBroker):
    """The client library's exception, as it is."""

    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except BrokerLost:
            raise ConnectionResetError("reset by peer") from None


# Outages


class Reconnects(Remembers):
    """By itself: nobody is told of what came meanwhile."""

    async def receive(self, link: Link, inbox: Inbox) -> None:
        try:
            await super().receive(self.linked, inbox)
        except BrokerLost:
            await asyncio.sleep(0.05)
            await self.connect()


class Retries(SmallBroker):
    """Sends again in the next session what was not confirmed in the last."""

    unconfirmed: Messages = ()

    async def connect(self) -> Link:
        link = await super().connect()
        if self.unconfirmed:
            await link.call("publish", self.unconfirmed)
        return link

    async def publish(self, messages: Messages) -> None:
        self.unconfirmed = messages
        await super().publish(messages)
        self.unconfirmed = ()


class RefusesWhatIsInDoubt(SmallBroker):
    async def publish(self, messages: Messages) -> None:
        link = self.linked
        done = link.post("publish", messages)
        while not done.done():
            if link.is_lost:
                raise Refused(None)
            await asyncio.sleep(0)


class BelievesWhatItWrote(SmallBroker):
    """Returns from publish when the message is written."""

    async def publish(self, messages: Messages) -> None:
        self.linked.post("publish", messages)


class ClaimsToKeep(SmallBroker):
    capabilities = Capabilities(keeps_messages=True)

    async def run(self, inbox: Inbox) -> None:
        link = await self.connect()
        inbox.ready(kept=True)
        while True:
            await self.receive(link, inbox)
