"""What ``wigwag check`` says of a cluster and its topic."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from servers.kafka import KafkaServer
from servers.kafka.admin import KafkaAdmin
from wigwag.broker import BrokerLost, Finding
from wigwag.plugins import load
from wigwag_kafka import Address, KafkaSettings
from wigwag_kafka.check import (
    _of_topic,
    check,
    judge_acknowledging,
    judge_encryption,
    judge_login,
    judge_retention,
)
from wigwag_kafka.cluster import Topic

pytestmark = pytest.mark.anyio
on_kafka = pytest.mark.needs("kafka")


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.level for finding in findings}


async def findings_of(server: KafkaServer, topic: str, **settings: Any) -> list[Finding]:
    before = asyncio.all_tasks()
    address = Address(server.bootstrap)
    found = await check(KafkaSettings(bootstrap_servers=(address,), topic=topic, **settings))
    assert asyncio.all_tasks() == before
    return list(found)


def test_the_plugin_brings_it() -> None:
    assert load("kafka").check is check


@on_kafka
async def test_a_topic_that_is_missing(kafka_server: KafkaServer, topic_name: str) -> None:
    found = await findings_of(kafka_server, topic_name)
    assert levels(found) == {"version": "ok", "encryption": "ok", "topic": "ok"}
    assert re.search(r"speaks requests up to Produce \d+, Fetch \d+, Metadata \d+", found[0].text)
    assert "the first node makes it, with 16 partitions" in found[-1].text
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        assert await admin.partitions(topic_name) is None  # asked, and not made


@on_kafka
async def test_a_topic_that_could_not_be_made(kafka_server: KafkaServer, topic_name: str) -> None:
    found = await findings_of(kafka_server, topic_name, replication=3)
    assert levels(found)["topic"] == "error"
    assert "kafka-topics.sh" in found[-1].text


@on_kafka
async def test_a_topic_that_does_not_suit(kafka_server: KafkaServer, topic_name: str) -> None:
    unfit = {
        "cleanup_policy": "compact",
        "retention_ms": "59000",
        "min_insync_replicas": "2",
        "max_message_bytes": "10000",
        "unclean_leader_election_enable": "true",
    }
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 3, **unfit)
    found = await findings_of(kafka_server, topic_name, partitions=4)
    assert (
        "a message has at most 9488 bytes" in {each.subject: each.text for each in found}["max.message.bytes"]
    )
    assert levels(found) == {
        "version": "ok",
        "encryption": "ok",
        "partitions": "error",
        "replication": "warning",
        "cleanup.policy": "error",
        "retention.ms": "warning",
        "min.insync.replicas": "error",
        "max.message.bytes": "warning",
        "unclean.leader.election.enable": "warning",
    }


@on_kafka
async def test_a_topic_that_suits(kafka_server: KafkaServer, topic_name: str) -> None:
    async with KafkaAdmin(kafka_server.bootstrap) as admin:
        await admin.create_topic(topic_name, 3, retention_ms="3600000")
    found = levels(await findings_of(kafka_server, topic_name, partitions=3))
    assert {subject for subject, level in found.items() if level != "ok"} == {"replication"}


@on_kafka
async def test_a_cluster_that_makes_topics_by_itself(topic_name: str) -> None:
    with KafkaServer({"auto.create.topics.enable": "true"}) as server:
        for _ in range(3):  # looking at it is not what makes it
            found = await findings_of(server, topic_name)
            assert levels(found)["auto.create.topics.enable"] == "warning"
            assert "is missing" in {finding.subject: finding.text for finding in found}["topic"]


async def test_no_cluster_is_one_line() -> None:
    with pytest.raises(BrokerLost, match="can't be reached"):
        await check(KafkaSettings(bootstrap_servers=(Address("127.0.0.1:1"),)))


@pytest.mark.parametrize(
    ("server", "settings", "level"),
    [
        ("localhost:9092", {}, "ok"),
        ("[::1]:9092", {}, "ok"),
        ("10.0.0.1:9092", {}, "warning"),
        ("kafka.internal:9092", {"security_protocol": "SASL_PLAINTEXT"}, "warning"),
        ("kafka.internal:9092", {"security_protocol": "SSL"}, "ok"),
    ],
)
def test_messages_that_can_be_read_on_the_way(server: str, settings: dict[str, Any], level: str) -> None:
    found = judge_encryption(KafkaSettings(bootstrap_servers=(Address(server),), **settings))
    assert found.level == level
    assert ("SASL_SSL" in found.text) == (settings.get("security_protocol") == "SASL_PLAINTEXT")


@pytest.mark.parametrize(
    ("server", "settings", "levels"),
    [
        ("localhost:9092", {}, []),
        ("kafka.internal:9092", {}, ["warning"]),
        ("kafka.internal:9092", {"security_protocol": "SASL_SSL"}, []),
        (
            "kafka.internal:9092",
            {"security_protocol": "SSL", "tls_cert_file": Path("cert.pem")},
            [],
        ),
    ],
)
def test_brokers_that_anyone_may_use(server: str, settings: dict[str, Any], levels: list[str]) -> None:
    found = [*judge_login(KafkaSettings(bootstrap_servers=(Address(server),), **settings))]
    assert [finding.level for finding in found] == levels


@pytest.mark.parametrize(
    ("leaders", "level"),
    [((1,), "warning"), ((1, 2), "warning"), ((1, 2, 3), "ok"), ((1, -1, 2), "error")],
)
def test_partitions(leaders: tuple[int, ...], level: str) -> None:
    found, *_ = _of_topic(
        Topic(b"", leaders, 3), KafkaSettings(bootstrap_servers=(Address("localhost:9092"),))
    )
    assert (found.subject, found.level) == ("partitions", level)


@pytest.mark.parametrize(
    ("retention_ms", "retention_bytes", "level", "text"),
    [
        (59_999, -1, "warning", "59999"),
        (60_000, -1, "ok", "60 s"),
        (-1, -1, "ok", "for ever"),
        (60_000, 1000, "ok", "1000 bytes of a partition"),
    ],
)
def test_retention(retention_ms: int, retention_bytes: int, level: str, text: str) -> None:
    found = judge_retention(retention_ms, retention_bytes)
    assert found.level == level
    assert text in found.text


@pytest.mark.parametrize(
    ("least", "replication", "level"),
    [(1, 1, "ok"), (2, 1, "error"), (1, 3, "warning"), (2, 3, "ok"), (3, 3, "warning")],
)
def test_acknowledging(least: int, replication: int, level: str) -> None:
    assert judge_acknowledging(least, replication).level == level
