"""A node of OriJS's and one of ours on the same Redis, as in a fleet that moves from one to the other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import anyio
import pytest
import redis.asyncio

from fleets.fleet import until
from fleets.grounds import SETTINGS
from servers.redis import RedisServer
from wigwag.broker import EnvelopeFormat
from wigwag.provider import Provider
from wigwag.testing import FakeSocket
from wigwag_redis import RedisBroker, RedisSettings, RedisUrl

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]

PREFIX = "ws:"
BROADCAST = "__broadcast__"
BINARY = bytes(range(256))
COUNT = 200


class OrijsNode:
    """What such a node does on Redis: plain pub/sub, and one JSON object a message.

    It takes the topic from the object, and skips what it can't read; ``skipped`` is what it would have logged.
    """

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.asyncio.Redis.from_url(url)
        self._pubsub: Any = self._redis.pubsub(ignore_subscribe_messages=True)
        self._task: asyncio.Task[None] | None = None
        self.heard: list[tuple[str, str | bytes]] = []
        self.skipped: list[str] = []

    async def __aenter__(self) -> Self:
        await self.subscribe(BROADCAST)
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._pubsub.aclose()
        await self._redis.aclose()

    async def subscribe(self, topic: str) -> None:
        """Subscribe; the server has done so when this returns."""
        await self._pubsub.subscribe(f"{PREFIX}{topic}")

        async def is_there() -> bool:
            return bool(
                dict(await self._redis.pubsub_numsub(f"{PREFIX}{topic}"))[f"{PREFIX}{topic}".encode()]
            )

        with anyio.fail_after(5):
            while not await is_there():
                await anyio.lowlevel.checkpoint()

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Publish as its provider does."""
        is_binary = isinstance(message, bytes)
        text = base64.b64encode(message).decode() if isinstance(message, bytes) else message
        envelope = {"topic": topic, "message": text, "isBinary": is_binary}
        await self._redis.publish(f"{PREFIX}{topic}", json.dumps(envelope))

    async def broadcast(self, message: str | bytes) -> None:
        """To all sockets of all nodes."""
        await self.publish(BROADCAST, message)

    async def _listen(self) -> None:
        async for event in self._pubsub.listen():
            try:
                self.heard.append(self._read(event["data"]))
            except (ValueError, TypeError, KeyError) as exc:
                self.skipped.append(repr(exc))

    def _read(self, data: bytes) -> tuple[str, str | bytes]:
        envelope = json.loads(data)
        topic, message, is_binary = envelope["topic"], envelope["message"], envelope["isBinary"]
        if type(topic) is not str or type(message) is not str or type(is_binary) is not bool:
            raise TypeError(envelope)
        return topic, base64.b64decode(message, validate=True) if is_binary else message


@contextlib.asynccontextmanager
async def both(
    server: RedisServer, envelope: EnvelopeFormat
) -> AsyncIterator[tuple[OrijsNode, Provider, FakeSocket]]:
    """A node of each kind; ours with a socket in the lobby, theirs with the lobby subscribed."""
    # The key prefix is not set: both have the same default.
    broker = RedisBroker(RedisSettings(url=RedisUrl.parse(server.url), envelope=envelope))
    async with OrijsNode(server.url) as orijs, Provider(broker, settings=SETTINGS) as provider:
        socket = FakeSocket(provider.new_socket_id())
        socket.on_close = lambda: provider.detach(socket.id)
        provider.attach(socket)
        await provider.subscribe(socket.id, "lobby")
        await until(lambda: provider.node is not None and provider.node.is_up, "our link", 5)
        await orijs.subscribe("lobby")
        yield orijs, provider, socket


