"""What a fleet stands on: a real server, a proxy for each node, and the plugin's broker."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import anyio.to_thread

from fleets.book import Book, Ear, Message
from servers.hub import HubServer
from servers.nats import NatsServer
from servers.process import HOST, HeldPort, ServerProcess
from servers.proxy import TcpProxy
from servers.redis import RedisServer
from wigwag.broker import Broker
from wigwag.local import LocalBroker, LocalSettings
from wigwag.provider import ProviderSettings

if TYPE_CHECKING:
    from fleets.fleet import FleetNode

#: The largest fleet.
SLOTS = 5
_fleets = itertools.count(1)

SETTINGS = ProviderSettings(
    linger_s=0.1,
    subscribe_timeout_s=2.0,
    publish_timeout_s=2.0,
    probe_interval_s=0.2,
    probe_timeout_s=1.0,
    probe_limit_s=6.0,
    session_timeout_s=3.0,
    backoff_base_s=0.02,
    backoff_cap_s=0.3,
    stop_timeout_s=1.0,
)

#: "split": its publisher's node was still at the old master, and the socket's at the new one. "crash": it was among
#: the last that a server took before it was killed, and the socket's node was at another.
LossBy = Literal["split", "crash"]
ServerFault = Callable[[float], Awaitable[None]]


class Ground(ABC):
    """A server that runs as long as a ``with`` block; it outlives fleets, each of which has a prefix of its own."""

    name: ClassVar[str]
    settings: ClassVar[ProviderSettings] = SETTINGS
    #: Nothing is lost while a link is down.
    keeps: ClassVar[bool] = False
    #: How long after a fault its effects may show.
    grace_s: ClassVar[float] = 3.0
    #: How long a server may take to come back, and the fleet with it.
    recovery_s: ClassVar[float] = 20.0
    #: How long a socket may wait for its word, once all is live.
    patience_s: ClassVar[float] = 5.0
    #: How often something happens to the server, about.
    server_fault_s: ClassVar[float] = 2.5
    #: By how much publishers are slower than on the fastest.
    pace: ClassVar[float] = 1.0

    server: ServerProcess

    def __init__(self) -> None:
        self._held = [HeldPort() for _ in range(SLOTS)]
        self.rng = random.Random(0)
        self.book = Book()
        #: Of the fleet that is there now.
        self.prefix = ""

    @property
    def proxy_ports(self) -> list[int]:
        """Where the proxies are, by slot."""
        return [held.number for held in self._held]

    def target(self, slot: int) -> int:
        """The server's port for the node in this slot."""
        return self.server.port

    def begin(self, book: Book, rng: random.Random) -> None:
        """A new fleet begins, which hears nothing of those before; ``rng`` chooses what faults hit."""
        self.book = book
        self.rng = rng
        self.prefix = f"fleet-{next(_fleets)}"

    def proxy(self, slot: int) -> TcpProxy:
        """A new proxy of the node in this slot, which is not started yet."""
        return TcpProxy(self.target(slot), self.proxy_ports[slot])

    def make_broker(self, slot: int) -> Broker:
        """A broker for a node in this slot, which goes through the slot's proxy."""
        return self.broker_at(self.proxy_ports[slot], self.prefix)

    @staticmethod
    @abstractmethod
    def broker_at(port: int, prefix: str) -> Broker:
        """A broker of a fleet's, for what listens on this port."""

    def server_of(self, broker: Broker) -> int | None:
        """Which of several servers a broker is connected to, where that counts."""
        return None

    def explain(self, sender: FleetNode, receiver: FleetNode, ear: Ear, message: Message) -> LossBy | None:
        """By what a message that was taken, and of which nobody was told, may have been lost, if that is known."""
        return None

    @staticmethod
    def child_environment() -> dict[str, str]:
        """What a process needs to import what the tests do."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def close(self) -> None:
        for held in self._held:
            held.close()

    # What can happen to the server. Each takes a time in seconds, and returns when all is well again.

    async def kill(self, seconds: float) -> None:
        """It crashes, and is started again after a while."""
        self.server.kill()
        await anyio.sleep(seconds)
        await anyio.to_thread.run_sync(self.server.start)

    async def pause(self, seconds: float) -> None:
        """It hangs for a while."""
        await anyio.to_thread.run_sync(self.server.pause)
        try:
            await anyio.sleep(seconds)
        finally:
            self.server.resume()

    @property
    def server_faults(self) -> Mapping[str, ServerFault]:
        """What can happen, by name; the first is the first that does."""
        return {"kill the server": self.kill, "stop the server": self.pause}


class RedisGround(Ground):
    name = "redis"
    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.server = RedisServer()

    @staticmethod
    def broker_at(port: int, prefix: str) -> Broker:
        from wigwag_redis import RedisBroker, RedisSettings, RedisUrl

        url = RedisUrl.parse(f"redis://{HOST}:{port}")
        return RedisBroker(RedisSettings(url=url, key_prefix=prefix, connect_timeout=1.0))

    async def command(self, *words: str) -> None:
        """Ask the server, unless it is down."""
        with contextlib.suppress(OSError):
            await anyio.to_thread.run_sync(self.server.command, *words)

    async def kill_subscribers(self, seconds: float) -> None:
        """Only the links that receive are cut, by the server."""
        await self.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def kill_publishers(self, seconds: float) -> None:
        """Only the links that send are cut, by the server."""
        await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def demote(self, seconds: float) -> None:
        """It becomes a replica, of a master that is not there."""
        await self.command("REPLICAOF", HOST, "1")
        try:
            await anyio.sleep(seconds)
        finally:
            await self.command("REPLICAOF", "NO", "ONE")

    @property
    def server_faults(self) -> Mapping[str, ServerFault]:
        return {
            **super().server_faults,
            "CLIENT KILL pubsub": self.kill_subscribers,
            "CLIENT KILL normal": self.kill_publishers,
            "REPLICAOF": self.demote,
        }


class NatsGround(Ground):
    name = "nats"
    server: NatsServer

    def __init__(self) -> None:
        super().__init__()
        self.server = NatsServer()

    @staticmethod
    def broker_at(port: int, prefix: str) -> Broker:
        from wigwag_nats import NatsBroker, NatsSettings, ServerUrl

        servers = (ServerUrl(HOST, port),)
        return NatsBroker(NatsSettings(servers=servers, prefix=prefix, connect_timeout=1.0))


class KafkaGround(Ground):
    """Kafka sends its clients to the address that a listener advertises: each slot has a listener of its own."""

    name = "kafka"
    # aiokafka mends its links by itself: a probe must leave it the time, on a machine that is busy too.
    settings = replace(SETTINGS, probe_timeout_s=3.0, session_timeout_s=6.0)
    keeps = True
    grace_s = 10.0
    recovery_s = 40.0
    server_fault_s = 7.0
    pace = 3.0

    def __init__(self) -> None:
        super().__init__()
        self._listeners = [HeldPort() for _ in range(SLOTS)]
        self.server = self._make_server()

    def _make_server(self) -> ServerProcess:
        from servers.kafka import KafkaServer

        listened = [held.number for held in self._listeners]
        advertised = self.proxy_ports

        class Behind(KafkaServer):
            def properties(self) -> dict[str, str]:
                properties = super().properties()
                for slot, (own, shown) in enumerate(zip(listened, advertised, strict=True)):
                    properties["listeners"] += f",SLOT{slot}://{HOST}:{own}"
                    properties["advertised.listeners"] += f",SLOT{slot}://{HOST}:{shown}"
                    properties["listener.security.protocol.map"] += f",SLOT{slot}:PLAINTEXT"
                return properties

        return Behind()

    def target(self, slot: int) -> int:
        return self._listeners[slot].number

    @staticmethod
    def broker_at(port: int, prefix: str) -> Broker:
        from wigwag_kafka import Address, KafkaBroker, KafkaSettings

        settings = KafkaSettings(
            bootstrap_servers=(Address(f"{HOST}:{port}"),),
            topic=prefix,
            partitions=4,
            request_timeout_s=1.0,
            connect_timeout=4.0,
        )
        return KafkaBroker(settings)

    def close(self) -> None:
        super().close()
        for held in self._listeners:
            held.close()


class LocalGround(Ground):
    """A hub; nothing but its path keeps fleets apart, and one is over before the next begins."""

    name = "local"
    server: HubServer

    def __init__(self) -> None:
        super().__init__()
        self.server = HubServer()
        self.server.path = self._path(self.server.port)

    @staticmethod
    def _path(port: int) -> Path:
        """Where the proxy is, or the hub, that has this port, and nobody else has."""
        return Path(tempfile.gettempdir()) / f"wigwag-fleet-{port}"

    def proxy(self, slot: int) -> TcpProxy:
        return TcpProxy(self.server.url, path=self._path(self.proxy_ports[slot]))

    @staticmethod
    def broker_at(port: int, prefix: str) -> Broker:
        return LocalBroker(LocalSettings(path=LocalGround._path(port)))

    def close(self) -> None:
        super().close()
        for path in (self.server.path, *map(self._path, self.proxy_ports)):
            path.unlink(missing_ok=True)
        self.server.path.with_name(f"{self.server.path.name}.lock").unlink(missing_ok=True)


GROUNDS: dict[str, type[Ground]] = {
    ground.name: ground for ground in (LocalGround, RedisGround, NatsGround, KafkaGround)
}
