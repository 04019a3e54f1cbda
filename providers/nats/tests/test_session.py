"""One session: what a return means, what a refusal says, and what never gets through."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from servers.nats import NatsCluster, NatsServer
from wigwag.broker import BrokerLost, Refused
from wigwag.testing.contract import ContractSession, open_session
from wigwag_nats import NatsBroker, NatsSettings, ServerUrl

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nats-server")]

TAKES_LITTLE = "max_payload: 2000"
FORBIDS = """
authorization {
  users = [
    {user: all, password: pw}
    {user: some, password: pw, permissions: {
      publish:   {allow: ["ws.>"], deny: ["ws.t.no/pub", "ws.t.Case"]}
      subscribe: {allow: ["ws.>"], deny: ["ws.t.no/sub", "ws.t.Case"]}
    }}
    {user: deaf, password: pw, permissions: {publish: "ws.>", subscribe: "ws.t.>"}}
    {user: dumb, password: pw, permissions: {publish: "ws.t.>", subscribe: "ws.>"}}
  ]
}
"""


def url_of(server: NatsServer, user: str | None = None) -> ServerUrl:
    login = f"{user}:pw@" if user else ""
    return ServerUrl.parse(f"nats://{login}127.0.0.1:{server.port}")


@asynccontextmanager
async def two(
    server: NatsServer, prefixes: tuple[str, str] = ("ws", "ws")
) -> AsyncGenerator[tuple[ContractSession, ContractSession]]:
    """Open the sessions of two nodes."""
    async with AsyncExitStack() as stack:
        a, b = [
            await stack.enter_async_context(
                open_session(NatsBroker(NatsSettings(servers=(url_of(server),), prefix=prefix)))
            )
            for prefix in prefixes
        ]
        yield a, b


async def test_what_is_published_once_subscribe_returned_arrives(nats_server: NatsServer) -> None:
    topics = [f"race:{number}" for number in range(500)]
    async with two(nats_server) as (a, b):
        for topic in topics:
            await b.subscribe(topic)
            await a.publish((topic, b"x"))
        await b.hear(topics[-1], b"x")
        assert [topic for topic, *_ in b.inbox.got] == topics


async def test_a_topic_is_one_token_whatever_its_dots(nats_server: NatsServer) -> None:
    topics = [".", "..", ".a", "a.", "a..b", "a.b", "a:b", "a-b_c", "__node__:x", "x" * 256, "." * 256]
    async with two(nats_server) as (a, b):
        await b.subscribe(*topics)
        await a.publish(*((topic, topic.encode()) for topic in topics))
        for topic in topics:
            await b.hear(topic, topic.encode())
        assert sorted(topic for topic, *_ in b.inbox.got) == sorted(topics)


@pytest.mark.parametrize("prefixes", [("ws", "ws2"), ("ws", "ws.t"), ("a", "a.t.t"), ("ws", "ws._sync")])
async def test_two_prefixes_never_meet(nats_server: NatsServer, prefixes: tuple[str, str]) -> None:
    topics = ["x", "t.x", "t", "t.t.x", "_sync"]
    async with two(nats_server, prefixes) as (a, b):
        for node in (a, b):
            await node.subscribe(*topics)
        await a.publish(*((topic, b"a") for topic in topics))
        await b.publish(*((topic, b"b") for topic in topics))
        for node, own in ((a, b"a"), (b, b"b")):
            await node.hear(topics[-1], own)
            assert [payload for _, payload, _ in node.inbox.got] == [own] * len(topics)


async def test_payloads_are_bit_exact_up_to_the_limit(nats_server: NatsServer) -> None:
    async with two(nats_server) as (a, b):
        limit = a.max_payload_bytes
        assert limit is not None
        assert limit == nats_server.info()["max_payload"]
        await b.subscribe("t")
        every = bytes(range(256))
        payloads = [b"", b"\0", b"\r\n", b"PING\r\n", every, (every * (limit // 256 + 1))[:limit]]
        await a.publish(*(("t", payload) for payload in payloads))
        await b.hear("t", payloads[-1])
        assert b.inbox.of("t") == payloads


async def test_the_limit_is_the_servers() -> None:
    with NatsServer(TAKES_LITTLE) as server:
        async with open_session(NatsBroker(NatsSettings(servers=(url_of(server),)))) as session:
            assert session.max_payload_bytes == 2000
            await session.publish(("t", b"x" * 2000))
            # Core does not do this. The server does not say which one it was, so the session is over.
            with pytest.raises(BrokerLost, match="Maximum Payload Violation"):
                await session.publish(("t", b"x" * 2001))


async def test_what_the_login_may_not_do_is_refused_alone() -> None:
    with NatsServer(FORBIDS) as server:
        settings = NatsSettings(servers=(url_of(server, "some"),))
        async with (
            open_session(NatsBroker(settings)) as some,
            open_session(NatsBroker(NatsSettings(servers=(url_of(server, "all"),)))) as witness,
        ):
            await witness.subscribe("yes", "no.pub", "case", "Case")
            with pytest.raises(Refused) as raised:
                await some.subscribe("yes", "no.sub", "case", "Case")
            assert raised.value.reasons is not None
            assert set(raised.value.reasons) == {"no.sub", "Case"}  # the server tells cases apart
            assert "Permissions Violation for Subscription" in raised.value.reasons["no.sub"]
            with pytest.raises(Refused) as raised:
                await some.publish(
                    ("yes", b"1"), ("no.pub", b"2"), ("Case", b"3"), ("no.pub", b"4"), ("case", b"5")
                )
            assert raised.value.reasons is not None
            assert set(raised.value.reasons) == {1, 2, 3}
            assert "Permissions Violation for Publish" in raised.value.reasons[1]
            await witness.hear("case", b"5")
            assert [payload for _, payload, _ in witness.inbox.got] == [b"1", b"5"]
            # The session lives, what was live is live, and a refusal does not stick to the next call.
            await some.publish(("yes", b"6"))
            await some.hear("yes", b"6")
            with pytest.raises(Refused):
                await some.subscribe("no.sub")


@pytest.mark.parametrize("user", ["deaf", "dumb"])
async def test_a_login_that_can_confirm_nothing_is_told_what_to_allow(user: str) -> None:
    with NatsServer(FORBIDS) as server:
        broker = NatsBroker(NatsSettings(servers=(url_of(server, user),)))
        with pytest.raises(BrokerLost, match=r"allow it to publish and to subscribe on ws\.>") as raised:
            await broker.run(Unready())
        await broker.close()
        assert "\n" not in str(raised.value)


async def test_a_live_topic_that_becomes_forbidden_ends_the_session() -> None:
    """The server has taken it away; core must know, and only a session that begins anew tells it all."""
    with NatsServer(FORBIDS.replace(', "ws.t.Case"', "")) as server:
        async with open_session(NatsBroker(NatsSettings(servers=(url_of(server, "some"),)))) as session:
            await session.subscribe("Case")
            config = server.directory / "nats.conf"
            config.write_text(FORBIDS)
            server.send(signal.SIGHUP)
            assert isinstance(await session.end(), BrokerLost)


async def test_too_many_subscriptions_are_refused_one_by_one_and_the_rest_are_live_once() -> None:
    topics = [f"t:{number}" for number in range(6)]
    with NatsServer("max_subscriptions: 5") as server:
        async with two(server) as (a, b):
            with pytest.raises(Refused) as raised:
                await b.subscribe(*topics)
            assert raised.value.reasons is None  # ask one by one
            refused: dict[str, str] = {}
            for topic in topics:
                try:
                    await b.subscribe(topic)
                except Refused as exc:
                    refused |= exc.reasons or {}
            assert refused == dict.fromkeys(topics[4:], "maximum subscriptions exceeded")
            await a.publish(*((topic, b"x") for topic in topics))
            await b.hear(topics[3], b"x")
            await b.publish((topics[0], b"end"))
            await b.hear(topics[0], b"end")
            assert [topic for topic, *_ in b.inbox.got] == [*topics[:4], topics[0]]


async def test_a_message_with_headers_has_its_payload(nats_server: NatsServer) -> None:
    """A stranger's; whether the payload is wigwag's is core's to judge."""
    async with two(nats_server) as (a, _):
        await a.subscribe("t")
        headers = b"NATS/1.0\r\nA: b\r\n\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
        writer.write(b'CONNECT {"headers":true}\r\nHPUB ws.t.t %d %d\r\n' % (len(headers), len(headers) + 5))
        writer.write(headers + b"hello\r\nPING\r\n")
        await a.hear("t", b"hello")
        writer.transport.abort()


