"""Grounds whose servers take over from each other: Redis with Sentinel, Redis Cluster, servers of NATS."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import anyio.to_thread

from fleets.book import Book, Ear, Message
from fleets.fleet import FleetNode
from fleets.grounds import Ground, LossBy, ServerFault
from fleets.traffic import TOPICS
from servers.nats import NatsCluster
from servers.process import HOST, ServerProcess, wait_until
from servers.proxy import TcpProxy
from servers.redis import RedisCluster, RedisRefused, RedisSentinel, RedisServer
from wigwag.broker import Broker

_target: contextvars.ContextVar[int] = contextvars.ContextVar("target")


class ManyProxy(TcpProxy):
    """A node's ways to several servers, each by a port of its own: what happens to one happens to all."""

    def __init__(self, targets: Sequence[int]) -> None:
        super().__init__(_target.get)
        self._targets = targets
        self._listening = contextlib.AsyncExitStack()
        #: Where a server is, by its own port.
        self.ports: dict[int, int] = {}

    async def start(self) -> None:
        for target in self._targets:
            server = await asyncio.start_server(functools.partial(self._accept_for, target), HOST, 0)
            self._listening.push_async_callback(server.wait_closed)
            self._listening.callback(server.close)
            self.ports[target] = server.sockets[0].getsockname()[1]

    def _accept_for(self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _target.set(target)  # the link's task begins with a copy
        self._accept(reader, writer)

    async def aclose(self) -> None:
        await super().aclose()
        await self._listening.aclose()


class ClusterGround(Ground):
    """Several servers, started and ended together by ``cluster``."""

    recovery_s = 30.0
    cluster: Any

    def __init__(self) -> None:
        super().__init__()
        self._ways: dict[int, ManyProxy] = {}

    @property
    @abstractmethod
    def processes(self) -> Sequence[ServerProcess]:
        """All servers that a node may connect to."""

    def proxy(self, slot: int) -> TcpProxy:
        self._ways[slot] = ManyProxy([process.port for process in self.processes])
        return self._ways[slot]

    @staticmethod
    def broker_at(port: int, prefix: str) -> Broker:
        raise NotImplementedError  # there is no one port

    async def run(self, act: Callable[..., object], *arguments: object) -> None:
        """Do what blocks, in a thread."""
        await anyio.to_thread.run_sync(act, *arguments)

    async def kill_one(self, victim: ServerProcess, seconds: float) -> None:
        """A server crashes, and is started again after a while, as what it was."""
        await self.run(victim.kill)
        await anyio.sleep(seconds)
        await self.run(victim.start)
        await self.run(self.mend)

    async def pause_one(self, victim: ServerProcess, seconds: float) -> None:
        """A server hangs for a while; another may take over."""
        await self.run(victim.pause)
        try:
            await anyio.sleep(seconds)
        finally:
            victim.resume()
        await self.run(self.mend)

    @abstractmethod
    def mend(self) -> None:
        """Return when all servers are up again, and one could take over from another."""


class RedisClientsGround(ClusterGround):
    """Redis names its own addresses to clients, so that each connection is led through the proxy as it is made."""

    cluster: RedisSentinel | RedisCluster
    url: str

    def make_broker(self, slot: int) -> Broker:
        from wigwag_redis import RedisSettings, RedisUrl
        from wigwag_redis.check import make_broker
        from wigwag_redis.url import Address

        url = RedisUrl.parse(self.url)
        settings = RedisSettings(url=url, key_prefix=self.prefix, connect_timeout=1.0, failover_s=2.0)
        broker = make_broker(settings)
        dialer, ports = broker._dialer, self._ways[slot].ports
        dial = dialer.connection
        dialer.connection = lambda address: dial(Address(HOST, ports[address.port]))  # type: ignore[method-assign]
        return broker

    @property
    @abstractmethod
    def masters(self) -> Sequence[RedisServer]:
        """The servers that messages go through."""

    async def kill_links(self, kind: str) -> None:
        for master in self.masters:
            with contextlib.suppress(OSError):
                await self.run(master.command, "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    @property
    def server_faults(self) -> Mapping[str, ServerFault]:
        return {
            "kill a master": lambda seconds: self.kill_one(self.rng.choice(self.masters), seconds),
            "stop a master": lambda seconds: self.pause_one(self.rng.choice(self.masters), seconds),
            "CLIENT KILL pubsub": lambda _: self.kill_links("pubsub"),
            "CLIENT KILL normal": lambda _: self.kill_links("normal"),
        }


class SentinelGround(RedisClientsGround):
    """A master, its replica and three Sentinels."""

    name = "redis-sentinel"
    patience_s = 2.0
    cluster: RedisSentinel

    def __init__(self) -> None:
        super().__init__()
        self.cluster = RedisSentinel(sentinels=3)
        watchers = ",".join(f"{HOST}:{each.port}" for each in self.cluster.sentinels)
        self.url = f"redis+sentinel://{watchers}/{self.cluster.name}"

    @property
    def processes(self) -> Sequence[ServerProcess]:
        return [*self.cluster.sentinels, *self.cluster.servers]

    @property
    def masters(self) -> Sequence[RedisServer]:
        return [self.cluster.master]

    def server_of(self, broker: Broker) -> int | None:
        from wigwag_redis import RedisBroker

        assert isinstance(broker, RedisBroker)
        return broker.pairs[0].address.port

    def explain(self, sender: FleetNode, receiver: FleetNode, ear: Ear, message: Message) -> LossBy | None:
        if message.ended is None:
            return None
        sent_to, heard_from = (node.server_at(message.began, message.ended) for node in (sender, receiver))
        return None if None in (sent_to, heard_from) or sent_to == heard_from else "split"

    def mend(self) -> None:
        """Not by Sentinel, which takes ten seconds to make a replica of a master that came back."""
        wait_until(self._is_whole, "a master and its replica that all Sentinels agree on")

    def _is_whole(self) -> bool:
        cluster = self.cluster
        if len({_master_port(each, cluster.name) for each in cluster.sentinels}) > 1:
            return False
        master, other = cluster.master, cluster.replica
        role = other.command("ROLE").splitlines()
        if not master.command("ROLE").startswith("master"):
            return False
        if role[0] == "master":
            other.command("REPLICAOF", HOST, master.port)
            for kind in ("normal", "pubsub"):  # as Sentinel does
                other.command("CLIENT", "KILL", "TYPE", kind)
            return False
        return role[3] == "connected" and all(map(cluster._sees_all, cluster.sentinels))

    async def failover(self, seconds: float) -> None:
        """An operator asks for it; the old master serves on for a while, until it is told."""
        await self.run(self.cluster.failover)
        await anyio.sleep(seconds)
        await self.run(self.mend)

    async def failover_by_death(self, seconds: float) -> None:
        """The master dies, and comes back when the replica has taken over."""
        old = self.cluster.master
        await self.run(functools.partial(self.cluster.failover, kill=True))
        await self.run(old.start)
        await self.run(self.mend)

    @property
    def server_faults(self) -> Mapping[str, ServerFault]:
        return {
            "failover": self.failover,
            "failover by death": self.failover_by_death,
            **super().server_faults,
        }


def _master_port(sentinel: RedisServer, name: str) -> int:
    return int(sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name).splitlines()[1])


class RedisClusterGround(RedisClientsGround):
    """Three shards, with a replica each."""

    name = "redis-cluster"
    cluster: RedisCluster
    shards = 3

    def __init__(self) -> None:
        super().__init__()
        self.cluster = RedisCluster(shards=self.shards, replicas=1)
        nodes = ",".join(f"{HOST}:{node.port}" for node in self.cluster.nodes)
        self.url = f"redis+cluster://{nodes}"

    @property
    def processes(self) -> Sequence[ServerProcess]:
        return self.cluster.nodes

    @property
    def masters(self) -> Sequence[RedisServer]:
        return self.cluster.masters

    def mend(self) -> None:
        """Wait until each shard has a master and a replica, and list the masters first, as the cluster's owner does."""
        wait_until(self._is_whole, "three masters and their replicas")

    def _is_whole(self) -> bool:
        nodes = self.cluster.nodes
        self.cluster.await_ok()
        are_masters = [node.command("ROLE").startswith("master") for node in nodes]
        for shard in range(self.shards):
            replica = shard + self.shards
            if are_masters[shard] == are_masters[replica]:
                return False
            if are_masters[replica]:
                nodes[shard], nodes[replica] = nodes[replica], nodes[shard]
        return True

    async def failover_by_death(self, seconds: float) -> None:
        """A master dies, and comes back when its replica has taken over."""
        shard = self.rng.randrange(self.shards)
        old = self.cluster.nodes[shard]
        await self.run(self.cluster.failover, shard)
        await self.run(old.start)
        await self.run(self.mend)

    async def failover(self, seconds: float) -> None:
        """An operator has a replica take over from a master that is well."""
        replica = self.cluster.nodes[self.shards + self.rng.randrange(self.shards)]
        await self.run(replica.command, "CLUSTER", "FAILOVER")
        await self.run(
            wait_until, lambda: replica.command("ROLE").startswith("master"), "the replica is the master"
        )
        await self.run(self.mend)

    async def move_slots(self, seconds: float) -> None:
        """Slots of some of the topics go to another master, one after another."""
        for topic in self.rng.sample(TOPICS, 5):
            slot = self.cluster.slot(f"{self.prefix}:{topic}")
            source = self.cluster.owner(slot)
            target = self.rng.choice([each for each in self.masters if each is not source])
            with contextlib.suppress(RedisRefused):
                await self.run(self.cluster.move_slot, slot, source, target)
        await self.run(self.mend)

    @property
    def server_faults(self) -> Mapping[str, ServerFault]:
        return {
            "failover by death": self.failover_by_death,
            "failover": self.failover,
            "slots move": self.move_slots,
            **super().server_faults,
        }


class NatsClusterGround(ClusterGround):
    """Three servers with routes between each other; each session is with one of them, at random."""

    name = "nats-cluster"
    cluster: NatsCluster

    def __init__(self) -> None:
        super().__init__()
        self.cluster = NatsCluster(3)
        #: Moments before and after, and the server's port.
        self._kills: list[tuple[int, int, int]] = []

    @property
    def processes(self) -> Sequence[ServerProcess]:
        return self.cluster.nodes

    def make_broker(self, slot: int) -> Broker:
        from wigwag_nats import NatsBroker, NatsSettings, ServerUrl

        servers = tuple(ServerUrl(HOST, port) for port in self._ways[slot].ports.values())
        return NatsBroker(NatsSettings(servers=servers, prefix=self.prefix, connect_timeout=1.0))

    def mend(self) -> None:
        self.cluster.await_routes()

    def begin(self, book: Book, rng: random.Random) -> None:
        super().begin(book, rng)
        self._kills.clear()

    async def kill_one(self, victim: ServerProcess, seconds: float) -> None:
        before = self.book.now()
        await self.run(victim.kill)
        self._kills.append((before, self.book.now(), victim.port))
        await anyio.sleep(seconds)
        await self.run(victim.start)
        await self.run(self.mend)

    def server_of(self, broker: Broker) -> int | None:
        from wigwag_nats import NatsBroker

        assert isinstance(broker, NatsBroker)
        assert broker.link is not None
        by_port = {own: port for way in self._ways.values() for port, own in way.ports.items()}
        return by_port[broker.link.server.port]

    def explain(self, sender: FleetNode, receiver: FleetNode, ear: Ear, message: Message) -> LossBy | None:
        """What a server has taken it passes on to the others a moment later, or never, where it is killed in between.

        NATS says nothing of it to anybody: see providers/nats/README.md. Only what it took last can be concerned.
        """
        if message.ended is None:
            return None
        for before, after, port in self._kills:
            # One session of the sender's, from the message to its confirmation and to the kill, so that what the
            # server took when it was back is not meant; and one of the receiver's, elsewhere.
            until = max(before, message.ended)
            was_there = message.began < after and sender.server_at(message.began, until) == port
            if not was_there or receiver.server_at(before, after) in (None, port):
                continue
            later = (
                heard
                for _, heard in ear.heard
                if heard.publisher.startswith(f"{sender.name}.") and message.began < heard.began < before
            )
            if not any(later):
                return "crash"
        return None

    @property
    def server_faults(self) -> Mapping[str, ServerFault]:
        return {
            "kill a server": lambda seconds: self.kill_one(self.rng.choice(self.cluster.nodes), seconds),
            "stop a server": lambda seconds: self.pause_one(self.rng.choice(self.cluster.nodes), seconds),
        }


CLUSTERS: dict[str, type[ClusterGround]] = {
    ground.name: ground for ground in (SentinelGround, RedisClusterGround, NatsClusterGround)
}
