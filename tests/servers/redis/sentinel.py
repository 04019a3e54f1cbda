"""A Redis master, its replica, and Sentinels that watch them, of a test's own."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from servers.process import HOST, wait_until
from servers.redis.resp import RedisRefused
from servers.redis.server import RedisServer


class Sentinel(RedisServer):
    """One Sentinel; it writes into its own configuration what it finds out."""

    def command_line(self) -> Sequence[str]:
        return [*super().command_line(), "--sentinel"]

    def base(self) -> str:
        return f'bind {HOST}\nport {self.port}\ndaemonize no\ndir "{self.directory}"'


class RedisSentinel:
    """A master and a replica, watched by Sentinels under the name ``name``; lines go to both servers.

    Quorum 1: any Sentinel finds the master down, though of three, two have to agree on who leads the
    failover. A server that is silent for ``down_after_s`` counts as down.
    """

    name = "wigwag"

    def __init__(
        self,
        *lines: str,
        sentinels: int = 1,
        sentinel_lines: Sequence[str] = (),
        down_after_s: float = 0.5,
    ) -> None:
        first = RedisServer(*lines)
        self.servers = [first, RedisServer(f"replicaof {HOST} {first.port}", *lines)]
        watch = [
            f"sentinel monitor {self.name} {HOST} {first.port} 1",
            f"sentinel down-after-milliseconds {self.name} {int(down_after_s * 1000)}",
            f"sentinel failover-timeout {self.name} 3000",
        ]
        self.sentinels = [Sentinel(*watch, *sentinel_lines) for _ in range(sentinels)]

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.start()
            wait_until(lambda: "connected" in self.servers[1].command("ROLE"), "a replica with its data")
            # Only now: a Sentinel asks at once who the replicas are, and then again after ten seconds.
            for sentinel in self.sentinels:
                sentinel.start()
            wait_until(lambda: all(map(self._sees_all, self.sentinels)), "Sentinels that see all")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all, and give back what they held."""
        for server in (*self.sentinels, *self.servers):
            server.close()

    def _sees_all(self, sentinel: Sentinel) -> bool:
        told = sentinel.command("SENTINEL", "MASTER", self.name).splitlines()
        state = dict(zip(told[::2], told[1::2], strict=False))
        others = int(state["num-other-sentinels"]) == len(self.sentinels) - 1
        return others and state["num-slaves"] == "1" and state["flags"] == "master"

    @property
    def master_port(self) -> int:
        """The port that a Sentinel which runs names as the master's."""
        asked = next(each for each in self.sentinels if each.process)
        return int(asked.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name).splitlines()[1])

    @property
    def master(self) -> RedisServer:
        """The server that the Sentinels name as the master."""
        port = self.master_port
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        master = self.master
        return next(server for server in self.servers if server is not master)

    def failover(self, *, kill: bool = False) -> int:
        """Make the replica the master, and return its port when the Sentinels name it.

        Without ``kill``, as an operator would: the old master becomes the replica, and its connections are
        closed when it is told so. With it, the master dies and stays dead until ``start``.
        """
        old, new = self.master, self.replica
        if kill:
            old.kill()
        else:
            wait_until(self._began, "a failover that a Sentinel begins")
        wait_until(lambda: self._is_master(new), "the replica is the master")
        return new.port

    def _began(self) -> bool:
        try:
            self.sentinels[0].command("SENTINEL", "FAILOVER", self.name)
        except RedisRefused as refused:
            if str(refused).startswith(("NOGOODSLAVE", "INPROG")):
                return str(refused).startswith("INPROG")
            raise
        return True

    def _is_master(self, server: RedisServer) -> bool:
        named = {
            int(each.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name).splitlines()[1])
            for each in self.sentinels
            if each.process
        }
        return named == {server.port} and server.command("ROLE").startswith("master")
