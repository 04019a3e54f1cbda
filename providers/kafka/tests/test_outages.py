"""Outages under a real provider: what Kafka has kept is delivered, and what it has not is told."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from servers.kafka import PASSWORD, USER, KafkaServer
from servers.kafka.admin import KafkaAdmin
from servers.process import HOST, HeldPort
from servers.proxy import TcpProxy
from wigwag.errors import PublishError
from wigwag.node import BROADCAST_CHANNEL
from wigwag.provider import Provider, ProviderSettings
from wigwag.settings import Secret
from wigwag.testing import FakeSocket
from wigwag.testing.contract import open_session
from wigwag_kafka import Address, KafkaBroker, KafkaSettings

pytestmark = [pytest.mark.anyio, pytest.mark.needs("kafka")]

LIMIT_S = 20.0
SHORT = ProviderSettings(
    linger_s=0.05,
    probe_interval_s=0.1,
    probe_timeout_s=0.5,
    session_timeout_s=3.0,
    backoff_base_s=0.05,
    backoff_cap_s=0.2,
    stop_timeout_s=0.1,
)
#: Enough that each of four partitions has some.
TOPICS = [f"room:{n}" for n in range(8)]


@pytest.fixture(scope="module")
def server() -> Generator[KafkaServer]:
    """One of this module's own, since it is killed; its plain listener is behind a proxy."""
    with contextlib.closing(HeldPort()) as held:
        server = KafkaServer(listeners=["sasl_plain"])
        server.advertised_port = held.number
        with server:
            yield server


class NearAdmin(KafkaAdmin):
    """An administrator that does not go through the proxy."""

    def __init__(self, server: KafkaServer) -> None:
        self._client = AIOKafkaAdminClient(**server.client_options("sasl_plain"))


