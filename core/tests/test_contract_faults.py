"""The conformance suite passes a broker that is right, and says of each defect what is to be mended."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Iterator, Sequence

import anyio
import pytest

from small_broker import LIMIT_BYTES, Link, Server, SmallBroker
from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox, Refused
from wigwag.testing.contract import BrokerContract


class SmallContract(BrokerContract):
    """Every hook, over a server of its own."""

    broker_type: type[SmallBroker] = SmallBroker
    server_type: type[Server] = Server
    largest_payload_bytes = LIMIT_BYTES

    @functools.cached_property
    def server(self) -> Server:
        return self.server_type()

    def make_broker(self) -> Broker:
        return self.broker_type(self.server)

    def make_slow_broker(self) -> Broker:
        return self.broker_type(self.server, latency_s=0.001)

    def make_stranger(self) -> Broker:
        return self.broker_type(self.server, "stranger")

    async def cut_link(self, broker: Broker) -> None:
        assert isinstance(broker, SmallBroker)
        if broker.link is not None:
            self.server.cut(broker.link)

    async def pause_server(self) -> None:
        self.server.is_paused = True

    async def resume_server(self) -> None:
        self.server.resume()

    async def restart_server(self) -> None:
        await self.server.restart()


class TestSmallBroker(SmallContract):
    """What is right passes, every test of the suite."""


# What is wrong with subscribing


class ReturnsEarly(SmallBroker):
    """Writes the subscribe, and does not wait for its confirmation."""

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.linked.post("subscribe", topics)


class LeavesLate(SmallBroker):
    """Unsubscribes some time later, whoever has come meanwhile."""

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        link = self.linked
        asyncio.get_running_loop().call_later(0.003, lambda: link.is_lost or link.post("unsubscribe", topics))


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

    async def run(self, inbox: Inbox) -> None:
        link = await self.connect()
        inbox.ready()
        while True:
            message = await link.receive()
            for _ in range(self.receivers[message[0]]):
                inbox.deliver(*message)


class Remembers(SmallBroker):
    """Subscribes again by itself, as many clients do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.topics: list[str] = []

    async def connect(self) -> Link:
        link = await super().connect()
        await super().subscribe(self.topics)
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


# What is wrong with messages


class Reverses(SmallBroker):
    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await super().publish(messages[::-1])


class Throws(SmallBroker):
    """Takes a batch, and loses the end of a long one."""

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await super().publish(messages[:20])


class Decodes(SmallBroker):
    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await super().publish([(t, p.decode(errors="replace").encode()) for t, p in messages])


class DropsEmpty(SmallBroker):
    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await super().publish([message for message in messages if message[1]])


class HandsOverViews(SmallBroker):
    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await super().publish([(topic, bytearray(payload)) for topic, payload in messages])


class HasALimit(Server):
    """Takes less than `ready()` says, and closes the link on more."""

    def publish(self, publisher: Link, messages: Sequence[tuple[str, bytes]]) -> None:
        if any(len(payload) > LIMIT_BYTES - 300 for _, payload in messages):
            publisher.abort()
        super().publish(publisher, messages)


class HasNoEcho(Server):
    def publish(self, publisher: Link, messages: Sequence[tuple[str, bytes]]) -> None:
        topics, publisher.topics = publisher.topics, []
        super().publish(publisher, messages)
        publisher.topics = topics


class ToOneOfThem(Server):
    """A queue group."""

    def publish(self, publisher: Link, messages: Sequence[tuple[str, bytes]]) -> None:
        links = self.links
        for topic, payload in messages:
            self.links = [link for link in links if topic in link.topics][:1]
            super().publish(publisher, [(topic, payload)])
        self.links = links


class HasNoPrefix(SmallBroker):
    async def connect(self) -> Link:
        self.prefix = ""
        return await super().connect()


class LacksPositions(SmallBroker):
    capabilities = Capabilities(positions=True)


# What is wrong with a session's life


class ReadyTwice(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        inbox.ready()
        await super().run(inbox)


class NeverReady(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        await self.connect()
        await asyncio.sleep(3600)


class TakesAnythingForReady(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        raise BrokerLost("the connection is refused")


class LeaksATask(SmallBroker):
    """Its keep-alive outlives the session."""

    tasks: ClassVar[list[asyncio.Task[None]]] = []

    async def run(self, inbox: Inbox) -> None:
        self.tasks.append(asyncio.create_task(asyncio.sleep(3600), name="keep-alive"))
        await super().run(inbox)


class LeaksAFile(SmallBroker):
    files: ClassVar[list[int]] = []

    async def run(self, inbox: Inbox) -> None:
        self.files.append(os.dup(0))
        await super().run(inbox)


class ReadsOn(SmallBroker):
    """Closing does not close."""

    async def run(self, inbox: Inbox) -> None:
        link = await self.connect()
        inbox.ready()
        link.on_message = inbox.deliver
        await link.receive()

    async def close(self) -> None:
        self.link = None


class WaitsToClose(SmallBroker):
    """Says good-bye, and waits for the answer."""

    async def close(self) -> None:
        if self.link is not None and not self.link.is_lost:
            await self.link.call("hello")
        await super().close()


class IgnoresCancellation(SmallBroker):
    """Finishes what it began, however long it takes."""

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        with anyio.CancelScope(shield=True):
            await self.linked.call("publish", messages)
            if anyio.current_effective_deadline():  # pragma: no branch
                pass


class SwallowsTheLoss(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        with contextlib.suppress(BrokerLost):
            await super().run(inbox)
        await asyncio.sleep(3600)


class LetsItsErrorsOut(SmallBroker):
    async def run(self, inbox: Inbox) -> None:
        try:
            await super().run(inbox)
        except BrokerLost:
            raise ConnectionResetError("reset by peer") from None
