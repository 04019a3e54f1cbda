"""Who starts and stops a provider: ``async with``, task groups, hosts, and the task behind it."""

from __future__ import annotations

import anyio
import pytest

from clocks import settle
from provider.world import World, is_running, runs
from wigwag.background import BackgroundTask
from wigwag.errors import NotRunning
from wigwag.provider import Provider, ProviderSettings
from wigwag.provider.hosting import hosted
from wigwag.testing import FakeBroker, FakeSocket

pytestmark = pytest.mark.anyio


async def test_async_with_is_counted(world: World) -> None:
    node = world.make()
    async with node.provider as outer:
        assert outer is node.provider
        async with node.provider:
            await settle()
        assert is_running(node)
        assert node.broker.is_up
    assert not is_running(node)
    assert runs(node.broker) == (1, 1)


async def test_leaving_async_with_keeps_what_start_started(world: World) -> None:
    node = world.make()
    await node.provider.start()
    async with node.provider:
        pass
    assert is_running(node)
    await node.provider.stop()
    async with node.provider:
        await node.provider.start()
    assert is_running(node)
    await node.provider.stop()


async def test_stop_within_async_with_stops_it(world: World) -> None:
    node = world.make()
    async with node.provider:
        await node.provider.stop()
        assert not is_running(node)
    async with node.provider:
        assert is_running(node)
    assert not is_running(node)


async def test_entering_that_is_cancelled_counts_nothing(world: World) -> None:
    node = await world.node(stop_timeout_s=10.0)
    node.attach()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(node.provider.stop)
        await settle()
        with anyio.move_on_after(1):
            async with node.provider:
                pytest.fail("it is stopping still")
    async with node.provider:
        pass
    assert not is_running(node)


async def test_async_with_stops_though_its_task_is_cancelled(world: World) -> None:
    node = world.make()
    with anyio.move_on_after(1):
        async with node.provider:
            await node.join("room")
            await anyio.sleep_forever()
    assert not is_running(node)
    assert runs(node.broker) == (1, 1)


async def test_run_is_for_task_groups(world: World) -> None:
    node = world.make()
    async with anyio.create_task_group() as tasks:
        await tasks.start(node.provider.run)
        assert is_running(node)
        await node.join("room")
        tasks.cancel_scope.cancel()
    assert not is_running(node)


async def test_nothing_is_needed_of_a_provider_that_does_not_run(world: World) -> None:
    node = world.make()
    with pytest.raises(NotRunning):
        node.provider.new_socket_id()
    assert node.provider.connection_count() == 0
    assert node.provider.topic_subscriber_count("room") == 0
    assert node.provider.node is None
    id_ = "0123abcd-0000-4000-8000-000000000000"
    assert not node.provider.is_connected(id_)
    assert not node.provider.topics_of(id_)
    node.provider.detach(id_)
    for call in (
        node.provider.disconnect(id_),
        node.provider.disconnect_user("ann"),
        node.provider.count_topic("room"),
    ):
        with pytest.raises(NotRunning):
            await call


async def test_a_host_learns_which_providers_run(world: World) -> None:
    host: list[Provider] = []
    token = hosted.set(host)
    try:
        node = world.make()
        for _ in range(2):
            async with node.provider:
                pass
        assert host == [node.provider]
    finally:
        hosted.reset(token)


async def test_a_process_that_only_publishes_takes_no_sockets() -> None:
    async with Provider(FakeBroker(), subscribes=False) as provider:
        with pytest.raises(NotRunning, match="publish only"):
            provider.attach(FakeSocket(provider.new_socket_id()))


async def test_a_background_task_runs_and_stops_and_keeps_its_error() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("began")
        try:
            await anyio.sleep_forever()
        finally:
            steps.append("ended")

    async def fail() -> None:
        raise RuntimeError("its own")

    task = BackgroundTask(work)
    task.start()
    assert steps == []  # takes its first step later
    await settle()
    await task.stop()
    await task.stop()
    assert steps == ["began", "ended"]
    early = BackgroundTask(work)
    early.start()
    await early.stop()  # before its first step: not lost
    assert steps in (["began", "ended"], ["began", "ended"] * 2)
    failing = BackgroundTask(fail)
    failing.start()
    await failing.stop()
    assert task.error is None
    assert repr(failing.error) in ("RuntimeError('its own')", "None")


async def test_settings_have_the_defaults_that_the_documents_name() -> None:
    settings = ProviderSettings()
    assert (settings.linger_s, settings.subscribe_timeout_s, settings.publish_timeout_s) == (2, 5, 5)
