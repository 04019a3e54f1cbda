"""One broker session after another: what is joined, in which order, and what an operator learns of it."""

from __future__ import annotations

import random
from itertools import pairwise

import anyio
import pytest

from clocks import settle
from provider.world import World, pass_time
from wigwag.broker import BrokerLost
from wigwag.errors import NotLive
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


async def test_the_nodes_own_channels_are_joined_first(world: World) -> None:
    node = await world.node()
    socket = await node.join("a", "b")
    node.broker.cut()
    await pass_time(1)
    tag = socket.id[:8]
    assert node.broker.called("subscribe")[-1] == (f"__node__:{tag}", "__broadcast__", "a", "b")


async def test_50_000_topics_are_back_in_batches_after_a_restart(world: World) -> None:
    node, other = await world.node(), await world.node()
    sockets = [await node.join(*(f"t:{a}:{b}" for b in range(500))) for a in range(100)]
    before = len(node.broker.called("subscribe"))
    world.network.stop()
    await pass_time(1)
    world.network.start()
    await pass_time(10)
    assert len(node.broker.called("subscribe")) - before == 101  # 50 002 topics by 500
    assert [len(socket.resyncs) for socket in sockets] == [1] * 100
    await other.provider.publish("t:99:499", "x")
    assert sockets[99].messages == ["x"]
    assert len(node.broker.inboxes) == len(node.broker.called("close")) + 1


async def test_joins_go_before_leaves(world: World) -> None:
    node = await world.node(linger_s=1.0)
    socket = await node.join("a")
    node.broker.subscribing.shut()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.subscribe, socket.id, "b")
        await settle()
        await node.provider.unsubscribe(socket.id, "a")
        tasks.start_soon(node.provider.subscribe, socket.id, "c")
        await pass_time(2)
        node.broker.subscribing.open()
    await settle()
    names = [name for name, _ in node.broker.calls if name.endswith("subscribe")]
    assert names[-3:] == ["subscribe", "subscribe", "unsubscribe"]


async def test_leaves_go_in_batches(world: World) -> None:
    node = await world.node()
    socket = await node.join(*(f"t:{number}" for number in range(1200)))
    node.provider.detach(socket.id)
    await pass_time(1)
    assert [len(call) for call in node.broker.called("unsubscribe")] == [500, 500, 200]


async def test_an_unsubscribe_that_is_never_confirmed_ends_the_session(world: World) -> None:
    node = await world.node(session_timeout_s=3.0)
    socket = await node.join("a", "b")
    node.broker.unsubscribing.shut()
    await node.provider.unsubscribe(socket.id, "a")
    await pass_time(3.2)
    assert len(node.broker.inboxes) == 2
    await settle()
    assert "a" not in node.broker.topics
    assert socket.resyncs == [["b"]]


@pytest.mark.parametrize("call", ["subscribing", "unsubscribing", "publishing", "checking", "connecting"])
async def test_any_exception_but_refused_ends_the_session_and_the_next_one_heals(
    world: World, call: str
) -> None:
    node, other = await world.node(), await world.node()
    socket = await node.join("a")
    getattr(node.broker, call).fail(ZeroDivisionError("a plugin's defect"))
    await node.provider.unsubscribe(socket.id, "a")
    await pass_time(0.5)
    await node.provider.subscribe(socket.id, "b")
    if call == "connecting":
        node.broker.cut()
    await pass_time(10)
    assert len(node.broker.inboxes) == (3 if call == "connecting" else 2)
    await other.provider.publish("b", "x")
    assert socket.messages == ["x"]


async def test_the_operator_reads_once_that_the_link_is_lost_and_why(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    node = world.make()
    world.network.is_down = True
    async with node.provider:
        await pass_time(30)
        world.network.is_down = False
        await pass_time(10)
        world.network.is_down = True
        node.broker.cut("reset by peer")
        await pass_time(60)
    assert len(node.broker.called("run")) > 20
    async with node.provider:
        await pass_time(10)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "there is no broker session: the network is down; trying again",
        "the broker session ended: reset by peer; reconnecting",
        "there is no broker session: the network is down; trying again",
        "there is no broker session: the network is down; trying again",
    ]


async def test_errors_say_why_the_link_is_down(world: World) -> None:
    node = world.make(subscribe_timeout_s=1.0)
    node.broker.connecting.shut()
    async with node.provider:
        await settle()
        with pytest.raises(NotLive, match="the broker has not been reached yet"):
            await node.join("a")
        node.broker.connecting.fail(BrokerLost("wrong password"))
        await pass_time(1)
        with pytest.raises(NotLive, match=r"the broker link is down \(wrong password\)"):
            await node.join("a")
        node.broker.connecting.fail(OSError())
        await pass_time(5)
        with pytest.raises(NotLive, match=r"the broker link is down \(OSError\)"):
            await node.join("a")


async def test_health_knows_since_when_the_link_is_down(world: World) -> None:
    node = await world.node()
    run = node.provider.node
    assert run is not None
    assert (run.link.down_since, run.is_up, run.live_topics) == (None, True, 2)
    node.broker.connecting.shut()
    began = anyio.current_time()
    node.broker.cut()
    await pass_time(3)
    assert run.link.down_since == pytest.approx(began)
    assert (run.is_up, run.live_topics) == (False, 0)
    node.broker.connecting.open()
    await settle()
    assert (run.link.down_since, run.is_up) == (None, True)
    assert run.link.probe_s is not None
    await node.provider.stop()
    assert run.link.probe_s is None


async def test_a_session_is_closed_before_the_next_begins(world: World) -> None:
    class SlowToClose(FakeBroker):
        async def close(self) -> None:
            await anyio.sleep(1.5)
            await super().close()

    node = await world.node(SlowToClose(world.network))
    for _ in range(3):
        node.broker.cut()
        await pass_time(2)
    assert [name for name, _ in node.broker.calls if name in ("run", "close")] == ["run", "close"] * 3 + [
        "run"
    ]


async def test_a_new_limit_of_the_broker_holds_from_the_next_session_on(world: World) -> None:
    node = await world.node()
    await node.provider.publish("a", b"x" * 1000)
    node.broker.max_payload_bytes = 500
    node.broker.cut()
    await pass_time(1)
    with pytest.raises(Exception, match="at most 500"):
        await node.provider.publish("a", b"x" * 1000)


async def test_nodes_do_not_come_back_in_step(world: World) -> None:
    """Full jitter: fifty nodes that lost one broker spread over the whole of the backoff."""
    random.seed(7)
    nodes = [await world.node(backoff_base_s=4.0, backoff_cap_s=4.0) for _ in range(50)]
    world.network.stop()
    world.network.start()
    back = []
    for _ in range(4):
        await pass_time(1)
        back.append(sum(node.broker.is_up for node in nodes))
    assert all(5 <= later - earlier <= 20 for earlier, later in pairwise([0, *back]))
    assert back[-1] == 50
