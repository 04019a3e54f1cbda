"""Malformed, foreign and hostile envelopes are counted, logged once and skipped, never fatal."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from clocks import settle
from provider.world import NodeUnderTest, World, pass_time
from wigwag.wire.envelope import Kind, encode_envelope

pytestmark = pytest.mark.anyio

BOMB = b"\x91" * 100_000
JSON_BOMB = b'{"type":"close","x":' + b"[" * 100_000
FOREIGN = {
    "empty": (b"", "malformed"),
    "text": (b"hello", "malformed"),
    "JSON": (b'{"topic":"room","message":"x"}', "malformed"),
    "a bomb": (BOMB, "malformed"),
    "a map": (msgspec.msgpack.encode({"version": 1}), "malformed"),
    "a bool for a version": (msgspec.msgpack.encode([True, 0, "room", b"x"]), "malformed"),
    "an unknown kind": (msgspec.msgpack.encode([1, 9, "room", b"x"]), "malformed"),
    "too short": (msgspec.msgpack.encode([1, 0, "room"]), "malformed"),
    "cut": (encode_envelope(Kind.TEXT, "room", b"x" * 50)[:-3], "malformed"),
    "a later version": (msgspec.msgpack.encode([2, 0, "room", b"x"]), "version"),
    "another topic": (encode_envelope(Kind.TEXT, "other", b"x"), "topic"),
    "text that is no UTF-8": (encode_envelope(Kind.TEXT, "room", b"\xff"), "utf-8"),
}


def own_channel(node: NodeUnderTest) -> str:
    return next(topic for topic in node.broker.topics if topic.startswith("__node__"))


@pytest.mark.parametrize(("payload", "cause"), FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_envelope_is_counted_and_skipped(
    world: World, caplog: pytest.LogCaptureFixture, payload: bytes, cause: str
) -> None:
    node = await world.node()
    socket = await node.join("room")
    for _ in range(3):
        world.network.publish("room", payload)
    await node.provider.publish("room", "ours")
    assert socket.messages == ["ours"]
    assert node.provider.counters.foreign == {cause: 3}
    assert caplog.text.count("is not wigwag's") == 1
    assert len(caplog.records) == 1
    await pass_time(20)
    assert len(node.broker.inboxes) == 1


COMMANDS = {
    "no JSON": b"close them all",
    "a bomb": JSON_BOMB,
    "unknown": b'{"type":"explode"}',
    "no code": b'{"type":"close","reason":"","user":"ann"}',
    "a code that fits no frame": b'{"type":"close","code":70000,"reason":"","user":"ann"}',
    "a code that no endpoint may send": b'{"type":"close","code":1006,"reason":"","user":"ann"}',
    "a code of nobody's": b'{"type":"close","code":2500,"reason":"","user":"ann"}',
    "a reason that fits no frame": b'{"type":"close","code":1000,"reason":"'
    + b"x" * 200
    + b'","user":"ann"}',
    "a negative code": b'{"type":"close","code":-1,"reason":"","user":"ann"}',
    "no node": b'{"type":"count","topic":"room","ask":1}',
    "a node that is a channel": b'{"type":"count","topic":"room","ask":1,"node":"x\\r\\nPUB y"}',
    "a node with a newline": b'{"type":"count","topic":"room","ask":1,"node":"0123abcd\\n"}',
    "a negative count": b'{"type":"counted","ask":1,"node":"0123abcd","sockets":-1}',
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_a_hostile_command_is_counted_and_skipped(
    world: World, caplog: pytest.LogCaptureFixture, command: bytes
) -> None:
    node = await world.node()
    socket = node.attach("ann")
    calls = len(node.broker.called("publish"))
    for channel in ("__broadcast__", own_channel(node)):
        for _ in range(3):
            world.network.publish(channel, encode_envelope(Kind.COMMAND, channel, command))
    await settle()
    assert node.provider.counters.foreign == {"command": 6}
    assert len(caplog.records) == 1
    assert (socket.frames, socket.closes) == ([], [])
    assert len(node.broker.called("publish")) == calls


async def test_a_command_that_names_nobody_closes_nobody(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    command = b'{"type":"close","code":1000,"reason":""}'
    world.network.publish("__broadcast__", encode_envelope(Kind.COMMAND, "__broadcast__", command))
    assert socket.closes == []


async def test_a_command_on_an_applications_topic_is_not_done(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    command = b'{"type":"close","code":1000,"reason":"","socket":"%s"}' % socket.id.encode()
    world.network.publish("room", encode_envelope(Kind.COMMAND, "room", command))
    assert (socket.frames, socket.closes) == ([], [])


@pytest.mark.parametrize("number", [b"", b"x", b"1.5", b"null", b"[" * 100_000])
async def test_a_probe_that_is_no_number_is_counted_and_skipped(world: World, number: bytes) -> None:
    node = await world.node()
    channel = own_channel(node)
    world.network.publish(channel, encode_envelope(Kind.PROBE, channel, number))
    assert node.provider.counters.foreign.total() == 1
    await pass_time(20)
    assert len(node.broker.inboxes) == 1


async def test_a_probe_on_another_channel_is_nothing(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    world.network.publish("room", encode_envelope(Kind.PROBE, "room", b"1"))
    assert socket.frames == []


async def test_an_extra_element_of_a_later_version_is_no_harm(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    position = ["epoch", 7]
    envelope = [1, 0, "room", b"x", None, None, "id", position, None, None, {"more": 1}]
    world.network.publish("room", msgspec.msgpack.encode(envelope))
    await settle()
    assert socket.messages == ["x"]


async def test_core_survives_what_it_did_not_foresee(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An inbox never raises into the plugin."""
    node = await world.node()

    def fail(*_: object) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(node.provider.node, "arrived", fail)
    node.broker.inboxes[-1].deliver("room", b"x")
    assert "could not be handled" in caplog.text
    assert node.broker.is_up


async def test_a_flood_of_questions_is_answered_so_far_and_costs_no_publish(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    node = await world.node(outbox_messages=2000)
    socket = await node.join("room")
    question = b'{"type":"count","topic":"room","ask":%d,"node":"0a0b0c0d"}'
    for ask in range(5000):
        world.network.publish("__broadcast__", encode_envelope(Kind.COMMAND, "__broadcast__", question % ask))
    await node.provider.publish("room", "ours")
    await settle()
    assert socket.messages == ["ours"]
    assert len(world.network.messages["__node__:0a0b0c0d"]) == 500
    assert not caplog.records
    await pass_time(1)
    world.network.publish("__broadcast__", encode_envelope(Kind.COMMAND, "__broadcast__", question % 1))
    await settle()
    assert len(world.network.messages["__node__:0a0b0c0d"]) == 501


async def test_made_up_nodes_are_counted_up_to_a_limit(world: World) -> None:
    node = await world.node()
    home = own_channel(node)
    counted: dict[str, int] = {}

    async def count() -> None:
        counted.update(await node.provider.count_topic("room"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await settle()
        for number in range(12_000):
            answer = b'{"type":"counted","ask":1,"node":"%08x","sockets":1}' % number
            world.network.publish(home, encode_envelope(Kind.COMMAND, home, answer))
        await pass_time(1)
    assert len(counted) <= 10_001


async def test_a_session_that_ends_again_and_again_in_the_same_way_is_not_logged_each_time(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    node = await world.node()
    for _ in range(100):
        node.broker.cut("the same")
        await pass_time(1)
    said = [record.message for record in caplog.records if "session ended" in record.message]
    assert 2 <= len(said) <= 5
    assert "times before, in the same way" in said[-1]
