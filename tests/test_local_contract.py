"""The conformance suite, against a hub in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import anyio.to_thread
import pytest

from servers.hub import HubServer
from servers.proxy import TcpProxy
from wigwag.broker import Broker
from wigwag.local import LocalBroker, LocalSettings
from wigwag.testing.contract import BrokerContract

#: As many as nodes live at one time in a test: each has its own, so that its link alone is cut.
_PROXIES = 4


@pytest.fixture(scope="module")
def server() -> Generator[HubServer]:
    """One of this module's own, since it is stopped and killed."""
    with HubServer() as server:
        yield server


class TestLocal(BrokerContract):
    """Each broker has its link through a proxy, which can cut it and adds the latency."""

    without = ("make_stranger",)  # what keeps two fleets apart is the path: each has a hub

    @pytest.fixture(autouse=True)
    async def links(self, server: HubServer) -> AsyncGenerator[None]:
        self.server = server
        self.proxy_of: dict[Broker, tuple[TcpProxy, Path]] = {}
        async with contextlib.AsyncExitStack() as stack:

            async def proxy(name: str) -> tuple[TcpProxy, Path]:
                path = server.directory / name
                path.unlink(missing_ok=True)
                return await stack.enter_async_context(TcpProxy(server.url, path=path)), path

            self.proxies = itertools.cycle([await proxy(f"proxy-{n}") for n in range(_PROXIES)])
            self.slow = await proxy("slow")
            self.slow[0].delay_s = 0.005
            yield

    def make_broker(self) -> Broker:
        return self._broker(next(self.proxies))

    def make_slow_broker(self) -> Broker:
        return self._broker(self.slow)

    def _broker(self, proxy: tuple[TcpProxy, Path]) -> Broker:
        broker = LocalBroker(LocalSettings(path=proxy[1]))
        self.proxy_of[broker] = proxy
        return broker

    async def cut_link(self, broker: Broker) -> None:
        self.proxy_of[broker][0].cut()

    async def pause_server(self) -> None:
        self.server.pause()

    async def resume_server(self) -> None:
        self.server.resume()

    async def restart_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.restart)
