"""Nodes on a Redis: what each test of the provider begins with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeSocket
from wigwag.testing.contract.checks import until
from wigwag_redis import RedisSettings, RedisUrl
from wigwag_redis.check import AnyBroker, make_broker


class Node:
    """A provider that runs, with its broker."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.broker: AnyBroker = make_broker(RedisSettings(url=RedisUrl.parse(url), **settings))
        # Quick, so that a test does not last; none of them waits for such a time.
        provider = ProviderSettings(
            linger_s=0, probe_interval_s=0.1, probe_timeout_s=1, backoff_base_s=0.01, backoff_cap_s=0.1
        )
        self.provider = Provider(self.broker, settings=provider)

    def new_socket(self) -> FakeSocket:
        """A socket of this node, which goes when it is closed."""
        socket = FakeSocket(self.provider.new_socket_id())
        self.provider.attach(socket)
        socket.on_close = lambda: self.provider.detach(socket.id)
        return socket

    @property
    def is_up(self) -> bool:
        """Whether its session is ready and has heard its probe."""
        return self.provider.node is not None and self.provider.node.is_up

    async def join(self, *topics: str) -> FakeSocket:
        """A socket of this node that has subscribed."""
        socket = self.new_socket()
        await self.provider.subscribe(socket.id, *topics)
        return socket


MakeNode = Callable[..., Awaitable[Node]]


@pytest.fixture
def anyio_backend() -> str:
    """redis-py is an asyncio library."""
    return "asyncio"


@pytest.fixture
async def make_node() -> AsyncIterator[MakeNode]:
    """Start a node, and return it when it is up; the test's end stops it."""
    async with AsyncExitStack() as stack:

        async def make(url: str, **settings: Any) -> Node:
            node = Node(url, **settings)
            await node.provider.start()
            stack.push_async_callback(node.provider.stop)
            await until(lambda: node.is_up, 10, "the node was not up")
            return node

        yield make
