"""Nodes on one fake network, with their sockets: what each test of the provider begins with."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

import anyio

from clocks import settle
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeBroker, FakeNetwork, FakeSocket


class NodeUnderTest:
    """A provider with its broker, and short ways to what tests do with it."""

    def __init__(self, broker: FakeBroker, provider: Provider) -> None:
        self.broker = broker
        self.provider = provider

    def attach(self, user_id: str | None = None) -> FakeSocket:
        """A new socket of this node."""
        socket = FakeSocket(self.provider.new_socket_id(), user_id)
        self.provider.attach(socket)
        return socket

    async def join(self, *topics: str) -> FakeSocket:
        """A new socket that has subscribed."""
        socket = self.attach()
        await self.provider.subscribe(socket.id, *topics)
        return socket


class World:
    """A network, and the nodes on it, which are stopped at the end."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def make(self, broker: FakeBroker | None = None, **settings: Any) -> NodeUnderTest:
        """A node that has not been started."""
        broker = broker or FakeBroker(self.network)
        provider = Provider(broker, settings=ProviderSettings(**{"linger_s": 0.0, **settings}))
        return NodeUnderTest(broker, provider)

    async def node(self, broker: FakeBroker | None = None, **settings: Any) -> NodeUnderTest:
        """A node that runs, with all that it has to do at first done."""
        node = self.make(broker, **settings)
        self._stack.push_async_callback(node.provider.stop)
        await node.provider.start()
        await settle()
        return node

    def check(self) -> None:
        """Core kept its promises to the broker."""
        for broker in self.network.brokers:
            assert not broker.violations


async def pass_time(seconds: float) -> None:
    """Let so much time go by, and be done with what it brings."""
    await anyio.sleep(seconds)
    await settle()


async def begin_outage(node: NodeUnderTest) -> None:
    """Lose the link, and hold the next one back."""
    node.broker.connecting.shut()
    node.broker.cut()
    await pass_time(1)
    assert node.broker.connecting.held == 1


async def end_outage(node: NodeUnderTest) -> None:
    """Let the link come back."""
    node.broker.connecting.open()
    await settle()


def is_running(node: NodeUnderTest) -> bool:
    return node.provider.is_running


def runs(broker: FakeBroker) -> tuple[int, int]:
    """How often it was run, and closed."""
    return len(broker.called("run")), len(broker.called("close"))
