"""For machines without Java: librdkafka's mock of Kafka. It is a mock; what counts is shown with KafkaServer.

It speaks the protocol on a real port, topics' ids included, and no more: no topic is created or deleted on
request (those that it is told of exist, with four partitions), nothing outlasts it, nothing is refused, and it can't
be paused or killed, since it runs inside this process. It needs the package confluent-kafka.
"""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import Any, Self


class KafkaMock:
    """A mock of one broker, for ``with``; it lasts until the block ends."""

    def __init__(self, *topics: str) -> None:
        self._topics = topics
        self._client: Any = None
        self.bootstrap = ""

    @property
    def url(self) -> str:
        """Where a client finds it: host and port."""
        return self.bootstrap

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.bootstrap.rpartition(":")[2])

    def __enter__(self) -> Self:
        producer = importlib.import_module("confluent_kafka").Producer
        # librdkafka wants an address, and puts the mock's in its place.
        self._client = producer(
            {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0}
        )
        [broker] = self._client.list_topics(timeout=10).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"
        for topic in self._topics:  # to ask for one makes it
            self._client.list_topics(topic, timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client = None  # the mock ends with the client that holds it
