"""Records that can't be read: they cost their partition's sockets a resync, and no node its life."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiokafka.codec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException, RecordTooLargeError
from aiokafka.record.util import calc_crc32c

from servers.kafka import KafkaServer
from wigwag.testing.contract import open_session
from wigwag.testing.contract.checks import until
from wigwag_kafka import Address, KafkaBroker, KafkaSettings

pytestmark = [pytest.mark.anyio, pytest.mark.needs("kafka")]
CODECS = ["lz4", "snappy", "zstd"]
LIMIT_S = 10.0


def broker_of(server: KafkaServer, topic: str) -> KafkaBroker:
    return KafkaBroker(
        KafkaSettings(bootstrap_servers=(Address(server.bootstrap),), topic=topic, partitions=2)
    )


def topics_of(broker: KafkaBroker, partition: int, count: int) -> list[str]:
    names = (f"room:{n}" for n in range(10_000))
    return [name for name in names if broker.lane(name) == partition][:count]


@asynccontextmanager
async def stranger(server: KafkaServer, codec: str | None = None) -> AsyncGenerator[Any]:
    """Somebody else's producer."""
    producer = AIOKafkaProducer(bootstrap_servers=server.bootstrap, compression_type=codec)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(producer: Any, topic: str, key: str, *values: bytes) -> None:
    """One batch, in partition 1."""
    batch = producer.create_batch()
    for value in values:
        assert batch.append(key=key.encode(), value=value, timestamp=None) is not None
    await (await producer.send_batch(batch, topic, partition=1))


async def write_unreadable(producer: Any, topic: str, key: str, count: int) -> None:
    """One batch that a real Kafka takes, and no aiokafka reads: a header's name that is no UTF-8."""
    batch = producer.create_batch()
    for _ in range(count):
        batch.append(key=key.encode(), value=b"x", timestamp=None, headers=[("broken", b"")])
    batch.close()
    data = bytearray(bytes(batch._build()).replace(b"broken", b"br\xff\xfe\xffn"))
    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    batch._buffer = data
    await (await producer.send_batch(batch, topic, partition=1))


@pytest.fixture
def without_codecs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What it is to read where no codec is installed; from this call on."""

    def remove() -> None:
        for codec in CODECS:
            monkeypatch.setattr(aiokafka.codec, f"has_{codec}", lambda: False)

    return remove


@pytest.mark.parametrize("codec", CODECS)
async def test_every_codec_is_read(kafka_server: KafkaServer, topic_name: str, codec: str) -> None:
    broker = broker_of(kafka_server, topic_name)
    async with open_session(broker) as session, stranger(kafka_server, codec) as producer:
        [one] = topics_of(broker, 1, 1)
        await session.subscribe(one)
        await write(producer, topic_name, one, b"x" * 500)
        await session.hear(one, b"x" * 500)
        assert session.inbox.gaps == []


async def test_a_codec_that_is_missing_is_a_gap_and_said_once(
    kafka_server: KafkaServer,
    topic_name: str,
    without_codecs: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = broker_of(kafka_server, topic_name)
    async with open_session(broker) as session, stranger(kafka_server, "zstd") as producer:
        (one, two), [elsewhere] = topics_of(broker, 1, 2), topics_of(broker, 0, 1)
        await session.subscribe(one, two, elsewhere)
        broker._pause([0, 1])  # so that all is fetched at once
        await session.publish((one, b"before"))
        for _ in range(3):
            await write(producer, topic_name, one, *[b"not yours" * 20] * 5)
        await session.publish((one, b"after"))
        await session.publish((elsewhere, b"x"))
        without_codecs()
        broker._consumer.resume(broker._named(0), broker._named(1))
        await session.hear(one, b"after")
        await session.hear(elsewhere, b"x")
        assert session.inbox.of(one) == [b"before", b"after"]
        assert [sorted(topics or ()) for topics in session.inbox.gaps] == [sorted([one, two])] * 3
    assert caplog.text.count("can't be read, and are skipped") == 1
    assert "zstd" in caplog.text


async def test_no_session_comes_back_to_it(kafka_server: KafkaServer, topic_name: str) -> None:
    """Also where nothing is behind it, so that nothing else moves the position on."""
    broker = broker_of(kafka_server, topic_name)
    async with stranger(kafka_server) as producer:
        async with open_session(broker) as session:
            [one] = topics_of(broker, 1, 1)
            await session.subscribe(one)
            await write_unreadable(producer, topic_name, one, 5)
            await until(lambda: bool(session.inbox.gaps), LIMIT_S, "no gap was told")
        async with open_session(broker) as session:
            assert [kept for _, kept in session.inbox.readies] == [True]
            await session.subscribe(one)
            await session.publish((one, b"x"))
            await session.hear(one, b"x")
            assert session.inbox.gaps == []


async def test_one_that_was_written_in_an_outage(kafka_server: KafkaServer, topic_name: str) -> None:
    broker = broker_of(kafka_server, topic_name)
    async with stranger(kafka_server) as producer:
        async with open_session(broker) as session:
            [one] = topics_of(broker, 1, 1)
            await session.subscribe(one)
        await write(producer, topic_name, one, b"1", b"2")
        await write_unreadable(producer, topic_name, one, 3)
        await write(producer, topic_name, one, b"3")
        async with open_session(broker) as session:
            await session.subscribe(one)
            await session.hear(one, b"3")
            assert session.inbox.of(one) == [b"1", b"2", b"3"]
            assert session.inbox.gaps == [[one]]


def _raise(exc: Exception) -> Iterator[Any]:
    raise exc


async def test_damage_ahead_of_a_batch_skips_what_was_fetched(
    kafka_server: KafkaServer,
    topic_name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No real Kafka can be brought to send it: it checks what it takes."""
    broker = broker_of(kafka_server, topic_name)
    unpack = PartitionRecords._unpack_records

    def damaged(records: Any) -> Iterator[Any]:
        monkeypatch.setattr(PartitionRecords, "_unpack_records", unpack)
        yield from _raise(CorruptRecordException("Record size is less than the minimum"))

    async with open_session(broker) as session:
        [one] = topics_of(broker, 1, 1)
        await session.subscribe(one)
        monkeypatch.setattr(PartitionRecords, "_unpack_records", damaged)
        await session.publish((one, b"1"), (one, b"2"))
        await until(lambda: bool(session.inbox.gaps), LIMIT_S, "no gap was told")
        await session.publish((one, b"3"))
        await session.hear(one, b"3")
        assert session.inbox.of(one) == [b"3"]
        assert session.inbox.gaps == [[one]]
    assert "CorruptRecordException" in caplog.text


async def test_a_batch_that_was_cut_short(kafka_server: KafkaServer, topic_name: str) -> None:
    broker = broker_of(kafka_server, topic_name)
    async with open_session(broker) as session:
        [one] = topics_of(broker, 1, 1)
        await session.subscribe(one)
        await session.publish((one, b"1"))
        await session.hear(one, b"1")
        where = TopicPartition(topic_name, 1)
        offset = broker._positions.next[1]
        fetcher = broker._consumer._fetcher
        fetcher._set_error(where, RecordTooLargeError("too large", where, offset, 1))
        broker._consumer._subscription.subscription.assignment.state_value(where).consumed_to(offset + 1)
        await session.publish((one, b"2"), (one, b"3"))
        await session.hear(one, b"3")
        assert session.inbox.gaps == [[one]]
