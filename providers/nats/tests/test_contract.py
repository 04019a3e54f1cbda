"""The conformance suite, against a real server."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncGenerator, Generator

import anyio.to_thread
import pytest

from servers.nats import NatsServer
from servers.proxy import TcpProxy
from wigwag.broker import Broker
from wigwag.testing.contract import BrokerContract
from wigwag_nats import NatsBroker, NatsSettings, ServerUrl

#: As many as nodes live at one time in a test: each has its own, so that its link alone is cut.
_PROXIES = 4


@pytest.fixture(scope="module")
def server() -> Generator[NatsServer]:
    """One of this module's own, since it is stopped and killed."""
    with NatsServer() as server:
        yield server


@pytest.mark.needs("nats-server")
class TestNats(BrokerContract):
    """Each broker has its link through a proxy, which can cut it and adds the latency."""

    @pytest.fixture(autouse=True)
    async def links(self, server: NatsServer) -> AsyncGenerator[None]:
        self.server = server
        self.proxy_of: dict[Broker, TcpProxy] = {}
        async with contextlib.AsyncExitStack() as stack:
            proxies = [await stack.enter_async_context(TcpProxy(server.port)) for _ in range(_PROXIES)]
            self.proxies = itertools.cycle(proxies)
            self.slow = await stack.enter_async_context(TcpProxy(server.port))
            self.slow.delay_s = 0.005
            yield

    def make_broker(self) -> Broker:
        return self._broker(next(self.proxies), "ws")

    def make_slow_broker(self) -> Broker:
        return self._broker(self.slow, "ws")

    def make_stranger(self) -> Broker:
        return self._broker(next(self.proxies), "ws.t")

    def _broker(self, proxy: TcpProxy, prefix: str) -> Broker:
        broker = NatsBroker(NatsSettings(servers=(ServerUrl("127.0.0.1", proxy.port),), prefix=prefix))
        self.proxy_of[broker] = proxy
        return broker

    async def cut_link(self, broker: Broker) -> None:
        self.proxy_of[broker].cut()

    async def pause_server(self) -> None:
        self.server.pause()

    async def resume_server(self) -> None:
        self.server.resume()

    async def restart_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.restart)
