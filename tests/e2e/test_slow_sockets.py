"""A socket that stops reading among fifty that read (RACES.md, 11): nobody else's problem.

Everything goes in lockstep: a message is published when the healthy have the one before, so that nothing
depends on how fast this machine is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from typing import get_args

import pytest
from websockets.asyncio.client import ClientConnection, connect

from e2e.servers import SERVERS, Server, serving
from e2e.wire import LIMIT_S, RawClient, connecting, raw_client, wait_until
from e2e.world import World
from wigwag import Limits
from wigwag.sockets.limits import SlowPolicy

HEALTHY = 50
TOPICS = ("a", "b", "c")
PUBLISHED = 120
MESSAGE_BYTES = 8 * 1024
#: What waits for the stopped reader is far less than what is published: 32 messages, of 120.
SEND_BYTES = 32 * MESSAGE_BYTES
#: The kernel holds little, so that what waits, waits with us.
KERNEL_BYTES = 16 * 1024
#: Its writes are shielded from cancellation: it is done with a peer that does not read when that has gone.
WAITS_FOR_EVER = "hypercorn-trio"
#: Several times what all limits together come to.
ENDS_WITHIN_S = 12.0


def limits(policy: SlowPolicy) -> Limits:
    return Limits(slow=policy, send_bytes=SEND_BYTES, close_timeout_s=1)


def message(number: int) -> str:
    return f"{number:06}".ljust(MESSAGE_BYTES, ".")


class Publisher:
    """Publishes numbered messages to the topics in turn, and sees that the healthy have each."""

    def __init__(self, server: Server, world: World) -> None:
        self._server = server
        self._world = world
        self.most_bytes = 0

    async def publish(self, healthy: list[ClientConnection], count: int = PUBLISHED) -> None:
        slow = self._world.contexts["slow"].connection
        for number in range(count):
            self._server.run(self._world.publish, TOPICS[number % len(TOPICS)], message(number))
            self.most_bytes = max(self.most_bytes, slow.buffered_bytes)
            async with asyncio.timeout(LIMIT_S):
                received = [await client.recv() for client in healthy]
            assert received == [message(number)] * len(healthy)


async def join_all(client: ClientConnection) -> ClientConnection:
    for topic in TOPICS:
        await client.send(json.dumps({"type": "join", "data": topic, "correlationId": topic}))
        assert "error" not in json.loads(await client.recv())
    return client


async def among_healthy(server: Server, publisher: Publisher) -> None:
    async with AsyncExitStack() as stack:
        healthy = []
        for number in range(HEALTHY):
            url = f"{server.ws}/ws?user=healthy-{number}"
            opening = connect(url, compression=None, proxy=None, ping_interval=None)
            healthy.append(await join_all(await stack.enter_async_context(opening)))
        await publisher.publish(healthy)


@contextmanager
def stopped_reader(server: Server) -> Generator[RawClient]:
    """A client that joins the topics, and from then on does not read."""
    with raw_client(server.address, receive_buffer_bytes=4096) as slow:
        slow.handshake("/ws?user=slow")
        for topic in TOPICS:
            slow.say("join", topic, correlationId=topic)
            assert "error" not in slow.hear()
        yield slow


def read_until_dropped(slow: RawClient) -> tuple[list[int], int]:
    """Read again: the numbers of the messages that waited, and how many, we are told, were dropped."""
    numbers: list[int] = []
    while True:
        payload = slow.receive_message()
        if payload[:1] == b"{":
            event = json.loads(payload)
            assert event["name"] == "wigwag.dropped"
            return numbers, event["data"]["count"]
        numbers.append(int(payload[:6]))


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("policy", get_args(SlowPolicy))
def test_a_socket_that_stops_reading_is_nobody_elses_problem(name: str, policy: SlowPolicy) -> None:
    world = World(limits=limits(policy))
    with serving(name, world.app, send_buffer_bytes=KERNEL_BYTES) as server, stopped_reader(server) as slow:
        publisher = Publisher(server, world)
        asyncio.run(among_healthy(server, publisher))
        assert 0 < publisher.most_bytes <= (2 if policy == "latest" else 1) * SEND_BYTES
        wait_until(lambda: world.provider.connection_count() <= 1, "the healthy have gone")
        dropped = world.provider.counters.dropped
        assert set(dropped) == {policy}
        {"close": closed, "drop": dropping, "latest": keeping_latest}[policy](server, world, slow)


def closed(server: Server, world: World, slow: RawClient) -> None:
    if server.name == WAITS_FOR_EVER:
        slow.vanish()
    wait_until(lambda: world.provider.connection_count() == 0, "it is closed")
    assert ("slow", 1013, frozenset(TOPICS)) in world.closed
    assert world.provider.counters.closed["1013"] == 1
    assert world.provider.counters.dropped["close"] >= SEND_BYTES // MESSAGE_BYTES


def dropping(server: Server, world: World, slow: RawClient) -> None:
    numbers, count = read_until_dropped(slow)
    assert numbers == list(range(len(numbers)))
    assert count == PUBLISHED - len(numbers) == world.provider.counters.dropped["drop"]
    hears_again(server, world, slow)


def keeping_latest(server: Server, world: World, slow: RawClient) -> None:
    numbers, count = read_until_dropped(slow)
    assert numbers == list(range(len(numbers)))
    latest = {int(slow.receive_message()[:6]) for _ in TOPICS}
    assert latest == {PUBLISHED - 3, PUBLISHED - 2, PUBLISHED - 1}
    assert count == PUBLISHED - len(numbers) - len(TOPICS) == world.provider.counters.dropped["latest"]
    hears_again(server, world, slow)


def hears_again(server: Server, world: World, slow: RawClient) -> None:
    """It is a socket like any other now: live, and told by its drain handler."""
    wait_until(lambda: world.drained == ["slow"], "the drain handler")
    server.run(world.publish, "a", "again")
    assert slow.receive_message() == b"again"
    slow.say("echo", "and it answers", correlationId=1)
    assert slow.hear()["data"] == "and it answers"


def test_who_is_too_slow_for_its_direct_messages_is_closed_since_none_is_dropped() -> None:
    world = World(limits=limits("drop"))
    with (
        serving("uvicorn-sansio", world.app, send_buffer_bytes=KERNEL_BYTES) as server,
        stopped_reader(server),
    ):
        socket_id = world.contexts["slow"].id
        for number in range(4 * SEND_BYTES // MESSAGE_BYTES):
            server.run(world.provider.send, socket_id, message(number))
        wait_until(lambda: world.closed, "it is closed")
        assert world.closed[0][:2] == ("slow", 1013)


def test_who_asks_and_does_not_read_is_answered_when_it_reads() -> None:
    world = World(limits=limits("close"))
    count = 4 * SEND_BYTES // MESSAGE_BYTES
    with (
        serving("uvicorn-sansio", world.app, send_buffer_bytes=KERNEL_BYTES) as server,
        stopped_reader(server) as slow,
    ):
        for number in range(count):
            slow.say("echo", message(number), correlationId=number)
        wait_until(lambda: 2 * world.contexts["slow"].connection.buffered_bytes >= SEND_BYTES, "it waits")
        assert [slow.hear()["correlationId"] for _ in range(count)] == list(range(count))
        assert not world.closed


@pytest.mark.parametrize("name", [server for server in SERVERS if server.values[0] != WAITS_FOR_EVER])
def test_a_server_stops_within_its_limits_while_a_socket_does_not_read(name: str) -> None:
    world = World(limits=limits("drop"))
    option = {"timeout_graceful_shutdown": 1} if name.startswith("uvicorn") else {}
    with (
        serving(name, world.app, send_buffer_bytes=KERNEL_BYTES, **option) as server,
        stopped_reader(server),
        connecting(f"{server.ws}/ws?user=healthy") as client,
    ):
        client.ask("join", "other")
        for number in range(PUBLISHED):
            server.run(world.publish, "a", message(number))
        assert world.contexts["slow"].connection.buffered_bytes
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < ENDS_WITHIN_S
    assert not world.sockets._app.sessions
    assert world.provider.connection_count() == 0
    assert {user for user, _, _ in world.closed} == {"slow", "healthy"}
