"""What a test does to the topics of a Kafka: make, delete, shorten, change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import anyio
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from aiokafka.structs import TopicPartition

LIMIT_S = 15.0
POLL_S = 0.01


class KafkaAdmin:
    """An administrator's connection, for ``async with``; asyncio only, as aiokafka is.

    Each call returns when the broker shows its effect, and raises aiokafka's KafkaError where the broker
    refuses: aiokafka's own client returns the refusal as a number.
    """

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(
            bootstrap_servers=bootstrap, request_timeout_ms=int(LIMIT_S * 1000)
        )

    async def __aenter__(self) -> Self:
        await self._client.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def create_topic(self, name: str, partitions: int = 1, **config: str) -> None:
        """Make a topic. Its settings are written with underscores: ``retention_ms="500"``."""
        settings = {key.replace("_", "."): value for key, value in config.items()}
        answer = await self._client.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        for topic, code, *rest in answer.topic_errors:
            _check(code, f"create {topic}: {rest}")
        await self._until(name, partitions)

    async def add_partitions(self, name: str, total: int) -> None:
        """Give a topic more partitions, so that it has ``total``."""
        await self._client.create_partitions({name: NewPartitions(total)})
        await self._until(name, total)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic with its records."""
        answer = await self._client.delete_topics([name])
        for topic, code in answer.topic_error_codes:
            _check(code, f"delete {topic}")
        await self._until(name, None)

    async def delete_records(self, topic: str, before: int, partition: int = 0) -> int:
        """Delete a partition's records before an offset, or all with -1. Returns where it begins now."""
        where = TopicPartition(topic, partition)
        begins: dict[TopicPartition, int] = await self._client.delete_records(
            {where: RecordsToDelete(before)}
        )
        return begins[where]

    async def alter_topic(self, name: str, **config: str) -> None:
        """Set a topic's settings, written as for ``create_topic``; what is not named falls to its default."""
        settings = {key.replace("_", "."): value for key, value in config.items()}
        resource = ConfigResource(ConfigResourceType.TOPIC, name, settings)
        for answer in await self._client.alter_configs([resource]):
            for code, message, *_ in answer.resources:
                _check(code, f"alter {name}: {message}")

    async def partitions(self, name: str) -> int | None:
        """Return how many partitions a topic has with a leader, or None where there is no such topic."""
        [found] = await self._client.describe_topics([name])
        described: Mapping[str, Any] = found
        if described["error_code"] == 3:  # unknown
            return None
        _check(described["error_code"], f"describe {name}")
        leaders: list[int] = [partition["leader"] for partition in described["partitions"]]
        return sum(leader >= 0 for leader in leaders)

    async def _until(self, name: str, partitions: int | None) -> None:
        deadline = time.monotonic() + LIMIT_S
        while await self.partitions(name) != partitions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} did not come to {partitions} partitions")
            await anyio.sleep(POLL_S)


def _check(code: int, what: str) -> None:
    if code:
        raise for_code(code)(what)
