"""A node's numbers, for the page of the stock service: one small event a second, for sockets that ask for it.

They are what the provider counts anyway, read when somebody watches: a message costs no more, and while nobody
watches nothing runs.  The event goes to the sockets that asked, on this node, past the broker, and is not counted.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import msgspec

from wigwag.errors import Forbidden, SocketError
from wigwag.interfaces import WebSocketProvider
from wigwag.messages import ServerMessage, SocketMessage, encode_message
from wigwag.provider import Provider
from wigwag.provider.signal import Signal
from wigwag.sockets import MessageRegistry, SocketContext

#: The time between two events.
INTERVAL_S: Final = 1.0
#: Of how many topics the event tells the names: it stays small, and takes as long whether there are 50 or a million.
MOST_TOPICS: Final = 50

NO_STATS: Final = "No statistics here"


class SubscribeStats(ServerMessage, name="stats.subscribe"):
    """A client asks for the node's numbers: at once in the reply, and from then on each second."""


class UnsubscribeStats(ServerMessage, name="stats.unsubscribe"):
    """A client asks for them no longer."""


class TopicStats(msgspec.Struct):
    """A topic, and how many sockets of this node want it."""

    topic: str
    sockets: int


class NodeStats(SocketMessage, name="wigwag.stats", rename="camel"):
    """What a node has, and what it has counted since it started.

    The counts only grow: a rate is the difference of two of them by that of their ``uptime_s``, of one ``node``.
    """

    #: The node's tag, another one after each start; and its provider's name.
    node: str
    provider: str
    #: Whether messages can be delivered here: the broker session is ready, and heard.
    is_up: bool
    #: For how long it has been running, by a clock that is never set.
    uptime_s: float
    #: Sockets that hang on this node, topics that any of them wants, and pairs of the two.
    connections: int
    topics: int
    subscriptions: int
    #: Messages from clients, of all kinds.
    received: int
    #: Publishes, sends and broadcasts that this node was asked for, by clients or over HTTP.
    published: int
    #: Messages handed to its sockets, once for each.
    delivered: int
    #: Messages that a slow socket did not get.
    dropped: int
    #: The topics, or of more than ``MOST_TOPICS`` those that were wanted first.
    some_topics: list[TopicStats]


class Stats:
    """Who watches, and what they are told.

    ``provider`` is asked for when it is needed: that of ``Sockets`` may be there only once they have started.
    ``may_watch(ctx)`` says who may watch, and whether still; without it, whoever is connected.
    """

    def __init__(
        self,
        provider: Callable[[], WebSocketProvider],
        may_watch: Callable[[SocketContext[Any, Any]], bool] | None = None,
    ) -> None:
        self._provider = provider
        self._may_watch = may_watch or _anyone
        self._watchers: dict[str, SocketContext[Any, Any]] = {}
        self._came = Signal()
        self._started_at: float | None = None

    def add_to(self, registry: MessageRegistry[Any]) -> None:
        """Have the registry handle the messages by which a socket begins to watch, and ends."""
        registry.on(SubscribeStats, self._subscribe)
        registry.on(UnsubscribeStats, self._unsubscribe)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Tell the watchers, for as long as the block runs; within the life of the provider."""
        self._started_at = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            yield
            tasks.cancel_scope.cancel()
        self._started_at = None
        self._watchers.clear()

    async def _subscribe(self, ctx: SocketContext[Any, Any], message: SubscribeStats) -> NodeStats:
        if not self._may_watch(ctx):
            raise Forbidden
        stats = self._read()
        if stats is None:
            raise SocketError(NO_STATS)
        self._watchers[ctx.id] = ctx
        self._came.set()
        return stats

    async def _unsubscribe(self, ctx: SocketContext[Any, Any], message: UnsubscribeStats) -> None:
        self._watchers.pop(ctx.id, None)

    async def _run(self) -> None:
        while True:
            if not self._watchers:
                await self._came.wait()
            await anyio.sleep(INTERVAL_S)
            self._tell()

    def _tell(self) -> None:
        # Here rather than in a close handler, which every socket would pay for.
        self._watchers = {
            at: ctx
            for at, ctx in self._watchers.items()
            if not ctx.connection.is_closing and self._may_watch(ctx)
        }
        stats = self._read() if self._watchers else None
        if stats is None:
            return
        event = encode_message(stats).decode()
        for ctx in self._watchers.values():
            # Who does not keep up gets the next one, which says it all; nobody is closed for being slow here.
            if not ctx.connection.buffered_bytes:
                ctx.send(event)

    def _read(self) -> NodeStats | None:
        """The numbers now; None where nothing runs, or the provider is not wigwag's own."""
        provider = self._provider()
        if self._started_at is None or not isinstance(provider, Provider) or provider.node is None:
            return None
        node = provider.node
        counters, interest = provider.counters, node.fanout.interest
        return NodeStats(
            node=node.tag,
            provider=provider.name,
            is_up=node.is_up,
            uptime_s=round(anyio.current_time() - self._started_at, 3),
            connections=len(node.fanout.sockets),
            topics=len(interest),
            subscriptions=interest.subscriptions,
            received=counters.received,
            published=counters.published,
            delivered=counters.delivered,
            dropped=sum(counters.dropped.values()),
            some_topics=[
                TopicStats(topic, len(interest.sockets(topic)))
                for topic in itertools.islice(interest.topics(), MOST_TOPICS)
            ],
        )


def _anyone(ctx: SocketContext[Any, Any]) -> bool:
    return True
