"""The ways of receiving and of publishing that are compared, by broker and name.

A way to receive runs until it is cancelled: it calls ``ready`` when what is published from then on reaches it, and
``count`` for each message. A way to publish runs until the meter is over, with so many publishes in flight.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from meter import Meter

#: What everything is published to.
TOPIC = "room:bench"
#: Under which keys and subjects wigwag has it, so that all receive the same.
PREFIX = "ws"
#: How many publishes are in flight when there are several; how many a peer flushes at once.
IN_FLIGHT = 64


class Receive(Protocol):
    """A way to receive."""

    async def __call__(
        self, url: str, ready: Callable[[], object], count: Callable[[object], object]
    ) -> None:
        """Receive until it is cancelled."""
        ...


class Publish(Protocol):
    """A way to publish."""

    async def __call__(self, url: str, text: str, meter: Meter) -> None:
        """Publish until the meter is over."""
        ...


@dataclass(frozen=True)
class Ways:
    """What a module has: its ways, by name, ours first."""

    receive: Mapping[str, Receive]
    publish: Mapping[str, Publish]  # with IN_FLIGHT in flight
    publish_singly: Mapping[str, Publish] = field(default_factory=dict)


OURS = "wigwag"
BROKERS = ("local", "redis", "nats", "kafka")


def ways_of(broker: str) -> Ways:
    """The ways of a broker; its client library is imported here."""
    found = importlib.import_module(f"{broker}_ways").WAYS
    assert isinstance(found, Ways)
    return found


async def in_tasks(publish: Callable[[], Awaitable[object]], meter: Meter, tasks: int = IN_FLIGHT) -> None:
    """Publish in so many tasks, each one message after the other."""

    async def publish_on() -> None:
        while not meter.is_over:
            await publish()
            meter.count()

    await asyncio.gather(*(publish_on() for _ in range(tasks)))


async def in_groups(publish: Callable[[], Awaitable[object]], meter: Meter, size: int = IN_FLIGHT) -> None:
    """Publish one group of so many after the other."""
    while not meter.is_over:
        await publish()
        meter.count_many(size)
