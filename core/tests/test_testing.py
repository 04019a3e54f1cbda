"""The fakes do what they say, and notice a core that breaks its promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from clocks import backend, settle
from wigwag.broker import BrokerLost, Refused
from wigwag.frames import Frame
from wigwag.testing import FakeBroker, FakeNetwork, FakeSocket, Gate

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


class Recorder:
    """An inbox."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.readies: list[tuple[int | None, bool]] = []

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        self.readies.append((max_payload_bytes, kept))

    def deliver(self, topic: str, payload: bytes, position: object = None) -> None:
        self.got.append((topic, payload))

    def gap(self, topics: object = None) -> None: ...


@asynccontextmanager
async def session(broker: FakeBroker) -> AsyncIterator[Recorder]:
    inbox = Recorder()

    async def run() -> None:
        with pytest.raises(BrokerLost):
            await broker.run(inbox)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await settle()
        yield inbox
        broker.cut()
    await broker.close()


async def test_brokers_of_one_network_hear_each_other_and_those_of_two_do_not() -> None:
    network = FakeNetwork()
    one, two, stranger = FakeBroker(network), FakeBroker(network), FakeBroker()
    async with session(one) as first, session(two) as second, session(stranger) as third:
        for broker in (one, stranger):
            await broker.subscribe(["a"])
        await two.subscribe(["b"])
        await two.publish([("a", b"1"), ("b", b"2"), ("a", b"3")])
    assert (first.got, second.got, third.got) == ([("a", b"1"), ("a", b"3")], [("b", b"2")], [])
    assert network.log == [("a", b"1"), ("b", b"2"), ("a", b"3")]
    assert network.messages == {"a": [b"1", b"3"], "b": [b"2"]}
    assert (one.violations, two.violations) == ([], [])
    assert [name for name, _ in one.calls] == ["run", "subscribe", "close"]


async def test_a_gate_holds_what_comes_and_lets_it_through_or_fails_it() -> None:
    gate, passed = Gate(), list[str]()

    async def pass_gate(name: str) -> None:
        try:
            await gate.pass_through()
        except ZeroDivisionError:
            name = f"{name} failed"
        passed.append(name)

    await pass_gate("open")
    gate.shut()
    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c", "d"):
            tasks.start_soon(pass_gate, name)
            await settle()
        assert gate.held == 4
        gate.release()
        await settle()
        assert passed == ["open", "a"]
        gate.release(1)
        gate.fail(ZeroDivisionError())
        await settle()
        assert sorted(passed[2:]) == ["b", "c failed", "d failed"]
        tasks.start_soon(pass_gate, "e")
        await settle()
        gate.open()
    with anyio.move_on_after(1):
        gate.shut()
        await gate.pass_through()
    assert gate.held == 0
    gate.open()
    gate.fail(ZeroDivisionError())
    for name in ("next", "the one after"):
        await pass_gate(name)
    assert passed[-3:] == ["e", "next failed", "the one after"]


async def test_what_a_network_can_be_made_to_do() -> None:
    network = FakeNetwork()
    broker = FakeBroker(network, max_payload_bytes=7)
    async with session(broker) as inbox:
        assert inbox.readies == [(7, False)]
        network.forbidden["no"] = "why"
        with pytest.raises(Refused) as got:
            await broker.subscribe(["a", "no"])
        assert (got.value.reasons, list(broker.topics)) == ({"no": "why"}, ["a"])
        network.refuses_whole_calls = True
        with pytest.raises(Refused) as got:
            await broker.subscribe(["b", "no"])
        assert (got.value.reasons, list(broker.topics)) == (None, ["a"])
        network.holds_deliveries = True
        for payload in (b"1", b"2", b"3"):
            network.publish("a", payload)
        assert inbox.got == []
        network.deliver_held(1)
        assert inbox.got == [("a", b"1")]
        network.deliver_held(9)
        network.holds_deliveries = False
        broker.is_deaf = True
        network.publish("a", b"4")
        broker.is_deaf = False
        network.publish("a", b"5")
        assert [payload for _, payload in inbox.got] == [b"1", b"2", b"3", b"5"]
        broker.refuse_indices = {0: "no"}
        with pytest.raises(Refused):
            await broker.publish([("a", b"6"), ("a", b"7")])
        assert inbox.got[-1] == ("a", b"7")
    network.stop()
    with pytest.raises(BrokerLost, match="the network is down"):
        await broker.run(Recorder())
    await broker.close()
    network.start()
    async with session(broker):
        pass
    assert broker.violations == []


async def test_a_broker_that_keeps_delivers_later_what_it_did_not_hear() -> None:
    broker = FakeBroker(kept=True)
    async with session(broker):
        await broker.subscribe(["a", "b"])
        await broker.unsubscribe(["b"])
    for topic in ("a", "b"):
        broker.network.publish(topic, b"meanwhile")
    async with session(broker) as inbox:
        assert inbox.readies == [(None, True)]
        await broker.subscribe(["a", "b"])
        assert inbox.got == [("a", b"meanwhile")]


async def test_broken_promises_are_noticed() -> None:
    broker = FakeBroker(max_payload_bytes=3, lane=lambda topic: topic)

    def violation() -> str:
        assert len(broker.violations) == 1
        return broker.violations.pop()

    with pytest.raises(BrokerLost):
        await broker.publish([("a", b"x")])
    assert violation() == "publish outside of a session"
    await broker.close()
    assert "close() was called" in violation()
    async with session(broker):
        await broker.subscribe([])
        assert violation() == "subscribe of nothing"
        await broker.publish([("a", b"1234")])
        assert violation() == "4 bytes published to a"
        await broker.publish([("a", b"1"), ("b", b"1")])
        assert "one publish for the lanes" in violation()
        broker.subscribing.shut()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broker.subscribe, ["a"])
            await settle()
            await broker.unsubscribe(["b"])
            assert violation() == "a second subscribe or unsubscribe call at a time"
            broker.subscribing.open()
        broker.publishing.shut()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(broker.publish, [("a", b"1")])
            tasks.start_soon(broker.publish, [("b", b"1")])
            await settle()
            assert broker.violations == []  # each lane by itself
            tasks.start_soon(broker.publish, [("a", b"2")])
            await settle()
            assert "a second ('publish', 'a') call" in violation()
            broker.publishing.open()
        await broker.close()
        assert "close() was called during run()" in violation()


async def test_a_run_before_the_last_was_closed_is_noticed() -> None:
    broker = FakeBroker()
    broker.network.stop()
    for _ in range(2):
        with pytest.raises(BrokerLost):
            await broker.run(Recorder())
    assert broker.violations == ["run() before the last session was closed"]


async def test_a_socket_records() -> None:
    socket = FakeSocket("id", "ann")
    written: list[object] = []
    socket.on_write = written.append
    socket.on_close = lambda: written.append("closed")
    for message in ("text", b"bytes", '{"name":"wigwag.resync","data":{"topics":["a"],"spreadMs":1}}'):
        socket.write(Frame.of(message))
    socket.close(1000, "bye")
    assert (socket.id, socket.user_id) == ("id", "ann")
    assert socket.messages == ["text", b"bytes"]
    assert socket.resyncs == [["a"]]
    assert socket.closes == [(1000, "bye")]
    assert written == [*socket.frames, "closed"]
