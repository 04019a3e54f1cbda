"""A rolling restart under load: each replica is replaced by a new one, as soon as that is ready."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import statistics
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from rolling.account import Account, Listener, account
from rolling.balancer import Balancer, Endpoints
from rolling.client import Client, Fortunes
from rolling.publisher import Publishing
from rolling.replicas import Replicas

#: How long the last messages have to arrive.
SETTLE_S = 20.0


@dataclass(frozen=True)
class Way:
    """How replicas are replaced: what they are told, and by which signal they end."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    signal: signal.Signals = signal.SIGTERM


#: For balancers that hear of a change within a second.
DRAINED = Way("drained", {"WIGWAG_DRAIN_DELAY_S": "2"})
NO_DELAY = Way("no delay", {"WIGWAG_DRAIN_DELAY_S": "0"})
AT_ONCE = Way("all at once", {"WIGWAG_DRAIN_DELAY_S": "0", "WIGWAG_DRAIN_PER_S": "100000"})
KILLED = Way("killed", signal=signal.SIGKILL)
WAYS = (DRAINED, NO_DELAY, AT_ONCE, KILLED)


@dataclass(frozen=True)
class Load:
    """What is going on meanwhile."""

    clients: int = 1000
    #: Each client is in one of them.
    topics: int = 50
    publishers: int = 4
    #: Of each.
    publishes_per_s: float = 10.0
    #: How late the balancers hear that a replica is ready, or is not any more.
    lag_s: float = 1.0
    replicas: int = 3
    #: Before the first is replaced, and after the last.
    quiet_s: float = 3.0
    seed: str = "1"


@dataclass
class Outcome:
    """What a run came to."""

    account: Account
    fortunes: Fortunes
    publishing: Publishing
    clients: int
    #: How long each replica took from the signal to its end, and how it ended.
    ending_s: list[float] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    took_s: float = 0.0

    def lines(self) -> list[str]:
        """It all, to be read."""
        a, f, p = self.account, self.fortunes, self.publishing
        return [
            f"{self.clients} clients, {self.took_s:.0f} s; published {a.taken}, in doubt {a.doubt}, "
            f"tried again {dict(p.again)}, slowest {_ms(max(p.took_s, default=0))}",
            f"deliveries due {a.due}, received {a.received}, told {a.told} (away {a.away}, on its way at the end "
            f"{a.at_the_end}, resync {a.resync}), twice {a.twice}, SILENT LOSSES {len(a.silent)}",
            f"closed {dict(f.closed)}, attempts failed {dict(f.failed)}, joins refused for now {f.joins_refused}",
            f"away {len(f.away_s)} times: median {_ms(quantile(f.away_s, 50))}, "
            f"99 % {_ms(quantile(f.away_s, 99))}, longest {_ms(max(f.away_s, default=0))}",
            f"ends {[f'{s:.1f} s' for s in self.ending_s]}, exit codes {self.exit_codes}",
        ]


def quantile(values: list[float], percent: int) -> float:
    """A quantile of numbers, 0 where there are too few."""
    if len(values) < 2:
        return max(values, default=0.0)
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


class Traffic:
    """Clients and publishers, at two addresses."""

    def __init__(self, load: Load, ws: str, api: str, key: str | None = None) -> None:
        self.load = load
        topics = tuple(f"topic:{number}" for number in range(load.topics))
        self.fortunes = Fortunes()
        self.publishing = Publishing(api, topics, key)
        self.clients = [
            Client(ws, (topics[number % len(topics)],), self.fortunes, random.Random(f"{load.seed}/{number}"))
            for number in range(load.clients)
        ]
        self._tasks: dict[Client, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside the block all clients have joined, and messages are published; behind it all has come to rest."""
        load = self.load
        try:
            for client in self.clients:
                self._tasks[client] = asyncio.create_task(client.run())
                await asyncio.sleep(0.002)
            await self.until_joined(120.0)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(load.publishers):
                    tasks.create_task(self.publishing.run(1 / load.publishes_per_s))
                    await asyncio.sleep(1 / load.publishes_per_s / load.publishers)
                await asyncio.sleep(load.quiet_s)
                yield
                await self.until_joined(60.0)
                await asyncio.sleep(load.quiet_s)
                self.publishing.is_over = True
            with contextlib.suppress(TimeoutError):  # then they are silent losses
                async with asyncio.timeout(SETTLE_S):
                    while account(self.publishing.messages, self._listeners()).silent:  # noqa: ASYNC110
                        await asyncio.sleep(0.5)
        finally:
            for task in self._tasks.values():
                task.cancel()
            ended = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for end in ended:
            if isinstance(end, Exception):
                raise end

    def _listeners(self) -> list[Listener]:
        return [client.listener for client in self.clients]

    async def until_joined(self, limit_s: float) -> None:
        """Return when each client is in its topics."""
        async with asyncio.timeout(limit_s):
            while not all(client.is_joined or client.has_left for client in self.clients):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def leave(self, clients: Iterable[Client]) -> None:
        """Let some go for good."""
        for client in clients:
            client.leave()
            self._tasks[client].cancel()

    def outcome(self) -> Outcome:
        """What it came to."""
        found = account(self.publishing.messages, self._listeners())
        return Outcome(found, self.fortunes, self.publishing, len(self.clients))


async def until(holds: Callable[[], object], limit_s: float = 60.0) -> None:
    """Return when it holds."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def roll(variables: Mapping[str, str], way: Way, load: Load) -> Outcome:
    """Start replicas on a broker, and replace one after the other under load."""
    loop = asyncio.get_running_loop()
    async with (
        Balancer() as public,
        Balancer() as internal,
        Replicas(lambda: {**variables, **way.variables}) as replicas,
    ):
        endpoints = Endpoints(replicas.is_ready, load.lag_s)
        looking = asyncio.create_task(endpoints.run())
        try:

            async def start(count: int = 1) -> list[int]:
                numbers = [replicas.launch() for _ in range(count)]
                for number in numbers:
                    replica = replicas.all[number]
                    endpoints.add(number, {public: replica.port, internal: replica.internal_port})
                await until(lambda: all(map(endpoints.has, numbers)))
                return numbers

            serving = await start(load.replicas)
            traffic = Traffic(load, f"ws://127.0.0.1:{public.port}/ws", f"http://127.0.0.1:{internal.port}")
            began_s = loop.time()
            ending_s: list[float] = []
            async with traffic.running():
                for old in serving:
                    await start()
                    sent_s = loop.time()
                    await replicas.all[old].end(way.signal)
                    ending_s.append(loop.time() - sent_s)
                # Each was on one of those that are gone, and has seen it.
                await until(lambda: sum(traffic.fortunes.closed.values()) >= load.clients)
            outcome = replace(traffic.outcome(), took_s=loop.time() - began_s, ending_s=ending_s)
            outcome.exit_codes = [replicas.all[old].exit_code or 0 for old in serving]
            return outcome
        finally:
            looking.cancel()
