"""Memory passes the conformance suite, on asyncio and on trio: what a plugin's own tests look like."""

from __future__ import annotations

import pytest

from wigwag.broker import Broker
from wigwag.memory import MemoryBroker
from wigwag.testing.contract import BrokerContract


class TestMemory(BrokerContract):
    without = ("nodes", "make_stranger", "cut_link", "pause_server", "restart_server")

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def make_broker(self) -> Broker:
        return MemoryBroker()
