"""Callers of ``subscribe`` that wait for a topic to be live, found by topic and socket."""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio

from wigwag.errors import SubscribeError

S = TypeVar("S")


class Wait:
    """What the callers of one (topic, socket) wait for; ``error`` is why it failed, if it did."""

    __slots__ = ("callers", "error", "settled")

    def __init__(self) -> None:
        self.settled: anyio.Event = anyio.Event()
        self.error: SubscribeError | None = None
        self.callers: int = 0


class Waits(Generic[S]):
    """The table of waits.  Each call is O(1) but :meth:`settle`, which is O(sockets waiting)."""

    def __init__(self) -> None:
        self._waits: dict[str, dict[S, Wait]] = {}

    def join(self, topic: str, socket: S) -> Wait:
        """Wait for this pair, together with others who do."""
        waits = self._waits.setdefault(topic, {})
        wait = waits.get(socket)
        if wait is None:
            wait = waits[socket] = Wait()
        wait.callers += 1
        return wait

    def leave(self, topic: str, socket: S, wait: Wait) -> None:
        """A caller no longer waits."""
        wait.callers -= 1
        if wait.callers:
            return
        waits = self._waits.get(topic)
        if waits is not None and waits.get(socket) is wait:
            del waits[socket]
            if not waits:
                del self._waits[topic]

    def settle(self, topic: str) -> None:
        """The topic is live."""
        for wait in self._waits.pop(topic, {}).values():
            wait.settled.set()

    def fail(self, topic: str, socket: S, error: SubscribeError) -> None:
        """This pair will not be live, or not for now."""
        waits = self._waits.get(topic)
        wait = None if waits is None else waits.pop(socket, None)
        if wait is None:
            return
        if not waits:
            del self._waits[topic]
        wait.error = error
        wait.settled.set()

    def waiting(self, topic: str) -> list[S]:
        """The sockets that wait for the topic."""
        return list(self._waits.get(topic, ()))

    def __len__(self) -> int:
        return sum(len(waits) for waits in self._waits.values())
