"""Faults, at random: of one node's link, of a node, of the server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import anyio.abc

from fleets.fleet import Fleet


@dataclass(slots=True)
class Fault:
    """One that was injected; ``slot`` None: it concerned all nodes. Times are the loop's."""

    kind: str
    slot: int | None
    began_s: float
    ended_s: float | None = None

    def explains(self, slot: int, at_s: float, grace_s: float) -> bool:
        """Whether it can have ended a session of the node in this slot at this time."""
        until_s = float("inf") if self.ended_s is None else self.ended_s + grace_s
        return self.slot in (None, slot) and self.began_s <= at_s <= until_s


#: Those that no session may be lost by.
HARMLESS = frozenset({"hiccup", "delay"})


class Storm:
    """Injects faults for so many seconds; each ends by itself."""

    def __init__(self, fleet: Fleet, rng: random.Random) -> None:
        self._fleet = fleet
        self._rng = rng
        self._deadline_s = fleet.ground.settings.probe_timeout_s
        self._busy: set[int | None] = set()
        self.faults: list[Fault] = []
        self._link: dict[str, Callable[[int], Awaitable[None]]] = {
            "cut": self._cut,
            "cut and refuse": self._refuse,
            "stall": self._stall,
            "hiccup": self._hiccup,
            "delay": self._delay,
            "drop up": lambda slot: self._drop(slot, "up"),
            "drop down": lambda slot: self._drop(slot, "down"),
            "node dies": self._die,
            "node leaves": self._leave,
            "node restarts": lambda slot: fleet.restart(slot, self._rng.uniform(0, 0.5)),
        }

    @property
    def counts(self) -> Counter[str]:
        """How many there were of each kind."""
        return Counter(fault.kind for fault in self.faults)

    async def rage(self, seconds: float) -> None:
        """Inject; returns when the last fault is over."""
        size = len(self._fleet.nodes)
        end = anyio.current_time() + seconds
        server_s = self._fleet.ground.server_fault_s
        due = anyio.current_time() + self._rng.uniform(0.3, 0.6) * server_s
        async with anyio.create_task_group() as tasks:
            while anyio.current_time() < end:
                await anyio.sleep(self._rng.expovariate(size))
                if anyio.current_time() > due and None not in self._busy:
                    due = anyio.current_time() + self._rng.uniform(0.5, 1.5) * server_s
                    self._shake_server(tasks)
                slot = self._rng.randrange(size)
                if slot not in self._busy:
                    kind = self._rng.choice(list(self._link))
                    act = self._link[kind]
                    tasks.start_soon(self._inject, kind, slot, lambda act=act, slot=slot: act(slot))

    def _shake_server(self, tasks: anyio.abc.TaskGroup) -> None:
        faults = self._fleet.ground.server_faults
        if faults:
            is_first = not any(fault.slot is None for fault in self.faults)
            kind = next(iter(faults)) if is_first else self._rng.choice(list(faults))
            seconds = self._rng.choice((0.1, 0.4, self._deadline_s * 1.5))
            tasks.start_soon(self._inject, kind, None, lambda: faults[kind](seconds))

    async def _inject(self, kind: str, slot: int | None, act: Callable[[], Awaitable[None]]) -> None:
        fault = Fault(kind, slot, anyio.current_time())
        self.faults.append(fault)
        self._busy.add(slot)
        try:
            await act()
        finally:
            fault.ended_s = anyio.current_time()
            self._busy.discard(slot)

    async def _cut(self, slot: int) -> None:
        self._fleet.proxies[slot].cut()

    async def _refuse(self, slot: int) -> None:
        self._fleet.proxies[slot].cut(refuse=True)
        await anyio.sleep(self._rng.uniform(0.1, 0.8))
        self._fleet.proxies[slot].refuse = False

    async def _stall(self, slot: int) -> None:
        """A black hole for longer than the probe waits; what was under way comes late."""
        self._fleet.proxies[slot].stall()
        await anyio.sleep(self._deadline_s * self._rng.uniform(0.8, 1.8))
        self._fleet.proxies[slot].resume()

    async def _hiccup(self, slot: int) -> None:
        """The same, for much less."""
        self._fleet.proxies[slot].stall()
        await anyio.sleep(self._deadline_s * self._rng.uniform(0.05, 0.3))
        self._fleet.proxies[slot].resume()

    async def _delay(self, slot: int) -> None:
        self._fleet.proxies[slot].delay_s = self._rng.uniform(0.005, 0.08)
        await anyio.sleep(self._rng.uniform(0.3, 1.5))
        self._fleet.proxies[slot].delay_s = 0.0

    async def _drop(self, slot: int, direction: str) -> None:
        """One way is deaf. The link is cut at the end: no real one goes on behind bytes that are missing."""
        proxy = self._fleet.proxies[slot]
        proxy.drop("up" if direction == "up" else "down")
        await anyio.sleep(self._deadline_s * self._rng.uniform(0.1, 1.8))
        proxy.cut()
        proxy.resume()

    async def _die(self, slot: int) -> None:
        await self._fleet.die(slot)
        await anyio.sleep(self._rng.uniform(0, 0.5))
        await self._fleet.start(slot)

    async def _leave(self, slot: int) -> None:
        await self._fleet.stop(slot)
        await anyio.sleep(self._rng.uniform(0, 0.5))
        await self._fleet.start(slot)
