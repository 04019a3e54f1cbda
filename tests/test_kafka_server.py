"""The Kafka that other tests are run against: whether it is one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from servers.certificates import make_certificates
from servers.kafka import KafkaServer, Secured, installation
from servers.kafka.admin import KafkaAdmin
from servers.process import NotStarted

pytestmark = [pytest.mark.anyio, pytest.mark.needs("kafka")]
LISTENERS: tuple[Secured, ...] = ("sasl_plain", "scram", "tls", "mtls", "scram_tls")
TOPIC = "t"
PARTITION = TopicPartition(TOPIC, 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def shared() -> Generator[KafkaServer]:
    with KafkaServer(listeners=LISTENERS) as server:
        yield server


@pytest.fixture
async def server(shared: KafkaServer) -> KafkaServer:
    """Return the one server, with an empty topic."""
    async with KafkaAdmin(shared.bootstrap) as admin:
        if await admin.partitions(TOPIC) is not None:
            await admin.delete_topic(TOPIC)
        await admin.create_topic(TOPIC)
    return shared


def producer(bootstrap: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)


@asynccontextmanager
async def reading(bootstrap: str) -> AsyncGenerator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=50)
    async with consumer:
        consumer.assign([PARTITION])
        yield consumer


async def bounds(bootstrap: str) -> tuple[int, int]:
    """Return where a topic begins and ends."""
    async with reading(bootstrap) as consumer:
        begins = await consumer.beginning_offsets([PARTITION])
        ends = await consumer.end_offsets([PARTITION])
    return begins[PARTITION], ends[PARTITION]


async def records(bootstrap: str) -> list[bytes]:
    """Read all of a topic."""
    begin, end = await bounds(bootstrap)
    async with reading(bootstrap) as consumer:
        consumer.seek(PARTITION, begin)
        with anyio.fail_after(20):
            return [(await consumer.getone()).value for _ in range(begin, end)]


async def send(options: dict[str, Any], value: bytes) -> None:
    sender = AIOKafkaProducer(**options)
    try:  # not `async with`, which closes nothing where start() raises
        await sender.start()
        await sender.send_and_wait(TOPIC, value, partition=0)
    finally:
        await sender.stop()


async def test_a_message_goes_round(server: KafkaServer) -> None:
    async with producer(server.bootstrap) as sender:
        sent = await sender.send_and_wait(TOPIC, b"one", key=b"k", partition=0)
    assert sent.offset == 0
    assert await records(server.bootstrap) == [b"one"]


async def test_a_pause_holds_a_message_up_and_loses_nothing(server: KafkaServer) -> None:
    async with producer(server.bootstrap) as sender:
        await sender.send_and_wait(TOPIC, b"before", partition=0)
        server.pause()
        try:
            held = await sender.send(TOPIC, b"meanwhile", partition=0)
            done, _ = await asyncio.wait([held], timeout=0.2)
            assert not done
        finally:
            server.resume()
        with anyio.fail_after(20):
            await held
    assert await records(server.bootstrap) == [b"before", b"meanwhile"]


async def test_a_kill_loses_no_message_that_was_acknowledged(server: KafkaServer) -> None:
    acknowledged: list[bytes] = []

    async def publish(sender: AIOKafkaProducer, enough: anyio.Event) -> None:
        for number in range(10_000):
            await sender.send_and_wait(TOPIC, b"%d" % number, partition=0)
            acknowledged.append(b"%d" % number)
            if number == 50:
                enough.set()

    port = server.port
    async with producer(server.bootstrap) as sender:
        for _ in range(2):
            enough = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(publish, sender, enough)
                await enough.wait()
                server.kill()
                group.cancel_scope.cancel()
            await anyio.to_thread.run_sync(server.start)
        await sender.send_and_wait(TOPIC, b"after", partition=0)
    assert server.port == port
    found = await records(server.bootstrap)
    assert found[-1] == b"after"
    assert [value for value in found if value in set(acknowledged)] == acknowledged


async def test_a_stop_and_a_start_keep_what_was_said(server: KafkaServer) -> None:
    await send({"bootstrap_servers": server.bootstrap}, b"before")
    await anyio.to_thread.run_sync(server.stop)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
    await anyio.to_thread.run_sync(server.start)
    assert await records(server.bootstrap) == [b"before"]


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_secured_listener_takes_who_may_in(server: KafkaServer, listener: Secured) -> None:
    await send(server.client_options(listener), b"secured")
    assert await records(server.bootstrap) == [b"secured"]


@pytest.mark.parametrize("listener", ["sasl_plain", "scram", "scram_tls"])
async def test_a_secured_listener_refuses_a_wrong_password(server: KafkaServer, listener: Secured) -> None:
    with pytest.raises(KafkaConnectionError):
        await send(server.client_options(listener, password="wrong"), b"never")


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_secured_listener_refuses_a_plain_client(server: KafkaServer, listener: Secured) -> None:
    options = {"bootstrap_servers": server.bootstrap_of(listener), "request_timeout_ms": 1000}
    with pytest.raises(KafkaConnectionError):
        await send(options, b"never")


async def test_a_client_refuses_a_server_of_another_authority(server: KafkaServer, tmp_path: Path) -> None:
    stranger = make_certificates(tmp_path).client_context()
    with pytest.raises(KafkaConnectionError):
        await send(server.client_options("tls", context=stranger), b"never")


async def test_a_client_without_a_certificate_is_refused_where_one_is_due(server: KafkaServer) -> None:
    nameless = server.certificates.client_context(shown=False)
    with pytest.raises(KafkaConnectionError):
        await send(server.client_options("mtls", context=nameless), b"never")


async def test_the_administrator_is_told_of_a_refusal(server: KafkaServer) -> None:
    async with KafkaAdmin(server.bootstrap) as admin:
        with pytest.raises(TopicAlreadyExistsError):
            await admin.create_topic(TOPIC)
        with pytest.raises(UnknownTopicOrPartitionError):
            await admin.delete_topic("unheard-of")


async def test_records_are_deleted_by_hand(server: KafkaServer) -> None:
    async with producer(server.bootstrap) as sender, KafkaAdmin(server.bootstrap) as admin:
        for value in (b"0", b"1", b"2"):
            await sender.send_and_wait(TOPIC, value, partition=0)
        assert await admin.delete_records(TOPIC, before=2) == 2
    assert await records(server.bootstrap) == [b"2"]


async def test_a_short_retention_deletes_records_soon(server: KafkaServer) -> None:
    async with producer(server.bootstrap) as sender, KafkaAdmin(server.bootstrap) as admin:
        await sender.send_and_wait(TOPIC, b"old", partition=0)
        await admin.alter_topic(TOPIC, retention_ms="100", segment_ms="50")
        with anyio.fail_after(20):
            while (await bounds(server.bootstrap))[0] == 0:
                await sender.send_and_wait(TOPIC, b"new", partition=0)  # rolls the segment


async def test_a_proxy_may_stand_before_the_plain_listener() -> None:
    server = KafkaServer()
    server.advertised_port = 1
    with server:
        client = AIOKafkaClient(bootstrap_servers=server.bootstrap)
        await client.bootstrap()
        await client.close()
    assert [broker.port for broker in client.cluster.brokers()] == [1]


def test_settings_of_a_test_win_over_ours_and_a_bad_one_is_told() -> None:
    with pytest.raises(NotStarted, match=r"num\.io\.threads"):
        KafkaServer({"num.io.threads": "none"}).__enter__()


def test_two_who_need_the_installation_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".brokers" / "kafka"
    made: list[str] = []

    def install() -> None:
        made.append("once")
        with contextlib.suppress(threading.BrokenBarrierError):
            both_came.wait(0.2)  # the other waits for the lock, and so can't come
        folder.mkdir()

    both_came = threading.Barrier(2)
    monkeypatch.setattr(installation, "FOLDER", folder)
    monkeypatch.setattr(installation, "_install", install)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: installation.installed(), range(2))) == [folder, folder]
    assert made == ["once"]


def test_a_fetch_that_fails_says_why_and_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "FOLDER", tmp_path / ".brokers" / "kafka")
    monkeypatch.setattr(installation, "COPY", ("sh", "-c", "echo no network; exit 3"))
    with pytest.raises(installation.NotInstalled, match="sh ended with 3:\nno network"):
        installation.installed()
    assert not installation.FOLDER.exists()