@pytest.mark.parametrize("envelope", ["compact", "json"])
@pytest.mark.parametrize(
    "message", ["hello", "", 'ünï ☃ "quoted" \\ \x00', BINARY, b"", b"\xff\xfe"], ids=repr
)
async def test_our_sockets_get_what_orijs_publishes(
    redis_server: RedisServer, envelope: EnvelopeFormat, message: str | bytes
) -> None:
    async with both(redis_server, envelope) as (orijs, provider, socket):
        await orijs.publish("lobby", message)
        await orijs.broadcast(message)
        await until(lambda: len(socket.messages) == 2, "both messages", 5)
        assert socket.messages == [message, message]
        assert not provider.counters.foreign


@pytest.mark.parametrize(
    "message", ["hello", "", 'ünï ☃ "quoted" \\ \x00', BINARY, b"", b"\xff\xfe"], ids=repr
)
async def test_orijs_reads_what_we_publish_in_its_envelope(
    redis_server: RedisServer, message: str | bytes
) -> None:
    async with both(redis_server, "json") as (orijs, provider, socket):
        await provider.publish("lobby", message)
        await provider.publish("lobby", message, exclude=socket.id)
        await provider.broadcast(message)
        await until(lambda: len(orijs.heard) == 3, "all messages", 5)
        assert orijs.heard == [("lobby", message), ("lobby", message), (BROADCAST, message)]
        await until(lambda: len(socket.messages) == 2, "our own", 5)
        assert socket.messages == [message, message]


async def test_both_ways_at_once_and_in_order(redis_server: RedisServer) -> None:
    async with both(redis_server, "json") as (orijs, provider, socket):

        async def ours() -> None:
            for number in range(COUNT):
                await provider.publish("lobby", f"ours {number}" if number % 2 else b"ours %d" % number)

        async def theirs() -> None:
            for number in range(COUNT):
                await orijs.publish("lobby", f"theirs {number}" if number % 2 else b"theirs %d" % number)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ours)
            tasks.start_soon(theirs)
        await until(lambda: len(socket.messages) == len(orijs.heard) == 2 * COUNT, "all, on both", 5)
        for heard in (socket.messages, [message for _, message in orijs.heard]):
            for who in ("ours", "theirs"):
                mine = [m for m in heard if who in (m if isinstance(m, str) else m.decode())]
                expected = [f"{who} {n}" if n % 2 else f"{who} {n}".encode() for n in range(COUNT)]
                assert mine == expected


@pytest.mark.parametrize("envelope", ["compact", "json"])
async def test_what_our_nodes_say_to_each_other_does_no_harm_to_orijs(
    redis_server: RedisServer, envelope: EnvelopeFormat
) -> None:
    async with both(redis_server, envelope) as (orijs, provider, socket):
        await orijs.subscribe(f"__node__:{socket.id[:8]}")  # which it would not: our probes go there
        assert list((await provider.count_topic("lobby")).values()) == [1]  # a question to all nodes
        await provider.disconnect_user("nobody")
        await until(lambda: len(orijs.skipped) >= 3, "a probe and two commands", 5)
        assert not orijs.heard
        await orijs.publish("lobby", "still there")
        await until(lambda: socket.messages == ["still there"], "a message after that", 5)
        await until(lambda: orijs.heard == [("lobby", "still there")], "their own message", 5)


async def test_what_is_none_of_ours_on_the_channel_is_counted_and_skipped(redis_server: RedisServer) -> None:
    async with both(redis_server, "json") as (orijs, provider, socket):
        strange = [
            b"not json",
            b"{",
            b"[]",
            b'{"topic":"lobby","message":1,"isBinary":false}',
            b'{"topic":"lobby","message":"***","isBinary":true}',
            b'{"topic":"other","message":"of another channel","isBinary":false}',
            b'{"topic":"lobby","isBinary":false}',
            b"\x95\x01",
        ]
        for payload in strange:
            await orijs._redis.publish(f"{PREFIX}lobby", payload)
        await orijs.publish("lobby", "the last")
        await until(lambda: socket.messages == ["the last"], "what is a message", 5)
        assert sum(provider.counters.foreign.values()) == len(strange)
