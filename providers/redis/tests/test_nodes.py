"""Nodes on one server, which live through what happens to it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from servers.redis import RedisServer
from wigwag.testing.contract import open_session
from wigwag.testing.contract.checks import until
from wigwag_redis import RedisBroker, RedisSettings, RedisUrl

if TYPE_CHECKING:
    from conftest import MakeNode

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]


def broker_at(url: str, prefix: str = "ws") -> RedisBroker:
    return RedisBroker(RedisSettings(url=RedisUrl.parse(url), key_prefix=prefix))


@pytest.fixture
def server() -> Generator[RedisServer]:
    """One that the test may do anything with."""
    with RedisServer() as server:
        yield server


async def test_nodes_hear_each_other_text_and_binary(redis_server: RedisServer, make_node: MakeNode) -> None:
    one, two = await make_node(redis_server.url), await make_node(redis_server.url)
    sockets = [await node.join("both") for node in (one, two)]
    await one.provider.publish("both", "text ✓")
    await one.provider.publish("both", b"\0\xff")
    expected = ["text ✓", b"\0\xff"]
    await until(lambda: all(socket.messages == expected for socket in sockets), 5, "both messages, in order")


async def test_topics_are_back_after_a_restart_and_sockets_are_told(
    server: RedisServer, make_node: MakeNode
) -> None:
    node = await make_node(server.url)
    topics = [f"back:{number}" for number in range(2000)]
    socket = await node.join(*topics)
    await anyio.to_thread.run_sync(server.restart)
    await until(lambda: socket.resyncs, 20, "a word of what may have been missed")
    assert [sorted(topics) for topics in socket.resyncs] == [sorted(topics)]
    for topic in topics[::100]:
        await node.provider.publish(topic, topic)
    await until(lambda: len(socket.messages) == 20, 5, "messages on topics that are back")


async def test_a_server_that_hangs_is_found_and_the_topics_are_back(
    server: RedisServer, make_node: MakeNode
) -> None:
    node = await make_node(server.url, connect_timeout=0.2)
    socket = await node.join("lobby")
    server.pause()
    await until(lambda: node.provider.counters.sessions == 1 and not node.broker.pairs, 10, "the end of it")
    server.resume()
    await until(lambda: socket.resyncs, 10, "a word of what may have been missed")
    await node.provider.publish("lobby", "here again")
    await until(lambda: socket.messages == ["here again"], 5, "a message")


async def test_a_demoted_master_is_left(make_node: MakeNode) -> None:
    """Nodes of a fleet would otherwise each publish to themselves."""
    with RedisServer() as server:
        node = await make_node(server.url)
        socket = await node.join("lobby")
        server.command("REPLICAOF", "127.0.0.1", "1")
        await until(lambda: not node.broker.pairs, 10, "the end of the session")
        server.command("REPLICAOF", "NO", "ONE")
        await until(lambda: socket.resyncs, 10, "a word of what may have been missed")


async def test_messages_of_orijs_are_read(redis_server: RedisServer, make_node: MakeNode) -> None:
    node = await make_node(redis_server.url, key_prefix="orijs")
    socket = await node.join("lobby")
    redis_server.command(
        "PUBLISH", "orijs:lobby", '{"topic": "lobby", "message": "hello", "isBinary": false}'
    )
    await until(lambda: socket.messages == ["hello"], 5, "a message of OriJS")


async def test_messages_are_written_for_orijs(redis_server: RedisServer, make_node: MakeNode) -> None:
    node = await make_node(redis_server.url, key_prefix="orijs", envelope="json")
    async with open_session(broker_at(redis_server.url, "orijs")) as orijs:
        await orijs.subscribe("lobby")
        await node.provider.publish("lobby", "hello")
        await until(lambda: orijs.inbox.of("lobby"), 5, "a message for OriJS")
        assert b'"message":"hello"' in orijs.inbox.of("lobby")[0]
