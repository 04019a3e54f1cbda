"""What core alone costs, with so many topics held: ``core_alone.py SECONDS TOPICS…``.

A process of its own, which prints a line of JSON: µs of CPU time of a join and leave, and of a publish to ten
sockets, for each number of topics. No server and no wire: sockets that throw away what they get, and others that
hold the topics, a hundred each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from wigwag import create_provider
from wigwag.frames import Frame
from wigwag.provider import Provider

HELD_BY_EACH = 100
SUBSCRIBERS = 10
AT_ONCE = 200
SLICES = 9
TOPIC, TEXT = "room", "x" * 128


class DeafSocket:
    """A socket without a wire."""

    user_id: str | None = None

    def __init__(self, provider: Provider) -> None:
        self.id = provider.new_socket_id()
        self._provider = provider
        provider.attach(self)

    def write(self, frame: Frame) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""

    def close(self, code: int, reason: str) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""
        self._provider.detach(self.id)


class Node:
    """A provider that holds so many topics, beside the one that is published to."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._joiner = DeafSocket(provider)

    async def fill(self, topics: int) -> None:
        """Let there be subscribers, and others that hold the topics."""
        for _ in range(SUBSCRIBERS):
            await self._provider.subscribe(DeafSocket(self._provider).id, TOPIC)
        for begin in range(0, topics, HELD_BY_EACH):
            held = range(begin, min(begin + HELD_BY_EACH, topics))
            await self._provider.subscribe(DeafSocket(self._provider).id, *(f"held:{n}" for n in held))

    async def join_and_leave(self, number: int) -> None:
        """A topic that nobody has yet."""
        await self._provider.subscribe(self._joiner.id, f"joined:{number}")
        await self._provider.unsubscribe(self._joiner.id, f"joined:{number}")

    async def publish(self, _: int) -> None:
        """To the subscribers."""
        await self._provider.publish(TOPIC, TEXT)


async def cost_us(work: Callable[[int], Awaitable[None]], run_s: float) -> float:
    """Of one call, of so many that they take so long."""
    began_s, calls = time.process_time(), 0
    while time.process_time() - began_s < run_s:
        for number in range(AT_ONCE):
            await work(number)
        calls += AT_ONCE
    return (time.process_time() - began_s) / calls * 1e6


async def measure(run_s: float, sizes: list[int]) -> dict[str, float]:
    """Medians of slices, the sizes in turn, since the processor's speed changes; the keys are a report's cells."""
    costs: dict[str, list[float]] = {}
    async with contextlib.AsyncExitStack() as held:
        nodes: dict[int, Node] = {}
        for topics in sizes:
            nodes[topics] = Node(await held.enter_async_context(create_provider("memory", environ={})))
            await nodes[topics].fill(topics)
        for _ in range(SLICES):
            for topics, node in nodes.items():
                for name, work in (("joins", node.join_and_leave), ("publishes", node.publish)):
                    costs.setdefault(f"{name}/{topics}", []).append(await cost_us(work, run_s / SLICES))
    return {cell: statistics.median(found) for cell, found in costs.items()}


if __name__ == "__main__":
    measured = asyncio.run(measure(float(sys.argv[1]), [int(word) for word in sys.argv[2:]]))
    sys.stdout.write(json.dumps(measured))
