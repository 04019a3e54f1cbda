"""The in-process broker: one process, nothing to install, nothing to configure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import anyio

from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox
from wigwag.plugins import ProviderPlugin, hookimpl


@dataclass(frozen=True)
class MemorySettings:
    """There is nothing to set."""


class MemoryBroker(Broker):
    """Delivers to the sockets of this process.

    A provider takes the shorter way and delivers directly (``in_process``); what stands here is the
    whole contract all the same, and the smallest example of one.
    """

    in_process: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(scope="process", order="sessions")

    def __init__(self) -> None:
        self._inbox: Inbox | None = None
        self._topics: set[str] = set()

    async def run(self, inbox: Inbox) -> None:
        self._inbox = inbox
        inbox.ready()
        await anyio.sleep_forever()

    async def subscribe(self, topics: Sequence[str]) -> None:
        self._topics.update(topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        self._topics.difference_update(topics)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        if self._inbox is None:
            raise BrokerLost("there is no session")
        for topic, payload in messages:
            if topic in self._topics:
                self._inbox.deliver(topic, payload)

    async def close(self) -> None:
        self._inbox = None
        self._topics.clear()


@hookimpl
def wigwag_provider() -> ProviderPlugin[MemorySettings]:
    """The plugin: found by its entry point, like any other."""
    return ProviderPlugin(
        name="memory",
        summary="in-process: the sockets of this process only; nothing to install",
        settings=MemorySettings,
        create=lambda _: MemoryBroker(),
    )
