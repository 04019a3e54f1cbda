"""One session on a real Kafka: the topic, its partitions, and what happens when it changes under us."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from servers.kafka import KafkaServer
from servers.kafka.admin import KafkaAdmin
from wigwag.broker import BrokerLost, Refused
from wigwag.testing.contract import ContractSession, RecordingInbox, open_session
from wigwag_kafka import Address, KafkaBroker, KafkaSettings

pytestmark = [pytest.mark.anyio, pytest.mark.needs("kafka")]

LIMIT_S = 10.0


def broker_of(server: KafkaServer, topic: str, **settings: Any) -> KafkaBroker:
    return KafkaBroker(KafkaSettings(bootstrap_servers=(Address(server.bootstrap),), topic=topic, **settings))


async def run_until_lost(broker: KafkaBroker) -> str:
    """Why a session ended, or could not begin; on one line."""
    try:
        with pytest.raises(BrokerLost) as caught, anyio.fail_after(LIMIT_S):
            await broker.run(RecordingInbox())
    finally:
        await broker.close()
    line = str(caught.value)
    assert "\n" not in line
    return line


async def loss_of(session: ContractSession) -> str:
    cause = await session.end()
    assert isinstance(cause, BrokerLost)
    return str(cause)


def paused(broker: KafkaBroker) -> set[int]:
    return {partition.partition for partition in broker._consumer.paused()}


def topics_of(broker: KafkaBroker, partition: int, count: int) -> list[str]:
    """So many topics of one partition."""
    names = (f"room:{n}" for n in range(10_000))
    found = [name for name in names if broker.lane(name) == partition]
    return found[:count]


# The Kafka topic


async def test_the_topic_is_made_where_it_is_missing(kafka_server: KafkaServer, topic_name: str) -> None:
    async with (
        KafkaAdmin(kafka_server.bootstrap) as admin,
        open_session(broker_of(kafka_server, topic_name, partitions=3, retention_s=120.0)),
    ):
        assert await admin.partitions(topic_name) == 3
        resource = ConfigResource(ConfigResourceType.TOPIC, topic_name)
        [described] = await admin._client.describe_configs([resource])
        config = {entry[0]: entry[1] for entry in described.resources[0][4]}
    assert (config["retention.ms"], config["segment.ms"]) == ("120000", "120000")
    assert config["cleanup.policy"] == "delete"


async def test_two_nodes_that_make_it_at_once_both_begin(kafka_server: KafkaServer, topic_name: str) -> None:
    async with anyio.create_task_group() as tasks:

        async def begin() -> None:
            async with open_session(broker_of(kafka_server, topic_name)) as session:
                await session.subscribe("a")

        tasks.start_soon(begin)
        tasks.start_soon(begin)


async def test_a_topic_that_exists_keeps_its_partitions(kafka_server: KafkaServer, topic_name: str) -> None:
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 5)
    broker = broker_of(kafka_server, topic_name)
    assert {broker.lane(f"room:{n}") for n in range(100)} == {0}
    async with open_session(broker):
        assert {broker.lane(f"room:{n}") for n in range(100)} == set(range(5))


async def test_other_partitions_than_were_set_are_an_error(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 5)
    line = await run_until_lost(broker_of(kafka_server, topic_name, partitions=4))
    assert line.startswith("WIGWAG_KAFKA_PARTITIONS=4, but the Kafka topic")
    assert "has 5" in line


async def test_a_topic_that_cannot_be_made_so_brings_the_command(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    line = await run_until_lost(broker_of(kafka_server, topic_name, replication=3))
    assert "fewer brokers than its replication factor (WIGWAG_KAFKA_REPLICATION)" in line
    assert line.endswith(
        f"kafka-topics.sh --bootstrap-server {kafka_server.bootstrap} --create --topic {topic_name} --partitions 16 "
        "--replication-factor 3 --config cleanup.policy=delete --config retention.ms=3600000 "
        "--config segment.ms=3600000"
    )


# Partitions


async def test_only_partitions_with_a_topic_of_ours_are_read(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    broker = broker_of(kafka_server, topic_name, partitions=4)
    async with open_session(broker) as session:
        assert paused(broker) == {0, 1, 2, 3}
        one, two = topics_of(broker, 1, 2)
        await session.subscribe(one, two)
        await session.subscribe(one)
        assert paused(broker) == {0, 2, 3}
        await session.unsubscribe(one)
        assert paused(broker) == {0, 2, 3}
        await session.publish((two, b"x"))
        await session.hear(two, b"x")
        await session.unsubscribe(two)
        assert paused(broker) == {0, 1, 2, 3}
        await session.publish((two, b"nobody wants it"))
        await session.subscribe(two)
        await session.publish((two, b"y"))
        await session.hear(two, b"y")
        assert session.inbox.of(two) == [b"x", b"y"]


async def test_order_holds_within_a_partition_whatever_the_batches(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    broker = broker_of(kafka_server, topic_name, partitions=2, compression="gzip")
    async with open_session(broker) as session:
        one, two = topics_of(broker, 1, 2)
        await session.subscribe(one, two)
        large = b"x" * 300_000  # four of them are more than a batch
        sent = [(one if n % 2 else two, b"%d" % n + large) for n in range(12)]
        await session.publish(*sent)
        await session.hear(one, sent[-1][1])
        assert [(topic, payload) for topic, payload, _ in session.inbox.got] == sent


async def test_a_backlog_lets_others_run(kafka_server: KafkaServer, topic_name: str) -> None:
    broker = broker_of(kafka_server, topic_name, partitions=1)
    async with open_session(broker) as session, open_session(broker_of(kafka_server, topic_name)) as other:
        await session.subscribe("a")
        broker._pause([0])
        await other.publish(*[("a", b"%d" % n) for n in range(5000)])
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += bool(session.inbox.got)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_turns)
            broker._consumer.resume(broker._named(0))
            await session.hear("a", b"4999")
            tasks.cancel_scope.cancel()
        assert turns >= 5000 / 500 - 1
        assert len(session.inbox.of("a")) == 5000


# Sizes


async def test_the_largest_payload_is_the_topics(kafka_server: KafkaServer, topic_name: str) -> None:
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 1, max_message_bytes="5000")
    async with open_session(broker_of(kafka_server, topic_name)) as session:
        limit = session.max_payload_bytes
        assert limit is not None
        assert 4000 < limit < 5000
        topic, payload = "t" * 256, b"x" * limit
        await session.subscribe(topic)
        await session.publish(*[(topic, payload + b"")] * 3)
        await session.hear(topic, payload)


async def test_what_became_too_large_is_refused_and_the_rest_goes_on(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    """aiokafka's producer would be stuck after it: OutOfOrderSequenceNumber for ever (its issue 1017)."""
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 1)
        async with open_session(broker_of(kafka_server, topic_name)) as session:
            await session.subscribe("a")
            await session.publish(("a", b"0"))
            await admin.alter_topic(topic_name, max_message_bytes="2000")
            large = b"x" * 3000
            await _until_refused(session, large)
            session.inbox.forget()
            with pytest.raises(Refused) as caught:
                await session.publish(*(("a", payload) for payload in (b"1", large, b"2", large)))
            assert caught.value.reasons is not None
            assert list(caught.value.reasons) == [1, 3]
            assert "3000 bytes" in caught.value.reasons[1]
            await session.publish(("a", b"3"))
            await session.hear("a", b"3")
            assert session.inbox.of("a") == [b"1", b"2", b"3"]


