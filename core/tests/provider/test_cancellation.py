"""Stop, cancel, close and cut at every await: nothing is left behind (RACES rows 8, 9, 10, 15)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
import trio

from clocks import settle
from provider.world import NodeUnderTest, World, pass_time
from wigwag.errors import WigwagError
from wigwag.provider.node import Node
from wigwag.testing import FakeBroker, FakeSocket

pytestmark = pytest.mark.anyio

#: Turns of the loop after which it happens: all that the scenario takes, and a few more.
TURNS = range(45)


def living_tasks() -> int:
    if "trio" in sys.modules and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


async def turn(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def quietly(call: Awaitable[None]) -> None:
    """What it raises is another test's subject, as long as it is ours."""
    with contextlib.suppress(WigwagError):
        await call


async def scenario(node: NodeUnderTest, other: NodeUnderTest) -> None:
    """A little of everything, each step depending on the one before."""
    provider = node.provider
    socket, second = node.attach("ann"), node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(quietly, provider.subscribe(socket.id, "a", "b"))
        tasks.start_soon(quietly, provider.subscribe(second.id, "b", "c"))
        tasks.start_soon(quietly, provider.publish("a", "x"))
        await turn(4)
        tasks.start_soon(quietly, provider.unsubscribe(socket.id, "b"))
        tasks.start_soon(quietly, other.provider.publish("c", "y"))
        await turn(4)
        node.broker.cut()
        tasks.start_soon(quietly, provider.subscribe(second.id, "d"))
        await turn(6)
        provider.detach(second.id)
        tasks.start_soon(quietly, provider.disconnect_user("ann"))
        tasks.start_soon(quietly, provider.broadcast("z"))


async def after(turns: int, act: Callable[[], object]) -> None:
    await turn(turns)
    act()


def nothing_remembered(run: Node) -> bool:
    ledger, channels = run._ledger, run._channels
    return not (
        run.fanout.sockets
        or len(run._interest)
        or len(run._waits)
        or ledger._owed
        or ledger._left
        or ledger._newcomers
        or ledger._gave_up
        or channels._refused
        or len(run._outbox)
    )


@pytest.mark.parametrize("turns", TURNS)
async def test_stop_at_every_turn_ends_everything_within_its_limit(world: World, turns: int) -> None:
    other = await world.node()
    before = living_tasks()
    node = world.make(stop_timeout_s=1.0)
    run: Node | None = None
    async with anyio.create_task_group() as tasks:
        await node.provider.start()
        run = node.provider.node
        tasks.start_soon(quietly, scenario(node, other))
        await turn(turns)
        began = anyio.current_time()
        await node.provider.stop()
        assert anyio.current_time() - began <= 2.01
        assert not node.broker.is_up
        tasks.cancel_scope.cancel()
    await settle()
    assert living_tasks() == before
    assert len(node.broker.called("run")) == len(node.broker.called("close"))
    assert run is not None
    run._ledger.rest()
    assert run.fanout.sockets == {}
    assert len(run._waits) == len(run._outbox) == 0


@pytest.mark.parametrize("turns", TURNS)
async def test_cancelling_every_caller_at_every_turn_leaves_no_caller_behind(
    world: World, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)
    node, other = await world.node(), await world.node()
    before = living_tasks()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(after, turns, scope.cancel)
            tasks.start_soon(scenario, node, other)
    await settle()
    run = node.provider.node
    assert run is not None
    assert len(run._waits) == 0
    assert living_tasks() == before
    for socket_id in list(run.fanout.sockets):
        node.provider.detach(socket_id)
    await pass_time(10)
    assert nothing_remembered(run)
    assert len(node.broker.topics) == 2  # its own
    socket = await node.join("b")
    await other.provider.publish("b", "still works")
    assert socket.messages == ["still works"]


@pytest.mark.parametrize("turns", range(25))
async def test_a_socket_that_goes_at_any_turn_leaves_nothing_and_hears_nothing(
    world: World, turns: int
) -> None:
    node, other = await world.node(), await world.node()
    socket = node.attach()
    heard: list[int] = []

    def go() -> None:
        node.provider.detach(socket.id)
        heard.append(len(socket.frames))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(after, turns, go)
        tasks.start_soon(quietly, node.provider.subscribe(socket.id, "a", "b"))
        tasks.start_soon(quietly, other.provider.publish("a", "x"))
        await turn(3)
        node.broker.cut()
        tasks.start_soon(quietly, node.provider.subscribe(socket.id, "c"))
        await turn(6)
        tasks.start_soon(quietly, other.provider.publish("a", "y"))
    await pass_time(10)
    await other.provider.publish("a", "z")
    run = node.provider.node
    assert run is not None
    assert nothing_remembered(run)
    assert heard == [len(socket.frames)]
    assert len(node.broker.topics) == 2


