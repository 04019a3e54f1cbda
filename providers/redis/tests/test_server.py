"""Sessions with one server."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from servers.proxy import TcpProxy
from servers.redis import RedisServer
from wigwag.broker import Broker, BrokerLost, Position
from wigwag.errors import PayloadTooLarge
from wigwag.testing.contract import ContractSession, open_session
from wigwag.testing.contract.checks import until
from wigwag_redis import RedisBroker, RedisSettings, RedisUrl

if TYPE_CHECKING:
    from conftest import MakeNode

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]


def broker_at(url: str, prefix: str = "ws") -> RedisBroker:
    return RedisBroker(RedisSettings(url=RedisUrl.parse(url), key_prefix=prefix))


def subscribers(server: RedisServer, channel: str) -> int:
    return int(server.command("PUBSUB", "NUMSUB", channel).splitlines()[1])


async def ended(session: ContractSession) -> str:
    cause = await session.end()
    assert isinstance(cause, BrokerLost)
    assert "\n" not in str(cause)
    return str(cause)


@pytest.fixture
def server() -> Generator[RedisServer]:
    """One that the test may do anything with."""
    with RedisServer() as server:
        yield server


# Channels


async def test_the_channel_of_a_topic_is_the_prefix_and_the_topic(redis_server: RedisServer) -> None:
    async with open_session(broker_at(redis_server.url, "myapp:ws")) as session:
        await session.subscribe("lobby")
        assert subscribers(redis_server, "myapp:ws:lobby") == 1
        await session.unsubscribe("lobby")
        assert subscribers(redis_server, "myapp:ws:lobby") == 0


async def test_every_channel_is_confirmed_when_subscribe_returns(redis_server: RedisServer) -> None:
    topics = [f"confirmed:{number}" for number in range(500)]
    async with TcpProxy(redis_server.port) as proxy:
        proxy.delay_s = 0.01
        async with open_session(broker_at(f"redis://127.0.0.1:{proxy.port}")) as session:
            await session.subscribe(*topics)
            channels = [f"ws:{topic}" for topic in topics]
            counts = redis_server.command("PUBSUB", "NUMSUB", *channels).splitlines()[1::2]
            assert counts == ["1"] * len(topics)


async def test_two_prefixes_never_meet(redis_server: RedisServer) -> None:
    async with (
        open_session(broker_at(redis_server.url, "one")) as one,
        open_session(broker_at(redis_server.url, "two")) as two,
    ):
        for session in (one, two):
            await session.subscribe("lobby")
        await one.publish(("lobby", b"of one"))
        await two.publish(("lobby", b"of two"))
        await one.hear("lobby", b"of one")
        await two.hear("lobby", b"of two")
        assert (one.inbox.of("lobby"), two.inbox.of("lobby")) == ([b"of one"], [b"of two"])


async def test_payloads_arrive_bit_by_bit(redis_server: RedisServer) -> None:
    payloads = [b"", b"\0", b"\r\n", b"$3\r\nfoo\r\n", bytes(range(256)) * 9, os.urandom(3_000_000)]
    async with open_session(broker_at(redis_server.url)) as session:
        await session.subscribe("bits")
        await session.publish(*(("bits", payload) for payload in payloads))
        await session.hear("bits", payloads[-1])
        assert session.inbox.of("bits") == payloads


async def test_the_number_of_a_database_means_nothing(redis_server: RedisServer) -> None:
    async with (
        open_session(broker_at(f"{redis_server.url}/0")) as zero,
        open_session(broker_at(f"{redis_server.url}/7")) as seven,
    ):
        await zero.subscribe("lobby")
        await seven.publish(("lobby", b"from seven"))
        await zero.hear("lobby", b"from seven")


# The largest message


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        ((), 16 * 1024 * 1024),
        (("client-output-buffer-limit pubsub 0 0 0",), 512 * 1024 * 1024),
        (("client-output-buffer-limit pubsub 0 0 0", "proto-max-bulk-len 2mb"), 2 * 1024 * 1024),
        (("client-output-buffer-limit pubsub 4mb 1mb 60",), 2 * 1024 * 1024),
    ],
)
async def test_the_largest_message_is_what_subscribers_can_take(lines: tuple[str, ...], limit: int) -> None:
    with RedisServer(*lines) as server:
        async with open_session(broker_at(server.url)) as session:
            assert session.max_payload_bytes == limit


async def test_a_message_of_the_limit_arrives_and_a_larger_one_is_refused(make_node: MakeNode) -> None:
    with RedisServer("client-output-buffer-limit pubsub 2mb 0 0") as server:
        node = await make_node(server.url)
        socket = await node.join("large")
        await node.provider.publish("large", "x" * (1024 * 1024 - 100))
        await until(lambda: socket.messages, 5, "a large message")
        with pytest.raises(PayloadTooLarge, match="the broker takes at most 1048576"):
            await node.provider.publish("large", "x" * (1024 * 1024))
        assert node.provider.counters.sessions == 1


# The end of a session


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_losing_either_connection_ends_it(server: RedisServer, kind: str) -> None:
    async with open_session(broker_at(server.url)) as session:
        await session.subscribe("lobby")
        server.command("CLIENT", "KILL", "TYPE", kind)
        assert await ended(session) == (
            f"the link to 127.0.0.1:{server.port} is lost: the server closed the connection"
        )


async def test_it_ends_when_the_server_does(server: RedisServer) -> None:
    async with open_session(broker_at(server.url)) as session:
        await anyio.to_thread.run_sync(server.kill)
        assert f"the link to 127.0.0.1:{server.port} is lost" in await ended(session)


async def test_a_subscriber_that_is_too_slow_is_disconnected_and_knows(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 200kb 0 0")
    async with (
        TcpProxy(server.port) as proxy,
        open_session(broker_at(f"redis://127.0.0.1:{proxy.port}")) as slow,
        open_session(broker_at(server.url)) as publisher,
    ):
        await slow.subscribe("flood")
        proxy.stall()
        for _ in range(200):
            await publisher.publish(*[("flood", bytes(100_000))] * 4)
            if "sub=1" not in server.command("CLIENT", "LIST"):
                break
        else:
            pytest.fail("Redis never disconnected the subscriber")
        proxy.resume()
        assert "is lost" in await ended(slow)


async def test_a_master_that_becomes_a_replica_fails_the_check(server: RedisServer) -> None:
    async with open_session(broker_at(server.url)) as session:
        await session.check()
        server.command("REPLICAOF", "127.0.0.1", "1")
        # Publishing still works there, and so would a probe.
        await session.publish(("lobby", b"taken"))
        with pytest.raises(BrokerLost, match="is a replica: what is published elsewhere does not come here"):
            await session.check()


async def test_what_is_no_answer_to_anything_ends_it(server: RedisServer) -> None:
    """As a cluster's word that a slot has moved, or what a server says before it hangs up."""
    broker = broker_at(server.url)
    async with open_session(broker) as session:
        broker.pairs[0].sender.data_received(b"-ERR and now for something else\r\n")
        assert await ended(session) == (f"127.0.0.1:{server.port} ended it (ERR and now for something else)")


