"""The broker that docs/writing-a-provider.md shows passes the conformance suite, against a server as it says."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from documents import ROOT, blocks
from servers.proxy import TcpProxy
from wigwag.broker import Broker
from wigwag.testing.contract import BrokerContract
from wigwag.testing.contract.hooks import OPTIONAL


def shown() -> ModuleType:
    """What the page's Python defines."""
    module = ModuleType("the_page")
    sys.modules[module.__name__] = module
    for block in blocks(ROOT / "docs/writing-a-provider.md", "python"):
        exec(compile(block.text, block.at, "exec", dont_inherit=True), module.__dict__)
    return module


PAGE: Any = shown()


class LineServer:
    """A pub/sub server that speaks lines of JSON."""

    def __init__(self) -> None:
        self._subscribed: dict[str, set[asyncio.StreamWriter]] = defaultdict(set)
        self._writers: set[asyncio.StreamWriter] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    async def __aenter__(self) -> LineServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        async with asyncio.timeout(5):
            await self._all_gone.wait()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._all_gone.clear()
        try:
            while line := await reader.readline():
                self._do(json.loads(line), writer)
                await writer.drain()
        except OSError:
            pass
        finally:
            for writers in self._subscribed.values():
                writers.discard(writer)
            writer.transport.abort()
            self._writers.discard(writer)
            if not self._writers:
                self._all_gone.set()

    def _do(self, request: list[str], writer: asyncio.StreamWriter) -> None:
        kind, channel, *rest = request
        if kind == "sub":
            self._subscribed[channel].add(writer)
        elif kind == "unsub":
            self._subscribed[channel].discard(writer)
        else:
            for other in self._subscribed[channel]:
                other.write(json.dumps(["msg", channel, *rest]).encode() + b"\n")
        writer.write(b'["ok"]\n')


class TestThePage(BrokerContract):
    without = ("pause_server", "restart_server")  # it runs in this process

    @pytest.fixture(autouse=True)
    async def server(self) -> AsyncIterator[None]:
        async with LineServer() as server, TcpProxy(server.port) as near, TcpProxy(server.port) as far:
            far.delay_s = 0.005
            self.near, self.far = near, far
            yield

    def _broker(self, proxy: TcpProxy, **settings: str) -> Broker:
        broker: Broker = PAGE.LineBroker(PAGE.LineSettings(server=f"127.0.0.1:{proxy.port}", **settings))
        return broker

    def make_broker(self) -> Broker:
        return self._broker(self.near)

    def make_slow_broker(self) -> Broker:
        return self._broker(self.far)

    def make_stranger(self) -> Broker:
        return self._broker(self.near, prefix="other")

    async def cut_link(self, broker: Broker) -> None:
        self.near.cut()
        self.far.cut()


@pytest.mark.parametrize(
    "hook", ["make_broker", "make_slow_broker", *(hook for hook, how in OPTIONAL.items() if how)]
)
def test_the_page_names_each_hook_of_the_suite(hook: str) -> None:
    text = (ROOT / "docs/writing-a-provider.md").read_text()
    assert re.search(rf"\| `(async )?{hook}\(", text)