async def _until_refused(session: ContractSession, large: bytes) -> None:
    """The brokers hear of a topic's new settings a little later."""
    with anyio.fail_after(LIMIT_S):
        while True:
            try:
                await session.publish(("a", large))
                await session.hear("a", large)
            except Refused:
                return


# A topic that changes under us


async def test_a_topic_that_is_deleted_ends_the_session(kafka_server: KafkaServer, topic_name: str) -> None:
    async with (
        KafkaAdmin(kafka_server.bootstrap) as admin,
        open_session(broker_of(kafka_server, topic_name, partitions=2)) as session,
    ):
        await session.subscribe("a")
        await admin.delete_topic(topic_name)
        line = await loss_of(session)
    assert line == f"the Kafka topic {topic_name!r} was deleted; what was in it is lost"


async def test_a_topic_that_was_made_again_ends_the_session(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    async with (
        KafkaAdmin(kafka_server.bootstrap) as admin,
        open_session(broker_of(kafka_server, topic_name, partitions=2)) as session,
    ):
        await admin.delete_topic(topic_name)  # nothing is read or written: check() notices it first, mostly
        await admin.create_topic(topic_name, 2)
        with pytest.raises(BrokerLost, match=r"was (made anew|deleted)"):
            await session.check()


async def test_more_partitions_end_the_session_and_are_said(
    kafka_server: KafkaServer, topic_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = broker_of(kafka_server, topic_name)
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 2)
        async with open_session(broker) as session:
            await session.check()
            await admin.add_partitions(topic_name, 3)
            with pytest.raises(BrokerLost, match="other partitions"):
                await session.check()
        async with open_session(broker):
            pass
    assert "has 3 partitions now, and had 2" in caplog.text


@pytest.mark.parametrize("count", [1, 40])
async def test_a_topic_made_again_between_sessions_keeps_nothing(
    kafka_server: KafkaServer, topic_name: str, count: int
) -> None:
    """Its log is shorter than it was, or longer: with that only the topic's id shows that it is another."""
    broker = broker_of(kafka_server, topic_name, partitions=1)
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        async with open_session(broker) as session:
            await session.subscribe("a")
            await session.publish(*[("a", b"%d" % n) for n in range(10)])
            await session.hear("a", b"9")
        await admin.delete_topic(topic_name)
        async with open_session(broker_of(kafka_server, topic_name, partitions=1)) as other:
            await other.publish(*[("a", b"new %d" % n) for n in range(count)])
        async with open_session(broker) as session:
            assert [kept for _, kept in session.inbox.readies] == [False]
            await session.subscribe("a")
            await session.publish(("a", b"last"))
            await session.hear("a", b"last")
            assert session.inbox.of("a") == [b"last"]


async def test_a_session_reads_on_where_the_last_one_stopped(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    broker = broker_of(kafka_server, topic_name)
    async with open_session(broker_of(kafka_server, topic_name)) as other:
        async with open_session(broker) as session:
            await session.subscribe("a", "b", "c")
            await other.publish(("a", b"1"))
            await session.hear("a", b"1")
        await other.publish(("a", b"2"), ("b", b"2"), ("new", b"2"))
        async with open_session(broker) as session:
            assert [kept for _, kept in session.inbox.readies] == [True]
            await session.subscribe("b", "new")
            await session.hear("a", b"2")
            await session.hear("b", b"2")
            await other.publish(("new", b"3"))
            await session.hear("new", b"3")
            assert session.inbox.of("a") == [b"2"]
            assert session.inbox.of("new") == [b"3"]


async def test_what_retention_took_between_sessions_is_lost(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    broker = broker_of(kafka_server, topic_name, partitions=1)
    async with (
        KafkaAdmin(kafka_server.bootstrap) as admin,
        open_session(broker_of(kafka_server, topic_name, partitions=1)) as other,
    ):
        async with open_session(broker) as session:
            await session.subscribe("a")
        await other.publish(*[("a", b"%d" % n) for n in range(5)])
        await admin.delete_records(topic_name, before=3)
        async with open_session(broker) as session:
            assert [kept for _, kept in session.inbox.readies] == [False]
            await session.subscribe("a")
            await session.hear("a", b"4")
            assert session.inbox.of("a") == [b"3", b"4"]


async def test_what_retention_takes_ahead_of_us_is_a_gap_of_its_partition(
    kafka_server: KafkaServer, topic_name: str
) -> None:
    broker = broker_of(kafka_server, topic_name, partitions=2)
    async with (
        KafkaAdmin(kafka_server.bootstrap) as admin,
        open_session(broker) as session,
        open_session(broker_of(kafka_server, topic_name)) as other,
    ):
        (one, two), [elsewhere] = topics_of(broker, 1, 2), topics_of(broker, 0, 1)
        await session.subscribe(one, two, elsewhere)
        broker._pause([1])  # as if this node were far behind
        await other.publish(*[(one, b"%d" % n) for n in range(5)])
        await admin.delete_records(topic_name, before=3, partition=1)
        broker._consumer.resume(broker._named(1))
        await session.hear(one, b"4")
        assert session.inbox.of(one) == [b"3", b"4"]
        assert [sorted(topics or ()) for topics in session.inbox.gaps] == [sorted([one, two])]


# What is left


async def test_nothing_of_aiokafka_is_left(kafka_server: KafkaServer, topic_name: str) -> None:
    before = asyncio.all_tasks()
    async with open_session(broker_of(kafka_server, topic_name)) as session:
        await session.subscribe("a")
        await session.publish(("a", b"x"))
        await session.hear("a", b"x")
        assert len(asyncio.all_tasks() - before) > 5
    assert asyncio.all_tasks() == before
    for name in ("aiokafka", "aiokafka.conn", "aiokafka.cluster"):
        assert logging.getLogger(name).filters == []


async def test_calls_without_a_session_say_so() -> None:
    broker = KafkaBroker(KafkaSettings())
    for call in (broker.subscribe(["a"]), broker.unsubscribe(["a"]), broker.publish([("a", b"x")])):
        with pytest.raises(BrokerLost, match="there is no session"):
            await call
    await broker.close()


async def test_what_aiokafka_logs_is_rare_and_others_are_not_touched(
    kafka_server: KafkaServer, topic_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = broker_of(kafka_server, topic_name, partitions=1)
    async with open_session(broker) as session:
        await session.subscribe("a")
        log = logging.getLogger("aiokafka.cluster")

        def say() -> None:
            for _ in range(100):
                log.error("said %d times", 100)

        with broker._log.claimed():
            say()
        assert caplog.text.count("said 100 times") == 1
        say()
        assert caplog.text.count("said 100 times") == 101
