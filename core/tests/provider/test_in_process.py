"""The provider over a broker that is of this process: delivered directly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from clocks import settle
from wigwag.broker import BrokerLost
from wigwag.errors import NotConnected
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.testing import FakeSocket

pytestmark = pytest.mark.anyio


@pytest.fixture
async def provider(anyio_backend: Any) -> AsyncIterator[Provider]:
    async with Provider(MemoryBroker(), name="memory") as provider:
        await settle()
        yield provider


def attach(provider: Provider, user_id: str | None = None) -> FakeSocket:
    socket = FakeSocket(provider.new_socket_id(), user_id)
    provider.attach(socket)
    return socket


async def test_what_is_asked_is_done_at_once(provider: Provider) -> None:
    assert provider.in_process
    assert provider.node is not None
    assert provider.node.is_up
    a, b = attach(provider), attach(provider, "ann")
    await provider.subscribe(a.id, "room")
    await provider.publish("room", "to the room")
    await provider.publish("room", "not to a", exclude=a.id)
    await provider.broadcast("to all")
    await provider.send(b.id, "to b")
    assert (a.messages, b.messages) == (["to the room", "to all"], ["to all", "to b"])
    assert await provider.count_topic("room") == {a.id[:8]: 1}
    await provider.unsubscribe(a.id, "room")
    await provider.publish("room", "to nobody")
    await settle()
    assert len(a.messages) == 2
    await provider.disconnect(a.id, 3000, "bye")
    await provider.disconnect_user("ann", 3001)
    assert (a.closes, b.closes) == ([(3000, "bye")], [(3001, "")])


async def test_a_socket_that_attached_is_told_of_no_gap(provider: Provider) -> None:
    socket = attach(provider)
    await provider.subscribe(socket.id, "room")
    await settle()
    assert socket.frames == []


async def test_an_unattached_socket_can_not_subscribe(provider: Provider) -> None:
    with pytest.raises(NotConnected):
        await provider.subscribe(provider.new_socket_id(), "room")


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_publisher_that_never_waits_lets_others_run_now_and_then(
    provider: Provider, size: int
) -> None:
    steps = 0

    async def count_steps() -> None:
        nonlocal steps
        while True:
            steps += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_steps)
        socket = attach(provider)
        for _ in range(200):  # gives way three times; trio may then let the publisher run first, once
            await provider.publish("room", b"x" * size)
        assert steps >= (2 if size == 10 else 80)
        for _ in range(200):
            await provider.send(socket.id, b"x" * size)
        assert steps >= (5 if size == 10 else 160)
        tasks.cancel_scope.cancel()


async def test_the_memory_broker_fulfils_the_whole_contract_too() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.got: list[tuple[str, bytes]] = []

        def ready(self, **_: object) -> None: ...

        def deliver(self, topic: str, payload: bytes, position: object = None) -> None:
            self.got.append((topic, payload))

        def gap(self, topics: object = None) -> None: ...

    broker, inbox = MemoryBroker(), Recorder()
    with pytest.raises(BrokerLost):
        await broker.publish([("a", b"x")])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(broker.run, inbox)
        await settle()
        await broker.subscribe(["a", "b"])
        await broker.unsubscribe(["b"])
        await broker.publish([("a", b"1"), ("b", b"2"), ("a", b"3")])
        tasks.cancel_scope.cancel()
    await broker.check()
    assert broker.lane("a") == broker.lane("b")
    await broker.close()
    assert inbox.got == [("a", b"1"), ("a", b"3")]
    with pytest.raises(BrokerLost):
        await broker.publish([("a", b"x")])