class Unready:
    """An inbox for a session that must not become ready."""

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        raise AssertionError("the session became ready")

    def deliver(self, topic: str, payload: bytes, position: object = None) -> None:
        raise AssertionError(f"{topic} was delivered")

    def gap(self, topics: object = None) -> None:
        raise AssertionError("a gap")


# A server of our own, which says what a real one would not

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
INFO = b'INFO {"server_id":"X","version":"2.10.0","max_payload":1048576,"proto":1}\r\n'


@asynccontextmanager
async def fake_server(talk: Talk) -> AsyncGenerator[NatsSettings]:
    """Listen, and talk to each client so; yield settings that lead there."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await talk(reader, writer)
            await reader.read()
        except ConnectionError:
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield NatsSettings(servers=(ServerUrl("127.0.0.1", port),), connect_timeout=5)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Shake hands, take the session's first token, and return its subject."""
    writer.write(INFO)
    while await reader.readline() != b"PING\r\n":
        pass
    writer.write(b"PONG\r\n")
    subject = (await reader.readline()).split()[1]
    await reader.readline()
    await reader.readline()
    return subject


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"-ERR 'Stale Connection'\r\n", "Stale Connection"),
        (b"-ERR 'Slow Consumer'\r\n", "Slow Consumer"),
        (b"-ERR 'User Authentication Expired'\r\n", "User Authentication Expired"),
        (b"-ERR 'maximum connections exceeded'\r\n", "maximum connections exceeded"),
        (b"-ERR 'go\x1b[31m\naway " + b"y" * 5000 + b"'\r\n", "session: go?[31m away yyy"),
        (b"-ERR\r\n", "the NATS server ended the session"),
        (b'-ERR \'Permissions Violation for Subscription to "ws.t.x" (sid "7")\'\r\n', "ws.t.x"),
        (b"MSG a\r\n", "number of words"),
        (b"\xff\xfe\r\n", "not NATS"),
        (b"INFO " + b"x" * 200_000, "65536 bytes"),
        (b"", "closed the link"),
    ],
)
async def test_whatever_else_a_server_says_ends_the_session_with_one_line(said: bytes, says: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = await greet(reader, writer)
        writer.write(b"MSG %b sync 5\r\nfirst\r\n" % subject)
        await reader.readuntil(b"PUB ws.t.t")
        writer.write(said)
        if not said:
            writer.close()

    async with fake_server(talk) as settings, open_session(NatsBroker(settings)) as session:
        with pytest.raises(BrokerLost) as raised:
            await session.publish(("t", b""))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


async def test_a_server_is_answered_and_its_news_do_not_matter() -> None:
    answered = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = await greet(reader, writer)
        writer.write(b'+OK\r\nPONG\r\nINFO {"ldm":true}\r\nPING\r\nMSG %b sync 5\r\nfirst\r\n' % subject)
        assert await reader.readline() == b"PONG\r\n"
        answered.set()

    async with fake_server(talk) as settings, open_session(NatsBroker(settings)) as session:
        await asyncio.wait_for(answered.wait(), 5)
        assert not session.is_over


async def test_what_comes_with_the_handshake_is_not_lost() -> None:
    """nats-py reads lines; what comes in the same packet as the last of them is in its reader."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while await reader.readline() != b"PING\r\n":
            pass
        writer.write(b"PONG\r\nPING\r\nMSG ws.t.early x 2\r\nhi\r\n")
        assert (await reader.readline()).startswith(b"SUB ")

    async with fake_server(talk) as settings:
        heard = asyncio.Event()

        class Inbox(Unready):
            def deliver(self, topic: str, payload: bytes, position: object = None) -> None:
                assert (topic, payload) == ("early", b"hi")
                heard.set()

        broker = NatsBroker(settings)
        running = asyncio.create_task(broker.run(Inbox()))
        await asyncio.wait_for(heard.wait(), 5)
        running.cancel()
        await asyncio.wait([running])
        await broker.close()


async def test_a_token_of_another_session_confirms_nothing() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = await greet(reader, writer)
        writer.write(b"MSG %b sync 5\r\nfirst\r\n" % subject)
        await reader.readuntil(b"PUB ")
        for token in (b"99", b"", b"first", b"x"):
            writer.write(b"MSG %b sync %d\r\n%b\r\n" % (subject, len(token), token))
        writer.write(b"MSG ws._sync.other sync 1\r\n1\r\n")
        writer.close()

    async with fake_server(talk) as settings, open_session(NatsBroker(settings)) as session:
        with pytest.raises(BrokerLost):
            await session.subscribe("t")


async def missed_through_another_server(cluster: NatsCluster, settle_s: float | None, rounds: int) -> int:
    """How many of so many messages pass a subscriber by, each published elsewhere once it has subscribed."""
    here, there = (NatsSettings(servers=(url_of(server),), settle_s=settle_s) for server in cluster.nodes[:2])
    async with (
        open_session(NatsBroker(here)) as subscriber,
        open_session(NatsBroker(there)) as publisher,
    ):
        topics = [f"t{number}" for number in range(rounds)]
        for topic in topics:
            await subscriber.subscribe(topic)
            await publisher.publish((topic, b"x"))
        # On the same connections, behind all that is on its way.
        await subscriber.subscribe("end")
        with anyio.fail_after(10):
            while not subscriber.has_heard(b"end", ["end"]):
                await publisher.publish(("end", b"end"))
        return sum(not subscriber.has_heard(b"x", [topic]) for topic in topics)


async def test_in_a_cluster_a_subscription_has_time_to_become_known_to_the_other_servers() -> None:
    with NatsCluster(3) as cluster:
        assert await missed_through_another_server(cluster, 0, rounds=100) > 0, "there is nothing to wait for"
        assert await missed_through_another_server(cluster, None, rounds=20) == 0
