"""A small correct broker over a server in the same process: what the conformance suite itself is tried on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from wigwag.broker import Broker, BrokerLost, Inbox

LIMIT_BYTES = 200_000

Call = tuple[str, Any, "asyncio.Future[None]"]


class Link:
    """One connection: calls go up in order and are answered; messages come down into a queue."""

    def __init__(self, server: Server, prefix: str, latency_s: float) -> None:
        self.server = server
        self.prefix = prefix
        self.topics: list[str] = []
        self.calls: deque[Call] = deque()
        self.messages: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self.arrived = 0
        self.is_lost = False
        self.on_message: Callable[[str, bytes], None] | None = None  # instead of the queue
        self._latency_s = latency_s
        server.links.append(self)

    def post(self, name: str, what: Any = None) -> asyncio.Future[None]:
        if self.is_lost:
            raise BrokerLost("the connection is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self.calls.append((name, what, done))
        loop.call_later(self._latency_s, self._arrive)
        return done

    def _arrive(self) -> None:
        """One more call has reached the server."""
        self.arrived += 1
        self.server.serve(self)

    async def call(self, name: str, what: Any = None) -> None:
        await self.post(name, what)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)

    def push(self, topic: str, payload: bytes) -> None:
        if self.on_message is None:
            self.messages.put_nowait((topic, payload))
        else:
            self.on_message(topic, payload)

    async def receive(self) -> tuple[str, bytes]:
        message = await self.messages.get()
        if message is None:
            raise BrokerLost("the connection was lost")
        return message

    def abort(self) -> None:
        self.is_lost = True
        self.calls.clear()
        self.messages.put_nowait(None)
        if self in self.server.links:
            self.server.links.remove(self)


class Server:
    """Takes calls link by link.  ``confirms`` False: does what it is asked and does not answer.

    ``leaked``: file descriptors that a faulty broker left.
    """

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.is_paused = False
        self.is_down = False
        self.confirms = True
        self.leaked: list[int] = []

    def serve(self, link: Link) -> None:
        while link.arrived and link.calls and not self.is_paused:
            link.arrived -= 1
            name, what, done = link.calls.popleft()
            getattr(self, name)(link, what)
            if self.confirms and not done.done():
                done.set_result(None)

    def hello(self, link: Link, _: object) -> None:
        pass

    def subscribe(self, link: Link, topics: Sequence[str]) -> None:
        link.topics += [topic for topic in topics if topic not in set(link.topics)]

    def unsubscribe(self, link: Link, topics: Sequence[str]) -> None:
        gone = set(topics)
        link.topics = [topic for topic in link.topics if topic not in gone]

    def publish(self, publisher: Link, messages: Sequence[tuple[str, bytes]]) -> None:
        hearers = [(link, frozenset(link.topics)) for link in self.links if link.prefix == publisher.prefix]
        for topic, payload in messages:
            for link, topics in hearers:
                for name in self.names(topic, topics):
                    link.push(name, payload)

    def names(self, topic: str, wanted: frozenset[str]) -> Sequence[str]:
        """Under which topics a link that wants these gets a message."""
        return (topic,) if topic in wanted else ()

    def cut(self, link: Link) -> None:
        link.abort()

    def resume(self) -> None:
        self.is_paused = False
        for link in list(self.links):
            self.serve(link)

    async def restart(self) -> None:
        """Dying, it still takes what comes, and says nothing of it any more."""
        self.confirms = False
        await asyncio.sleep(0.02)
        self.is_down = True
        for link in list(self.links):
            link.abort()
        await asyncio.sleep(0.05)
        self.is_down, self.confirms = False, True


class SmallBroker(Broker):
    """As a plugin's author would write it."""

    def __init__(self, server: Server, prefix: str = "wigwag", latency_s: float = 0.0) -> None:
        self.server = server
        self.prefix = prefix
        self.latency_s = latency_s
        self.link: Link | None = None

    @property
    def linked(self) -> Link:
        if self.link is None:
            raise BrokerLost("there is no connection")
        return self.link

    async def connect(self) -> Link:
        if self.server.is_down:
            raise BrokerLost("the connection is refused")
        self.link = Link(self.server, self.prefix, self.latency_s)
        await self.link.call("hello")
        return self.link

    async def run(self, inbox: Inbox) -> None:
        link = await self.connect()
        inbox.ready(max_payload_bytes=LIMIT_BYTES)
        while True:
            await self.receive(link, inbox)

    async def receive(self, link: Link, inbox: Inbox) -> None:
        inbox.deliver(*await link.receive())

    async def subscribe(self, topics: Sequence[str]) -> None:
        await self.linked.call("subscribe", topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        await self.linked.call("unsubscribe", topics)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        await self.linked.call("publish", messages)

    async def close(self) -> None:
        if self.link is not None:
            self.link.abort()
        self.link = None