async def test_a_call_outside_of_a_session_says_so(server: RedisServer) -> None:
    broker: Broker = broker_at(server.url)
    for call in (
        broker.subscribe(["a"]),
        broker.unsubscribe(["a"]),
        broker.publish([("a", b"")]),
        broker.check(),
    ):
        with pytest.raises(BrokerLost, match="no session"):
            await call
    await broker.close()


# Nothing is left


async def test_a_cancelled_call_does_not_disturb_the_next(redis_server: RedisServer) -> None:
    async with open_session(broker_at(redis_server.url)) as session:
        for number in range(20):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(session.broker.subscribe, [f"cancelled:{number}", "again"])
                    tasks.start_soon(session.broker.publish, [("again", b"cancelled")] * 3)
                    await anyio.lowlevel.checkpoint()
                    scope.cancel()
            await session.subscribe(f"whole:{number}")
            await session.publish((f"whole:{number}", b"%d" % number))
            await session.hear(f"whole:{number}", b"%d" % number)


async def test_nothing_is_left_open(server: RedisServer) -> None:
    """Neither after a session, nor where run() was cancelled at any await."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turns in range(0, 40, 2):
            broker = broker_at(server.url)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_run, broker)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await broker.close()
            del broker
        gc.collect()
    assert not caught
    await until(lambda: server.command("CLIENT", "LIST").count("\n") <= 1, 5, "connections that are closed")


async def test_close_returns_when_all_is_closed(redis_server: RedisServer) -> None:
    broker = broker_at(redis_server.url)
    async with open_session(broker):
        links = [broker.pairs[0].sender, broker.pairs[0]._receiver]
        sockets = [link._transport.get_extra_info("socket") for link in links if link._transport is not None]
        assert [sock.fileno() > 0 for sock in sockets] == [True, True]
        await broker.close()
        assert [sock.fileno() for sock in sockets] == [-1, -1]


async def _run(broker: RedisBroker) -> None:
    await broker.run(Nobody())


class Nobody:
    """An inbox of whom nothing is asked."""

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None: ...

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None: ...

    def gap(self, topics: Sequence[str] | None = None) -> None: ...


async def test_close_does_not_wait_for_a_server_that_hangs(server: RedisServer) -> None:
    broker = broker_at(server.url)
    async with open_session(broker) as session:
        await session.subscribe("lobby")
        server.pause()
    # open_session fails where closing takes 2 s; what was not sent is not sent later.
    server.resume()
    await until(lambda: subscribers(server, "ws:lobby") == 0, 5, "its end at the server")
