"""The conformance suite of wigwag, against a real mosquitto."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import anyio.to_thread
import pytest
from mosquitto_server import Mosquitto, TcpProxy

from wigwag.broker import Broker
from wigwag.testing.contract import BrokerContract
from wigwag_mqtt import MqttBroker, MqttSettings

pytestmark = pytest.mark.needs("mosquitto")


class TestMqtt(BrokerContract):
    """Each broker is behind a proxy of its own: one link can be cut, and the others hold."""

    @pytest.fixture(autouse=True)
    def _servers(self, mosquitto: Mosquitto) -> Iterator[None]:
        self.server = mosquitto
        self.proxies: dict[Broker, TcpProxy] = {}
        yield
        for proxy in self.proxies.values():
            proxy.close()

    def _broker(self, prefix: str = "ws", delay_s: float = 0.0) -> Broker:
        proxy = TcpProxy(self.server.port, delay_s)
        broker = MqttBroker(MqttSettings(url=proxy.url, prefix=prefix))
        self.proxies[broker] = proxy
        return broker

    def make_broker(self) -> Broker:
        return self._broker()

    def make_slow_broker(self) -> Broker:
        return self._broker(delay_s=0.005)

    def make_stranger(self) -> Broker:
        return self._broker(prefix="other")

    async def cut_link(self, broker: Broker) -> None:
        self.proxies[broker].cut()

    async def pause_server(self) -> None:
        self.server.signal(signal.SIGSTOP)

    async def resume_server(self) -> None:
        self.server.signal(signal.SIGCONT)

    async def restart_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.restart)