@pytest.mark.parametrize("turns", TURNS)
async def test_a_cut_at_any_turn_ends_with_exactly_what_is_wanted_live(world: World, turns: int) -> None:
    node, other = await world.node(), await world.node()
    a, b = node.attach(), node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(after, turns, node.broker.cut)
        tasks.start_soon(quietly, node.provider.subscribe(a.id, "a", "b"))
        await turn(3)
        tasks.start_soon(quietly, node.provider.subscribe(b.id, "b", "c"))
        await turn(8)
        tasks.start_soon(quietly, node.provider.unsubscribe(a.id, "b"))
        await turn(8)
        tasks.start_soon(quietly, node.provider.unsubscribe(b.id, "c"))
        tasks.start_soon(quietly, node.provider.subscribe(a.id, "c"))
    await pass_time(10)
    assert {t for t in node.broker.topics if not t.startswith("__")} == {"a", "b", "c"}
    for topic in "abc":
        await other.provider.publish(topic, topic)
    assert (a.messages, b.messages) == (["a", "c"], ["b"])


async def test_a_dead_sessions_inbox_does_nothing(world: World) -> None:
    """A client library's late callback, after the session, after the socket, after stop."""
    node, other = await world.node(), await world.node()
    socket = await node.join("room")
    world.network.holds_deliveries = True
    await other.provider.publish("room", "late")
    node.broker.cut()
    world.network.holds_deliveries = False
    await pass_time(1)
    told: list[FakeSocket] = [socket]
    world.network.deliver_held()
    dead = node.broker.inboxes[0]
    dead.gap(["room"])
    dead.gap()
    dead.ready(max_payload_bytes=1)
    await settle()
    assert socket.messages == []
    assert [s.resyncs for s in told] == [[["room"]]]  # of the cut, and no more
    await other.provider.publish("room", "now")
    assert socket.messages == ["now"]
    await node.provider.publish("room", "no limit of one byte")
    live = node.broker.inboxes[-1]
    await node.provider.stop()
    for topic, payload in world.network.log:
        live.deliver(topic, payload)
    live.gap()
    live.ready()
    assert len(socket.messages) == 2
    assert node.provider.counters.sessions == 2


@pytest.mark.parametrize("call", ["subscribe", "publish"])
async def test_no_call_begins_once_run_has_ended(world: World, call: str) -> None:
    """A call that is confirmed when the link is dead already must not be followed by the next."""

    class LateToNotice(FakeBroker):
        """Its calls return normally, a moment after its run has raised."""

        def _check_link(self) -> None:
            pass

        async def subscribe(self, topics: Sequence[str]) -> None:
            await super().subscribe(topics)
            await self.see_the_end()

        async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
            await super().publish(messages)
            await self.see_the_end()

        async def see_the_end(self) -> None:
            with anyio.CancelScope(shield=True):
                while self.is_up and not self._is_linked:
                    await anyio.lowlevel.checkpoint()

    node = await world.node(LateToNotice(world.network))
    gate = node.broker.subscribing if call == "subscribe" else node.broker.publishing
    gate.shut()
    async with anyio.create_task_group() as tasks:
        if call == "subscribe":
            socket = node.attach()
            topics = [f"t:{number}" for number in range(600)]
            tasks.start_soon(quietly, node.provider.subscribe(socket.id, *topics))
        else:
            tasks.start_soon(quietly, node.provider.publish("a", "in flight"))
            await settle()
            tasks.start_soon(quietly, node.provider.publish("a", "queued"))
        await settle()
        gate.open()
        node.broker.cut()
    assert len(node.broker.inboxes) == 2
    assert node.broker.violations == []


@pytest.mark.parametrize("gate", ["connecting", "subscribing", "unsubscribing", "publishing", "checking"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)  # on trio nobody can raise it
async def test_a_cancellation_that_comes_from_within_a_call_ends_the_session(
    world: World, gate: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A future of the plugin's, cancelled under it."""
    node = await world.node(probe_interval_s=1.0)
    stays, leaves = await node.join("stays"), await node.join("leaves")
    getattr(node.broker, gate).fail(asyncio.CancelledError())
    if gate == "connecting":
        node.broker.cut()
    await node.provider.unsubscribe(leaves.id, "leaves")
    await node.join("comes")
    await pass_time(10)
    assert "a call of the broker plugin was cancelled from within" in caplog.text
    await node.provider.publish("stays", "healed")
    await settle()
    assert stays.messages == ["healed"]
