"""A load balancer as simple as can be: new connections to whoever is ready, in turn; those that stand are left alone.

It hears of a change late, as the nodes of a cluster and its balancers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Self, cast

from servers.process import HOST

POLL_S = 0.1

Address = tuple[str, int]


class Balancer:
    """Listens on 127.0.0.1, and passes on to the addresses that it was given."""

    def __init__(self) -> None:
        self.port = 0
        self._addresses: list[Address] = []
        self._turn = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Front(self), HOST, 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    def use(self, addresses: list[Address]) -> None:
        """From now on pass new connections to these."""
        self._addresses = addresses

    def next_address(self) -> Address | None:
        """Whose turn it is; None where nobody is there."""
        if not self._addresses:
            return None
        self._turn += 1
        return self._addresses[self._turn % len(self._addresses)]


class Endpoints:
    """Keeps what the balancers use: the replicas that were ready so many seconds ago."""

    def __init__(self, is_ready: Callable[[int], Awaitable[bool]], lag_s: float) -> None:
        self.lag_s = lag_s
        self._is_ready = is_ready
        #: By replica, what its balancers pass on to.
        self._addresses: dict[int, dict[Balancer, Address]] = {}
        self._now: frozenset[int] = frozenset()

    def add(self, key: int, ports: dict[Balancer, int], host: str = HOST) -> None:
        """Look at a replica from now on."""
        self._addresses[key] = {balancer: (host, port) for balancer, port in ports.items()}

    def has(self, key: int) -> bool:
        """Whether new connections may come to a replica."""
        return key in self._now

    async def run(self) -> None:
        """Look at all, again and again."""
        loop = asyncio.get_running_loop()
        seen: frozenset[int] = frozenset()
        while True:
            keys = list(self._addresses)
            answers = await asyncio.gather(*(self._is_ready(key) for key in keys))
            ready = frozenset(key for key, answer in zip(keys, answers, strict=True) if answer)
            if ready != seen:
                seen = ready
                loop.call_later(self.lag_s, self._use, ready)
            await asyncio.sleep(POLL_S)

    def _use(self, ready: frozenset[int]) -> None:
        self._now = ready
        for balancer in {balancer for addresses in self._addresses.values() for balancer in addresses}:
            balancer.use([self._addresses[key][balancer] for key in sorted(ready)])


class _Side(asyncio.Protocol):
    """One end of a connection that is passed on."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        if self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        other = self.other
        if other is not None and other.transport is not None:
            other.reset() if exc else other.transport.close()

    def reset(self) -> None:
        """End it as a kernel does for a process that has died."""
        assert self.transport is not None
        if not self.transport.is_closing():
            with contextlib.suppress(OSError):
                connection = self.transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # Who does not read holds up the other.

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class _Front(_Side):
    """The client's end."""

    def __init__(self, balancer: Balancer) -> None:
        super().__init__()
        self._balancer = balancer
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        assert self.transport is not None
        address = self._balancer.next_address()
        back = _Side()
        back.other = self
        try:
            if address is None:
                raise ConnectionRefusedError
            await asyncio.get_running_loop().create_connection(lambda: back, *address)
        except OSError:
            self.reset()
            return
        self.other = back
        if self.transport.is_closing():
            back.reset()
        else:
            self.transport.resume_reading()