class Fleet:
    """A node whose link goes through a proxy, and another that is always in touch."""

    def __init__(self, server: KafkaServer, topic: str, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.topic = topic
        self.server = server
        self.far_broker = KafkaBroker(
            KafkaSettings(
                bootstrap_servers=(Address(f"{HOST}:{proxy.port}"),),
                topic=topic,
                partitions=4,
                request_timeout_s=0.3,
            )
        )
        self.far = Provider(self.far_broker, settings=SHORT)
        self.near = Provider(self.new_near_broker(), settings=SHORT)

    def new_near_broker(self, **settings: Any) -> KafkaBroker:
        """One that is always in touch."""
        return KafkaBroker(
            KafkaSettings(
                bootstrap_servers=(Address(self.server.bootstrap_of("sasl_plain")),),
                topic=self.topic,
                partitions=4,
                security_protocol="SASL_PLAINTEXT",
                sasl_username=USER,
                sasl_password=Secret(PASSWORD),
                **settings,
            )
        )

    def admin(self) -> KafkaAdmin:
        return NearAdmin(self.server)

    async def join(self, *topics: str) -> FakeSocket:
        """A new socket of the far node."""
        socket = FakeSocket(self.far.new_socket_id())
        self.far.attach(socket)
        await self.far.subscribe(socket.id, *topics)
        return socket

    async def publish(self, first: int, count: int, topics: list[str] = TOPICS) -> list[str]:
        """Numbered messages on each topic, from the near node."""
        for number in range(first, first + count):
            for topic in topics:
                await self.near.publish(topic, f"{topic} {number}")
        return [f"{topic} {number}" for number in range(first, first + count) for topic in topics]

    @contextlib.asynccontextmanager
    async def outage(self) -> AsyncGenerator[None]:
        """The far node has no link in here, and knows it."""
        self.proxy.cut(refuse=True)
        await until(lambda: not is_up(self.far))
        yield
        self.proxy.refuse = False
        await until(lambda: is_up(self.far))


@pytest.fixture
async def fleet(server: KafkaServer, topic_name: str) -> AsyncGenerator[Fleet]:
    assert server.advertised_port is not None
    async with TcpProxy(server.port, server.advertised_port) as proxy:
        fleet = Fleet(server, topic_name, proxy)
        async with fleet.near, fleet.far:
            await until(lambda: is_up(fleet.near) and is_up(fleet.far))
            yield fleet


def is_up(provider: Provider) -> bool:
    return provider.node is not None and provider.node.is_up


async def until(holds: Callable[[], object]) -> None:
    with anyio.fail_after(LIMIT_S):
        while not holds():  # noqa: ASYNC110
            await anyio.sleep(0.005)


def per_topic(messages: list[str | bytes]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for message in messages:
        topic, _, number = str(message).rpartition(" ")
        found.setdefault(topic, []).append(number)
    return found


async def test_an_outage_loses_nothing_and_nobody_is_told(fleet: Fleet) -> None:
    socket = await fleet.join(*TOPICS)
    await fleet.publish(0, 3)
    await until(lambda: len(socket.messages) == 3 * len(TOPICS))
    async with fleet.outage():
        await fleet.publish(3, 20)
    await fleet.publish(23, 3)
    await until(lambda: len(socket.messages) >= 26 * len(TOPICS))
    assert per_topic(socket.messages) == {topic: [str(n) for n in range(26)] for topic in TOPICS}
    assert socket.resyncs == []
    assert fleet.far.counters.sessions == 2


async def test_who_comes_in_an_outage_gets_what_is_published_from_then_on(fleet: Fleet) -> None:
    await fleet.join(TOPICS[0])
    async with fleet.outage():
        await fleet.publish(0, 5)
        newcomer = FakeSocket(fleet.far.new_socket_id())
        fleet.far.attach(newcomer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.far.subscribe, newcomer.id, *TOPICS[1:])
            await anyio.lowlevel.checkpoint()
            fleet.proxy.refuse = False
    await fleet.publish(5, 1, TOPICS[1:])
    await until(lambda: len(newcomer.messages) >= len(TOPICS) - 1)
    assert per_topic(newcomer.messages) == {topic: ["5"] for topic in TOPICS[1:]}


async def test_who_left_in_an_outage_is_read_for_no_longer(fleet: Fleet) -> None:
    stays, leaves = await fleet.join(TOPICS[0]), await fleet.join(*TOPICS)
    read = set(fleet.far_broker._positions.next)
    async with fleet.outage():
        fleet.far.detach(leaves.id)
        await fleet.publish(0, 2)
    await until(lambda: len(stays.messages) == 2)
    # The probes of the lanes that had topics go with the session.
    await until(lambda: set(fleet.far_broker._positions.next) < read)
    assert leaves.messages == []


async def test_outage_after_outage(fleet: Fleet) -> None:
    socket = await fleet.join(*TOPICS)
    for start in range(0, 20, 5):
        async with fleet.outage():
            await fleet.publish(start, 5)
    await until(lambda: len(socket.messages) >= 20 * len(TOPICS))
    assert per_topic(socket.messages) == {topic: [str(n) for n in range(20)] for topic in TOPICS}
    assert socket.resyncs == []


async def test_a_kill_and_a_restart_lose_nothing_that_was_taken(server: KafkaServer, fleet: Fleet) -> None:
    socket = await fleet.join("a")
    taken: list[str] = []
    over = anyio.Event()

    async def publish() -> None:
        number = 0
        while not over.is_set():
            with contextlib.suppress(PublishError):
                await fleet.near.publish("a", f"a {number}")
                taken.append(str(number))
            number += 1
            await anyio.sleep(0.002)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish)
        await until(lambda: len(taken) > 20)
        await anyio.to_thread.run_sync(server.kill)
        await until(lambda: not is_up(fleet.near) and not is_up(fleet.far))
        await anyio.to_thread.run_sync(server.start)
        await until(lambda: is_up(fleet.near) and is_up(fleet.far))
        before = len(taken)
        await until(lambda: len(taken) > before + 20)
        over.set()
    await until(lambda: taken[-1] in per_topic(socket.messages)["a"])
    got = per_topic(socket.messages)["a"]
    assert got == sorted(set(got), key=int)  # once each, in order
    assert set(taken) <= set(got)
    assert socket.resyncs == []


async def test_a_server_that_hangs_is_given_up_and_nothing_is_lost(server: KafkaServer, fleet: Fleet) -> None:
    socket = await fleet.join(*TOPICS)
    await fleet.publish(0, 2)
    server.pause()
    try:
        await until(lambda: not is_up(fleet.far) and not is_up(fleet.near))
    finally:
        server.resume()
    await until(lambda: is_up(fleet.far) and is_up(fleet.near))
    await fleet.publish(2, 2)
    await until(lambda: len(socket.messages) >= 4 * len(TOPICS))
    assert per_topic(socket.messages) == {topic: [str(n) for n in range(4)] for topic in TOPICS}
    assert socket.resyncs == []


async def test_a_short_silence_is_not_the_end_of_a_session(server: KafkaServer, fleet: Fleet) -> None:
    """aiokafka mends its connections; that a look at the topic has no answer does not say that all is lost."""
    broker = fleet.new_near_broker(request_timeout_s=0.2)
    async with open_session(broker) as session:
        await session.subscribe("a")
        server.pause()
        try:
            await session.check()
        finally:
            server.resume()
        await session.publish(("a", b"x"))
        await session.hear("a", b"x")
        assert not session.is_over


async def test_what_retention_took_in_an_outage_is_told(server: KafkaServer, fleet: Fleet) -> None:
    socket = await fleet.join("a")
    async with fleet.outage():
        await fleet.publish(0, 3, ["a"])
        async with fleet.admin() as admin:
            await admin.delete_records(
                fleet.topic, before=-1, partition=fleet.far_broker._positions.partition("a")
            )
        await fleet.publish(3, 1, ["a"])
    await until(lambda: socket.resyncs)
    assert socket.resyncs == [["a"]]
    assert per_topic(socket.messages) == {"a": ["3"]}


async def test_what_retention_takes_in_a_session_is_told_to_those_whom_it_concerns(
    server: KafkaServer, fleet: Fleet
) -> None:
    positions = fleet.far_broker._positions
    node = fleet.far.node
    assert node is not None
    # A gap where broadcasts or direct messages travel is everybody's.
    shared = {positions.partition(channel) for channel in (BROADCAST_CHANNEL, node.probe_channel or "")}
    one = next(topic for topic in TOPICS if positions.partition(topic) not in shared)
    other = next(topic for topic in TOPICS if positions.partition(topic) != positions.partition(one))
    concerned, spared = await fleet.join(one), await fleet.join(other)
    fleet.far_broker._pause([positions.partition(one)])  # as if it were far behind
    await fleet.publish(0, 3, [one, other])
    async with fleet.admin() as admin:
        await admin.delete_records(fleet.topic, before=-1, partition=positions.partition(one))
    fleet.far_broker._consumer.resume(fleet.far_broker._named(positions.partition(one)))
    await until(lambda: concerned.resyncs)
    await fleet.publish(3, 1, [one, other])
    await until(lambda: concerned.messages and len(spared.messages) == 4)
    assert (concerned.resyncs, spared.resyncs) == ([[one]], [])
    assert per_topic(concerned.messages) == {one: ["3"]}


@pytest.mark.parametrize("count", [2, 60])
async def test_a_topic_that_was_made_again_is_told(server: KafkaServer, fleet: Fleet, count: int) -> None:
    """With the longer log the old positions are in it: what is below them would be skipped in silence."""
    socket = await fleet.join(*TOPICS)
    await fleet.publish(0, 3)
    await until(lambda: len(socket.messages) == 3 * len(TOPICS))
    async with fleet.outage():
        async with fleet.admin() as admin:
            await admin.delete_topic(fleet.topic)
        await until(lambda: fleet.near.counters.sessions > 1 and is_up(fleet.near))
        await fleet.publish(3, count)
    await until(lambda: socket.resyncs)
    await fleet.publish(100, 1)
    await until(lambda: len(socket.messages) >= 4 * len(TOPICS))
    assert socket.resyncs == [TOPICS]
    assert per_topic(socket.messages) == {topic: ["0", "1", "2", "100"] for topic in TOPICS}


async def test_a_topic_that_is_made_again_in_a_session_is_told(server: KafkaServer, fleet: Fleet) -> None:
    socket = await fleet.join(*TOPICS)
    await fleet.publish(0, 3)
    await until(lambda: len(socket.messages) == 3 * len(TOPICS))
    async with fleet.admin() as admin:
        await admin.delete_topic(fleet.topic)
    await until(lambda: fleet.far.counters.sessions > 1 and is_up(fleet.far) and is_up(fleet.near))
    await until(lambda: socket.resyncs)
    await fleet.publish(3, 1)
    await until(lambda: len(socket.messages) == 4 * len(TOPICS))
    assert socket.resyncs == [TOPICS]


async def test_a_provider_that_is_started_again_gets_nothing_of_the_time_between(fleet: Fleet) -> None:
    await fleet.join(*TOPICS)
    await fleet.far.stop()
    await fleet.publish(0, 3)
    await fleet.far.start()
    await until(lambda: is_up(fleet.far))
    socket = await fleet.join(*TOPICS)
    await fleet.publish(3, 1)
    await until(lambda: len(socket.messages) == len(TOPICS))
    assert per_topic(socket.messages) == {topic: ["3"] for topic in TOPICS}
