"""Start and stop, in any order and from any task."""

from __future__ import annotations

import anyio
import pytest

from clocks import settle
from provider.world import World, is_running, pass_time, runs
from wigwag.broker import Inbox
from wigwag.errors import NotConnected, NotLive, NotRunning
from wigwag.testing import FakeBroker, FakeSocket

pytestmark = pytest.mark.anyio


async def test_start_and_stop_are_idempotent(world: World) -> None:
    node = world.make()
    await node.provider.stop()  # without start
    for _ in range(3):
        await node.provider.start()
    await settle()
    assert is_running(node)
    for _ in range(3):
        await node.provider.stop()
    assert not is_running(node)
    assert runs(node.broker) == (1, 1)


async def test_a_stopped_provider_starts_again_empty(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = await node.join("room")
    await node.provider.stop()
    assert socket.closes == [(1012, "going away")]
    assert (node.provider.connection_count(), node.provider.topic_subscriber_count("room")) == (0, 0)
    await node.provider.start()
    await settle()
    assert not node.provider.is_connected(socket.id)
    assert "room" not in node.broker.topics
    await other.provider.publish("room", "x")
    assert socket.messages == []
    again = await node.join("room")
    await other.provider.publish("room", "y")
    assert again.messages == ["y"]
    assert again.id[:8] != socket.id[:8]


async def test_a_socket_id_of_an_earlier_run_does_not_attach(world: World) -> None:
    """It would be connected, and no direct message would find it."""
    node, other = await world.node(), await world.node()
    old = FakeSocket(node.provider.new_socket_id())
    await node.provider.stop()
    await node.provider.start()
    for socket in (old, FakeSocket(other.provider.new_socket_id())):
        with pytest.raises(NotRunning, match="of a run that is over"):
            node.provider.attach(socket)
    assert node.provider.connection_count() == 0


async def test_stop_before_the_first_step_leaves_nothing_running(world: World) -> None:
    node = world.make()
    await node.provider.start()
    await node.provider.stop()
    await settle()
    assert runs(node.broker) in ((0, 0), (1, 1))
    assert not node.broker.is_up


async def test_stop_from_another_task_than_start(world: World) -> None:
    node = world.make()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.start)
        await settle()
        socket = await node.join("room")
        socket.on_close = lambda: node.provider.detach(socket.id)
        tasks.start_soon(node.provider.stop)
    assert not is_running(node)
    assert runs(node.broker) == (1, 1)


async def test_a_task_group_that_dies_around_start_does_not_take_the_provider_along(
    world: World,
) -> None:
    node = world.make()
    async with anyio.create_task_group() as tasks:
        await node.provider.start()
        tasks.cancel_scope.cancel()
    await settle()
    await node.join("room")
    await node.provider.stop()


async def test_two_stops_at_once_both_return_when_it_is_stopped(world: World) -> None:
    node = await world.node(stop_timeout_s=1.0)
    node.attach()  # never detaches: takes the whole limit
    ended: list[float] = []

    async def stop() -> None:
        await node.provider.stop()
        assert not is_running(node)
        ended.append(anyio.current_time())

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(stop)
    assert ended == [pytest.approx(began + 1.0)] * 3


async def test_a_start_during_stop_waits_and_then_starts(world: World) -> None:
    node = await world.node(stop_timeout_s=1.0)
    node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.stop)
        await settle()
        tasks.start_soon(node.provider.start)
    await settle()
    assert is_running(node)
    assert runs(node.broker) == (2, 1)
    await node.join("room")


async def test_stop_waits_for_close_handlers_and_counts_reach_zero(world: World) -> None:
    node = await world.node(stop_timeout_s=5.0)
    sockets = [await node.join("room") for _ in range(3)]
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.stop)
        for socket in sockets:
            await pass_time(1)
            assert is_running(node)
            await node.provider.publish("room", "a close handler's last word")
            with pytest.raises(NotRunning):
                node.provider.attach(FakeSocket(node.provider.new_socket_id()))
            node.provider.detach(socket.id)
    assert anyio.current_time() - began == pytest.approx(3)
    assert node.provider.connection_count() == 0
    assert [len(socket.messages) for socket in sockets] == [1, 2, 3]


