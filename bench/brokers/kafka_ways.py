"""Kafka: beside wigwag, aiokafka, whose producer gives the guarantees that wigwag's has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from meter import Meter
from our_ways import publish_to, receive_from
from ways import IN_FLIGHT, OURS, TOPIC, Publish, Ways, in_groups, in_tasks

from wigwag.node import BROADCAST_CHANNEL
from wigwag.provider import Provider

VARIABLE = "WIGWAG_KAFKA_BOOTSTRAP_SERVERS"
#: wigwag's one Kafka topic, and where it has what is published to ours.
KAFKA_TOPIC = "wigwag"
PARTITIONS = 16
KEY = TOPIC.encode()


def partition_of(topic: str) -> int:
    """Where wigwag has a topic."""
    return crc32(topic.encode()) % PARTITIONS


@contextlib.asynccontextmanager
async def _consumer(url: str) -> AsyncGenerator[Any]:
    consumer = AIOKafkaConsumer(KAFKA_TOPIC, bootstrap_servers=url, auto_offset_reset="latest")
    await consumer.start()
    try:
        for partition in consumer.assignment():
            await consumer.position(partition)
        yield consumer
    finally:
        await consumer.stop()


async def getmany(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
    """``await consumer.getmany(timeout_ms=…)`` in a loop."""
    async with _consumer(url) as consumer:
        ready()
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    count(record)


async def iterate(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
    """``async for record in consumer``."""
    async with _consumer(url) as consumer:
        ready()
        async for record in consumer:
            count(record)


@contextlib.asynccontextmanager
async def _producer(url: str) -> AsyncGenerator[Any]:
    producer = AIOKafkaProducer(bootstrap_servers=url, acks="all", enable_idempotence=True, linger_ms=0)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def send_in_tasks(tasks: int) -> Publish:
    """``await producer.send_and_wait(…)``."""

    async def publish(url: str, text: str, meter: Meter) -> None:
        async with _producer(url) as producer:
            payload = text.encode()
            await in_tasks(lambda: producer.send_and_wait(KAFKA_TOPIC, payload, key=KEY), meter, tasks)

    return publish


async def send_in_groups(url: str, text: str, meter: Meter) -> None:
    """``await producer.send(…)`` 64 times, and ``asyncio.gather`` of the futures."""
    async with _producer(url) as producer:
        payload = text.encode()

        async def group() -> None:
            sent = [await producer.send(KAFKA_TOPIC, payload, key=KEY) for _ in range(IN_FLIGHT)]
            await asyncio.gather(*sent)

        await in_groups(group, meter)


def unread_topic(provider: Provider) -> str:
    """A topic in a partition that this node does not read: it would receive what it publishes."""
    assert provider.node is not None
    read = {partition_of(name) for name in (BROADCAST_CHANNEL, provider.node.probe_channel) if name}
    return next(topic for n in range(1000) if partition_of(topic := f"{TOPIC}:{n}") not in read)


WAYS = Ways(
    receive={
        OURS: receive_from("kafka", VARIABLE),
        "aiokafka getmany()": getmany,
        "aiokafka async for": iterate,
    },
    publish={
        OURS: publish_to("kafka", VARIABLE, topic_for=unread_topic),
        "aiokafka send_and_wait in 64 tasks": send_in_tasks(IN_FLIGHT),
        "aiokafka 64 send, gather": send_in_groups,
    },
    publish_singly={
        OURS: publish_to("kafka", VARIABLE, 1, topic_for=unread_topic),
        "aiokafka send_and_wait": send_in_tasks(1),
    },
)
