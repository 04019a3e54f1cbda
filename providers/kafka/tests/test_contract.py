"""The conformance suite, against a real Kafka."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator

import anyio.to_thread
import pytest

from servers.kafka import PASSWORD, USER, KafkaServer
from servers.process import HOST, HeldPort
from servers.proxy import TcpProxy
from wigwag.broker import Broker
from wigwag.settings import Secret
from wigwag.testing.contract import BrokerContract
from wigwag_kafka import Address, KafkaBroker, KafkaSettings


@pytest.fixture(scope="module")
def server() -> Generator[KafkaServer]:
    """One of this module's own, since it is stopped and killed; its plain listener is behind a proxy."""
    with contextlib.closing(HeldPort()) as held:
        server = KafkaServer(listeners=["sasl_plain"])
        server.advertised_port = held.number
        with server:
            yield server


@pytest.mark.needs("kafka")
class TestKafka(BrokerContract):
    """Slow brokers use the plain listener, through the proxy; the others one without."""

    #: aiokafka mends its connections by itself and loses nothing by it: the session goes on.
    without = ("cut_link",)

    @pytest.fixture(autouse=True)
    async def links(self, server: KafkaServer) -> AsyncGenerator[None]:
        self.server = server
        assert server.advertised_port is not None
        async with TcpProxy(server.port, server.advertised_port) as proxy:
            proxy.delay_s = 0.005
            yield

    def make_broker(self) -> Broker:
        return self._broker("wigwag")

    def make_slow_broker(self) -> Broker:
        return KafkaBroker(
            KafkaSettings(bootstrap_servers=(Address(f"{HOST}:{self.server.advertised_port}"),))
        )

    def make_stranger(self) -> Broker:
        return self._broker("stranger")

    def _broker(self, topic: str) -> Broker:
        return KafkaBroker(
            KafkaSettings(
                bootstrap_servers=(Address(self.server.bootstrap_of("sasl_plain")),),
                topic=topic,
                security_protocol="SASL_PLAINTEXT",
                sasl_username=USER,
                sasl_password=Secret(PASSWORD),
            )
        )

    async def pause_server(self) -> None:
        self.server.pause()

    async def resume_server(self) -> None:
        self.server.resume()

    async def restart_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.restart)
