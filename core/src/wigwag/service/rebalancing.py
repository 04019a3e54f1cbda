"""After new replicas have started: a node that has more than its share of the sockets sends some away.

Each node tells the others now and then how many it has.  Who has a tenth more than the mean, for a while in which
nobody came, went or was silent, closes sockets with 1012, a few a second, until it has the mean.  Which of them is
drawn, among those that were there when it began to have too many: who has just come is not sent on.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import anyio

from wigwag.pacing import pace
from wigwag.provider import Provider
from wigwag.provider.commands import Load
from wigwag.provider.node import Node
from wigwag.provider.signal import now
from wigwag.service.draining import send_away, sockets_of
from wigwag.service.publishing import distinct, running
from wigwag.settings import ServiceSettings
from wigwag.uvicorn import WebSocketProtocol

logger: logging.Logger = logging.getLogger("wigwag.service")

S = TypeVar("S", bound=Hashable)

#: How much more than the mean a node may have; and so many sockets more it may have in any case.
_TOLERANCE: Final = 0.1
_TOLERATED: Final = 5
# In intervals of what nodes say:
_LATE: Final = 2.5  # a node that was silent for so long may be gone
_FORGOTTEN: Final = 6  # it is
_STABLE: Final = 3  # nobody came or went for so long
_PATIENCE: Final = 3  # there were too many for so long
_REST: Final = 6  # between one time and the next


@dataclass(frozen=True, slots=True)
class _Heard:
    sockets: int
    at: float


class Fleet:
    """What a node has heard of all, itself among them, and how many of its own sockets are too many.  Sans-I/O."""

    def __init__(self, own: str, interval_s: float) -> None:
        self._own = own
        self._interval_s = interval_s
        self._heard: dict[str, _Heard] = {}
        self._changed_at = -math.inf

    def heard(self, load: Load, now: float) -> None:
        """A node has spoken."""
        if load.node not in self._heard or load.leaving:
            self._changed_at = now
        self._heard[load.node] = _Heard(load.sockets, now)

    def excess(self, now: float) -> tuple[int, int]:
        """How many sockets this node has beyond the mean, and how many it may have; both 0 where that can't be said."""
        silent_s = {node: now - heard.at for node, heard in self._heard.items()}
        for node, seconds in silent_s.items():
            if seconds > _FORGOTTEN * self._interval_s:
                del self._heard[node]
                self._changed_at = now
        is_stable = now - self._changed_at >= _STABLE * self._interval_s
        is_heard = all(seconds <= _LATE * self._interval_s for seconds in silent_s.values())
        if not (is_stable and is_heard and self._own in self._heard):
            return 0, 0
        mean = sum(heard.sockets for heard in self._heard.values()) / len(self._heard)
        tolerated = max(_TOLERATED, math.ceil(mean * _TOLERANCE))
        return max(0, self._heard[self._own].sockets - math.ceil(mean)), tolerated


class Shedding(Generic[S]):
    """Which sockets are to go, interval by interval.  Sans-I/O."""

    def __init__(self, interval_s: float, per_s: float) -> None:
        self._interval_s = interval_s
        self._at_most = max(1, math.floor(interval_s * per_s))
        #: Those that were there when there were too many, and since when there are.
        self._old: set[S] = set()
        self._since: float | None = None
        self.is_shedding: bool = False
        self._rests_until = -math.inf

    def next(self, excess: int, tolerated: int, now: float, sockets: Callable[[], Sequence[S]]) -> list[S]:
        """Those that go within the next interval."""
        if not excess or not (self.is_shedding or excess > tolerated):
            self._end(now)
            return []
        if now < self._rests_until:
            return []
        here = sockets()
        if self._since is None:
            self._since, self._old = now, set(here)
        if now - self._since < _PATIENCE * self._interval_s:
            return []
        candidates = [each for each in here if each in self._old]
        if not candidates:
            self._end(now)
            return []
        self.is_shedding = True
        return random.sample(candidates, min(excess, self._at_most, len(candidates)))

    def _end(self, now: float) -> None:
        if self.is_shedding:
            self._rests_until = now + _REST * self._interval_s
        self.is_shedding = False
        self._since = None
        self._old = set()


class Rebalancing:
    """One process's part in it."""

    def __init__(self, settings: ServiceSettings, providers: Sequence[Provider]) -> None:
        self._interval_s = settings.rebalance_interval_s
        self._per_s = settings.rebalance_per_s
        self._providers = providers

    async def run(self, connections: AbstractSet[object]) -> None:
        """Take part, with the sockets among these connections of the server, until cancelled."""
        provider = self._provider()
        if provider is None:
            return
        await anyio.sleep(random.random() * self._interval_s)
        while (node := provider.node) is not None:
            await self._run(node, provider, connections)

    def _provider(self) -> Provider | None:
        providers = distinct(running(self._providers))
        if len(providers) != 1:
            why = f"the application has {len(providers)} providers, and there is to be one"
        elif providers[0].in_process:
            why = f"the provider {providers[0].name!r} knows of no other process"
        else:
            return providers[0]
        logger.warning("WIGWAG_REBALANCE does nothing: %s", why)
        return None

    async def _run(self, node: Node, provider: Provider, connections: AbstractSet[object]) -> None:
        """For as long as it is the provider's node."""
        fleet = Fleet(node.tag, self._interval_s)
        shedding: Shedding[WebSocketProtocol] = Shedding(self._interval_s, self._per_s)
        node.on_load(lambda load: fleet.heard(load, now()))
        while provider.node is node:
            node.tell_load()
            with anyio.move_on_after(self._interval_s):
                await self._shed(fleet, shedding, connections)
                await anyio.sleep_forever()

    async def _shed(
        self, fleet: Fleet, shedding: Shedding[WebSocketProtocol], connections: AbstractSet[object]
    ) -> None:
        was_shedding = shedding.is_shedding
        excess, tolerated = fleet.excess(now())
        chosen = shedding.next(excess, tolerated, now(), lambda: sockets_of(connections))
        if shedding.is_shedding and not was_shedding:
            logger.info("rebalancing: this node has %d sockets more than the mean of the fleet", excess)
        elif was_shedding and not shedding.is_shedding:
            logger.info("rebalancing is over")
        await pace(chosen, send_away, per_s=self._per_s, limit_s=self._interval_s)
