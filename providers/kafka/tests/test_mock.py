"""What runs where there is no Java: the conformance suite against librdkafka's mock of Kafka.

It is a mock, within this process: it can't be killed or stopped, keeps nothing on a disk and makes no topics. What
counts is shown against the real one, in test_contract.py; here a contributor without Java sees gross mistakes.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from servers.kafka.mock import KafkaMock
from wigwag.broker import Broker
from wigwag.testing.contract import BrokerContract
from wigwag_kafka import Address, KafkaBroker, KafkaSettings


@pytest.fixture(scope="module")
def mock() -> Generator[KafkaMock]:
    with KafkaMock("wigwag", "stranger") as mock:
        yield mock


class TestKafkaMock(BrokerContract):
    without = ("cut_link", "pause_server", "restart_server")
    race_count = 50
    topic_count = 1000
    session_count = 5
    cancel_count = 3

    @pytest.fixture(autouse=True)
    def _mock(self, mock: KafkaMock) -> None:
        self.bootstrap = Address(mock.bootstrap)

    def make_broker(self) -> Broker:
        return self._broker("wigwag")

    def make_stranger(self) -> Broker:
        return self._broker("stranger")

    def _broker(self, topic: str) -> Broker:
        return KafkaBroker(KafkaSettings(bootstrap_servers=(self.bootstrap,), topic=topic, partitions=4))
