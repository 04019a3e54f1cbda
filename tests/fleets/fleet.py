"""Nodes that come, run, leave and die, each behind its proxy."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Self

import anyio
import anyio.abc

from fleets.book import Book, Ear
from fleets.grounds import Ground
from fleets.watching import SessionLog, WatchedBroker
from servers.proxy import TcpProxy
from wigwag.broker import Broker
from wigwag.provider import Provider

Watch = Callable[[Broker, Book], WatchedBroker]
POLL_S = 0.02


async def until(holds: Callable[[], bool], what: str, limit_s: float) -> None:
    """Return when it holds; raise TimeoutError, which says what did not come, after the limit."""
    deadline = anyio.current_time() + limit_s
    while not holds():
        if anyio.current_time() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        await anyio.sleep(POLL_S)


class FleetNode:
    """One life of a node: a provider, its sockets, and what goes on there."""

    def __init__(self, name: str, slot: int, provider: Provider, broker: WatchedBroker, book: Book) -> None:
        self.name = name
        self.slot = slot
        self.provider = provider
        self.broker = broker
        self.book = book
        self.ears: dict[str, Ear] = {}
        self.scope = anyio.CancelScope()
        #: The tasks of this life; there while it is up.
        self.tasks: anyio.abc.TaskGroup | None = None
        #: From when on its session may end without a fault.
        self.stopping: int | None = None
        self._first = len(broker.sessions)
        self._last: int | None = None

    def __str__(self) -> str:
        link = None if self.provider.node is None else self.provider.node.link.describe()
        return f"{self.name}: {link}, {self.provider.node}, sessions {self.sessions[-3:]}"

    def end(self) -> None:
        """It is over: later sessions of the broker are those of its next life."""
        self._last = len(self.broker.sessions)

    @property
    def sessions(self) -> list[SessionLog]:
        """Those of this life."""
        return self.broker.sessions[self._first : self._last]

    def server_at(self, tick: int, until: int | None = None) -> int | None:
        """Where its session was, which lasted from this moment to the other; None where there was none."""
        until = tick if until is None else until
        for session in self.sessions:
            has_begun = session.ready is not None and session.ready < tick
            if has_begun and (session.ended is None or until < session.ended):
                return session.server
        return None

    def attach(self) -> Ear:
        """A socket comes."""
        ear = Ear(self.provider.new_socket_id(), self.book)
        ear.heard_everybody = self.broker.hears
        ear.on_close = lambda: self.detach(ear)
        self.ears[ear.id] = ear
        self.provider.attach(ear)
        return ear

    def detach(self, ear: Ear) -> None:
        """A socket goes; in this call it still gets what came before in this turn."""
        self.provider.detach(ear.id)
        ear.go()

    @property
    def present(self) -> list[Ear]:
        """The sockets that have not gone."""
        return [ear for ear in self.ears.values() if ear.gone is None]

    @property
    def is_up(self) -> bool:
        """Whether its link is up and has proved itself."""
        return self.provider.node is not None and self.provider.node.is_up


class Fleet:
    """So many slots on a ground, with a node in each that lives at the moment.

    ``live`` is called with each node that comes, and starts what goes on there in the node's ``tasks``, which
    are cancelled at its end.
    """

    def __init__(
        self,
        ground: Ground,
        size: int,
        rng: random.Random,
        *,
        live: Callable[[FleetNode], object] | None = None,
        watch: Watch = WatchedBroker,
    ) -> None:
        self.ground = ground
        self.book = Book()
        self.rng = rng
        self._live = live
        self._watch = watch
        self._size = size
        self._stack = contextlib.AsyncExitStack()
        self.proxies: list[TcpProxy] = []
        self.nodes: list[FleetNode | None] = [None] * size
        #: All that ever were.
        self.all_nodes: list[FleetNode] = []

    async def __aenter__(self) -> Self:
        self.ground.begin(self.book, self.rng)
        async with contextlib.AsyncExitStack() as stack:
            for slot in range(self._size):
                self.proxies.append(await stack.enter_async_context(self.ground.proxy(slot)))
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            for slot in range(self._size):
                await self.start(slot)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            for slot in range(self._size):
                await self.stop(slot)
        finally:
            self._tasks.cancel_scope.cancel()
            await self._stack.aclose()

    @property
    def up(self) -> list[FleetNode]:
        """The nodes that are there."""
        return [node for node in self.nodes if node is not None and node.stopping is None]

    async def start(self, slot: int) -> FleetNode:
        """A node comes into a slot that is free."""
        broker = self._watch(self.ground.make_broker(slot), self.book)
        broker.server_of = self.ground.server_of
        return await self._begin(slot, Provider(broker, settings=self.ground.settings), broker)

    async def _begin(self, slot: int, provider: Provider, broker: WatchedBroker) -> FleetNode:
        await provider.start()
        node = FleetNode(f"n{slot}.{len(self.all_nodes)}", slot, provider, broker, self.book)
        self.all_nodes.append(node)
        self.nodes[slot] = node
        await self._tasks.start(self._run, node)
        return node

    async def _run(self, node: FleetNode, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with node.scope:
            async with anyio.create_task_group() as node.tasks:
                task_status.started()
                if self._live is not None:
                    self._live(node)
                await anyio.sleep_forever()

    async def stop(self, slot: int) -> FleetNode | None:
        """The node in a slot leaves in peace."""
        node = self.nodes[slot]
        if node is not None:
            node.stopping = self.book.now()
            await node.provider.stop()
            node.end()
            node.scope.cancel()
            self.nodes[slot] = None
        return node

    async def die(self, slot: int) -> None:
        """The node in a slot is gone from one moment to the next; whatever it has under way is lost."""
        node, proxy = self.nodes[slot], self.proxies[slot]
        if node is None:
            return
        node.stopping = self.book.now()
        proxy.cut(refuse=True)
        node.scope.cancel()
        for ear in node.present:
            node.detach(ear)
        await node.provider.stop()
        node.end()
        self.nodes[slot] = None
        proxy.refuse = False

    async def restart(self, slot: int, pause_s: float) -> None:
        """The node in a slot is stopped, and the same provider started again."""
        node = await self.stop(slot)
        await anyio.sleep(pause_s)
        if node is not None:
            await self._begin(slot, node.provider, node.broker)

    async def until_up(self) -> None:
        """Return when each node's link is up."""
        try:
            await until(lambda: all(node.is_up for node in self.up), "all nodes up", self.ground.recovery_s)
        except TimeoutError as exc:
            raise TimeoutError(f"{exc}; down: {[str(node) for node in self.up if not node.is_up]}") from None
