"""A Redis Cluster of a test's own."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self

from servers.process import HOST, HeldPort, wait_until
from servers.redis.resp import RedisRefused
from servers.redis.server import RedisServer

SLOTS = 16_384


class RedisCluster:
    """``shards`` masters with ``replicas`` each; ready, with all slots served, inside its ``with`` block.

    ``nodes`` are its servers: the masters in the order of their slots, then the replicas. A node that does
    not answer is given up after ``node_timeout_s``. Lines of configuration go to each.
    """

    def __init__(self, *lines: str, shards: int = 3, replicas: int = 0, node_timeout_s: float = 1.0) -> None:
        self._shards = shards
        self._held = contextlib.ExitStack()
        self._buses: list[int] = []
        self.nodes: list[RedisServer] = []
        for _ in range(shards * (1 + replicas)):
            bus = HeldPort()
            self._held.callback(bus.close)
            self._buses.append(bus.number)
            server = RedisServer(
                "cluster-enabled yes",
                f"cluster-port {bus.number}",
                f"cluster-node-timeout {int(node_timeout_s * 1000)}",
                *lines,
            )
            self._held.callback(server.close)
            self.nodes.append(server)

    @property
    def masters(self) -> list[RedisServer]:
        """The nodes that began as masters, in the order of their slots."""
        return self.nodes[: self._shards]

    @property
    def url(self) -> str:
        """Where a client begins."""
        return self.nodes[0].url

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.await_answer()
            self._form()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def _form(self) -> None:
        """Share out the slots and let the nodes meet. By hand: redis-cli's own way waits for seconds."""
        bounds = [SLOTS * shard // self._shards for shard in range(self._shards + 1)]
        for epoch, node in enumerate(self.nodes, 1):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node, first, end in zip(self.masters, bounds, bounds[1:], strict=False):
            node.command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node, bus in zip(self.nodes, self._buses, strict=True):
            if node is not self.nodes[0]:
                self.nodes[0].command("CLUSTER", "MEET", HOST, node.port, bus)
        wait_until(lambda: all(map(self._knows_all, self.nodes)), "each node of the cluster knows the others")
        for number, replica in enumerate(self.nodes[self._shards :]):
            replica.command("CLUSTER", "REPLICATE", self.node_id(self.masters[number % self._shards]))
        self.await_ok()

    def _knows_all(self, node: RedisServer) -> bool:
        known = node.command("CLUSTER", "NODES").splitlines()
        return len(known) == len(self.nodes) and not any("handshake" in line for line in known)

    def await_ok(self) -> None:
        """Wait until each node that runs finds all slots served, and each replica has its master's data."""
        wait_until(lambda: all(self._is_ok(node) for node in self.nodes if node.process), "cluster_state:ok")

    def _is_ok(self, node: RedisServer) -> bool:
        role = node.command("ROLE").splitlines()
        linked = role[0] == "master" or role[3] == "connected"
        return linked and "cluster_state:ok" in node.command("CLUSTER", "INFO")

    def node_id(self, node: RedisServer) -> str:
        """Return the name by which the cluster knows this node."""
        return node.command("CLUSTER", "MYID")

    def slot(self, key: str) -> int:
        """Return the slot of a key or of a sharded channel."""
        return int(self.nodes[0].command("CLUSTER", "KEYSLOT", key))

    def owner(self, slot: int) -> RedisServer:
        """Return the node that serves this slot now; LookupError where none does."""
        for node in self.nodes:
            if node.process and node.command("ROLE").startswith("master") and slot in self._slots(node):
                return node
        raise LookupError(f"nobody serves slot {slot}")

    @staticmethod
    def _slots(node: RedisServer) -> set[int]:
        [mine] = [line for line in node.command("CLUSTER", "NODES").splitlines() if "myself" in line]
        served: set[int] = set()
        for span in mine.split()[8:]:
            if not span.startswith("["):  # one that is being moved
                first, _, last = span.partition("-")
                served.update(range(int(first), int(last or first) + 1))
        return served

    def failover(self, shard: int) -> RedisServer:
        """Kill the master of a shard that has a replica; return the replica, which now serves its slots."""
        master, replica = self.nodes[shard], self.nodes[shard + self._shards]
        master.kill()
        wait_until(lambda: replica.command("ROLE").startswith("master"), "the replica is the master")
        self.await_ok()
        return replica

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Give an empty slot to another master; returns when each node says so.

        Raises RedisRefused where the slot has keys, which would have to be migrated first.
        """
        if int(source.command("CLUSTER", "COUNTKEYSINSLOT", slot)):
            raise RedisRefused(f"slot {slot} has keys")
        source_id, target_id = self.node_id(source), self.node_id(target)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        others = [node for node in self.masters if node not in (source, target) and node.process]
        for node in (target, source, *others):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        wait_until(lambda: slot in self._slots(target), f"slot {slot} is moved")
