"""The conformance suite, against real servers: one by TCP, TLS and Unix socket, a master of sentinels, a cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import ClassVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from servers.certificates import Certificates
from servers.proxy import TcpProxy
from servers.redis import RedisCluster, RedisSentinel, RedisServer
from wigwag.broker import Broker
from wigwag.testing.contract import BrokerContract
from wigwag_redis import RedisBroker, RedisSettings, RedisUrl
from wigwag_redis.check import make_broker

pytestmark = pytest.mark.needs("redis-server")


def settings(url: str, prefix: str = "ws") -> RedisSettings:
    return RedisSettings(url=RedisUrl.parse(url), key_prefix=prefix)


@pytest.fixture(scope="module")
def server() -> Generator[RedisServer]:
    """One of this module's own, since it is stopped and killed."""
    with RedisServer() as server:
        yield server


class TestServer(BrokerContract):
    """Each broker has its link through a proxy, which can cut it and adds the latency."""

    @pytest.fixture(autouse=True)
    async def links(self, server: RedisServer) -> AsyncGenerator[None]:
        self.server = server
        async with TcpProxy(server.port) as self.proxy, TcpProxy(server.port) as self.slow:
            self.slow.delay_s = 0.005
            yield

    def make_broker(self) -> Broker:
        return self._broker(self.proxy.port, "ws")

    def make_slow_broker(self) -> Broker:
        return self._broker(self.slow.port, "ws")

    def make_stranger(self) -> Broker:
        return self._broker(self.proxy.port, "wsx")

    def _broker(self, port: int, prefix: str) -> RedisBroker:
        return RedisBroker(settings(f"redis://127.0.0.1:{port}", prefix))

    async def cut_link(self, broker: Broker) -> None:
        self.proxy.cut()
        self.slow.cut()

    async def pause_server(self) -> None:
        self.server.pause()

    async def resume_server(self) -> None:
        self.server.resume()

    async def restart_server(self) -> None:
        await anyio.to_thread.run_sync(self.server.restart)


class Shortened(BrokerContract):
    """The same promises over another way in; what is long is shorter here."""

    race_count = 100
    order_count = 100
    topic_count = 1000
    session_count = 5
    cancel_count = 3

    def settings(self, prefix: str) -> RedisSettings:
        raise NotImplementedError

    def servers(self) -> list[RedisServer]:
        raise NotImplementedError

    def make_broker(self) -> Broker:
        return make_broker(self.settings("ws"))

    def make_stranger(self) -> Broker:
        return make_broker(self.settings("wsx"))

    async def cut_link(self, broker: Broker) -> None:
        """End all connections but the one that says so, as an operator would."""
        for server in self.servers():
            await anyio.to_thread.run_sync(server.command, "CLIENT", "KILL", "SKIPME", "yes")

    async def pause_server(self) -> None:
        for server in self.servers():
            server.pause()

    async def resume_server(self) -> None:
        for server in self.servers():
            server.resume()

    async def restart_server(self) -> None:
        def restart() -> None:
            for server in self.servers():
                server.kill()
            for server in self.servers():
                server.start()

        await anyio.to_thread.run_sync(restart)


@pytest.fixture(scope="module")
def unix_server() -> Generator[RedisServer]:
    with RedisServer(unix=True) as server:
        yield server


class TestUnixSocket(Shortened):
    @pytest.fixture(autouse=True)
    def _server(self, unix_server: RedisServer) -> None:
        self.server = unix_server

    def servers(self) -> list[RedisServer]:
        return [self.server]

    def settings(self, prefix: str) -> RedisSettings:
        return settings(self.server.url, prefix)


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Generator[RedisServer]:
    with RedisServer(tls=certificates) as server:
        yield server


@pytest.mark.needs("openssl")
class TestTls(Shortened):
    @pytest.fixture(autouse=True)
    def _server(self, tls_server: RedisServer, certificates: Certificates) -> None:
        self.server = tls_server
        self.ca = certificates.ca

    def servers(self) -> list[RedisServer]:
        return [self.server]

    def settings(self, prefix: str) -> RedisSettings:
        url = RedisUrl.parse(self.server.url)
        return RedisSettings(url=url, key_prefix=prefix, tls_ca_file=self.ca)


class OnUvloop:
    """The loop that uvicorn runs: another implementation of transports, TLS included."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, bool]]:
        return "asyncio", {"use_uvloop": True}


class TestUnixSocketOnUvloop(OnUvloop, TestUnixSocket):
    pass


class TestTlsOnUvloop(OnUvloop, TestTls):
    # uvloop 0.23 reports an error of its own where its create_connection(ssl=…) is cancelled during the handshake.
    test_run_can_be_cancelled_at_every_await: ClassVar[None] = None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def sentinel() -> Generator[RedisSentinel]:
    # The master is back before its sentinels give it up: what a failover does has tests of its own.
    with RedisSentinel(down_after_s=30) as sentinel:
        yield sentinel


class TestSentinel(Shortened):
    @pytest.fixture(autouse=True)
    def _server(self, sentinel: RedisSentinel) -> None:
        self.server = sentinel.servers[0]
        self.url = f"redis+sentinel://127.0.0.1:{sentinel.sentinels[0].port}/{sentinel.name}"

    def servers(self) -> list[RedisServer]:
        return [self.server]

    def settings(self, prefix: str) -> RedisSettings:
        return settings(self.url, prefix)


@pytest.fixture(scope="module")
def cluster() -> Generator[RedisCluster]:
    # As above: no node gives up another that is stopped for a moment.
    with RedisCluster(node_timeout_s=30) as cluster:
        yield cluster


class TestCluster(Shortened):
    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: RedisCluster) -> None:
        self.cluster = cluster

    def servers(self) -> list[RedisServer]:
        return self.cluster.nodes

    def settings(self, prefix: str) -> RedisSettings:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.cluster.nodes)
        return settings(f"redis+cluster://{hosts}", prefix)

    async def restart_server(self) -> None:
        await super().restart_server()
        await anyio.to_thread.run_sync(self.cluster.await_ok)
