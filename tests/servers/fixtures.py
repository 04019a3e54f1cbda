"""Servers that all tests of a run share, each started when the first test asks for it.

A test that kills or reconfigures a server starts one of its own instead.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from servers.certificates import Certificates, make_certificates
from servers.nats import NatsServer
from servers.redis import RedisServer

if TYPE_CHECKING:
    from servers.kafka import KafkaServer


@pytest.fixture(scope="session")
def redis_server() -> Generator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def nats_server() -> Generator[NatsServer]:
    """Return one with JetStream, in its own directory."""
    with NatsServer("jetstream {}") as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server() -> Generator[KafkaServer]:
    from servers.kafka import KafkaServer

    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return an authority and what it signed; its tests need ``openssl``."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))