async def test_stop_has_its_limit_with_a_socket_that_never_goes(world: World) -> None:
    node = await world.node(stop_timeout_s=1.0)
    socket = await node.join("room")
    began = anyio.current_time()
    await node.provider.stop()
    assert anyio.current_time() - began == pytest.approx(1.0)
    assert node.provider.connection_count() == 0
    node.provider.detach(socket.id)  # late, and no error


async def test_stop_has_its_limit_with_a_broker_that_hangs_in_close(world: World) -> None:
    class Hanging(FakeBroker):
        async def close(self) -> None:
            await super().close()
            await anyio.sleep_forever()

    node = await world.node(Hanging(world.network))
    began = anyio.current_time()
    await node.provider.stop()
    assert anyio.current_time() - began == pytest.approx(2.0)


async def test_a_broker_that_fails_in_close_is_logged_and_no_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(FakeBroker):
        async def close(self) -> None:
            await super().close()
            raise OSError("bad descriptor")

    node = await world.node(Failing(world.network))
    node.broker.cut()
    await pass_time(1)
    assert node.broker.is_up
    assert "failed to close its session" in caplog.text


async def test_a_cancelled_stop_stops_all_the_same(world: World) -> None:
    node = await world.node(stop_timeout_s=5.0)
    node.attach()
    with anyio.move_on_after(1):
        await node.provider.stop()
    assert not is_running(node)
    assert runs(node.broker) == (1, 1)
    await node.provider.start()


async def test_stop_tells_those_who_wait(world: World) -> None:
    node = await world.node(stop_timeout_s=1.0)
    node.broker.subscribing.shut()
    socket = node.attach()
    async with anyio.create_task_group() as tasks:

        async def subscribe() -> None:
            with pytest.raises(NotConnected):
                await node.provider.subscribe(socket.id, "room")

        tasks.start_soon(subscribe)
        await settle()
        await node.provider.stop()
    with pytest.raises(NotConnected, match="not running"):
        await node.provider.subscribe(socket.id, "room")
    await node.provider.unsubscribe(socket.id, "room")


@pytest.mark.parametrize("fault", ["run returns", "never ready", "ready, then fails at once"])
async def test_a_plugin_that_misbehaves_is_tried_again(world: World, fault: str) -> None:
    class Misbehaving(FakeBroker):
        good = False

        async def run(self, inbox: Inbox) -> None:
            if self.good:
                await super().run(inbox)
            self.calls.append(("run", ()))
            self._to_close = True
            if fault == "never ready":
                await anyio.sleep_forever()
            if fault == "ready, then fails at once":
                inbox.ready()
                inbox.ready()
                raise OSError("reset by peer")

    broker = Misbehaving(world.network)
    node = await world.node(broker, session_timeout_s=1.0)
    socket = node.attach()
    await pass_time(20)
    count = len(broker.called("run"))
    assert 4 < count < 60
    with pytest.raises(NotLive, match="the broker link is down"):
        await node.provider.subscribe(socket.id, "room")
    broker.good = True
    await pass_time(7)
    await node.provider.subscribe(socket.id, "lobby")
    assert broker.is_up


async def test_a_defect_of_ours_is_logged_and_stop_works(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = await world.node()

    def fail(*_: object) -> None:
        raise RuntimeError("a defect of ours")

    assert node.provider.node is not None
    monkeypatch.setattr(node.provider.node.link, "_on_lost", fail)
    node.broker.cut()
    await settle()
    assert "it needs to be restarted" in caplog.text
    await node.provider.stop()
    assert not is_running(node)
