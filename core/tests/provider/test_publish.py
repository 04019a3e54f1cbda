"""From a publish to the sockets that want it: what arrives, where, and in which order."""

from __future__ import annotations

import json
from contextlib import suppress

import anyio
import pytest

from clocks import settle
from provider.world import World, pass_time
from wigwag.errors import (
    InvalidMessage,
    InvalidSocketId,
    InvalidTopic,
    NotRunning,
    PayloadTooLarge,
    Uncertain,
)
from wigwag.messages import SocketMessage
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


class Said(SocketMessage, name="said"):
    text: str


MESSAGES: list[str | bytes] = [
    "",
    b"",
    "\0",
    b"\0\xff\xfe",
    "ünïcödé 😀",
    '{"json": true}',
    bytes(range(256)),
    "x" * 70_000,
    b"y" * 70_000,
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{type(m).__name__} {len(m)}")
async def test_text_and_binary_arrive_bit_exact(world: World, message: str | bytes) -> None:
    node, other = await world.node(), await world.node()
    socket, here = await other.join("room"), await node.join("room")
    await node.provider.publish("room", message)
    assert socket.messages == [message]
    assert here.messages == [message]
    assert [type(m) for m in socket.messages] == [type(message)]


async def test_any_bytes_like_message_is_binary(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    await node.provider.publish("room", bytearray(b"a"))  # type: ignore[arg-type]
    await node.provider.publish("room", memoryview(b"b"))  # type: ignore[arg-type]
    assert socket.messages == [b"a", b"b"]


async def test_only_where_it_is_wanted_and_one_copy_a_socket(world: World) -> None:
    nodes = [await world.node() for _ in range(3)]
    wanting = [await nodes[0].join("room"), await nodes[0].join("room", "b"), await nodes[1].join("room")]
    others = [await nodes[1].join("b"), nodes[2].attach()]
    await nodes[2].provider.publish("room", "x")
    assert [socket.messages for socket in wanting] == [["x"]] * 3
    assert [socket.messages for socket in others] == [[], []]
    assert "room" not in nodes[2].broker.topics  # over a real broker: not even sent there


async def test_over_delivery_by_the_broker_is_dropped(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = await node.join("room")
    await other.provider.publish("elsewhere", "x")
    payload = world.network.messages["elsewhere"][0]
    node.broker.inboxes[-1].deliver("elsewhere", payload)
    assert socket.frames == []


async def test_one_publisher_is_heard_in_order_by_all(world: World) -> None:
    node, other = await world.node(), await world.node()
    sockets = [await node.join("room"), await other.join("room")]
    sent = [str(number) for number in range(3000)]
    async with anyio.create_task_group() as tasks:
        for text in sent:  # started in order, and each publishes in its first step
            tasks.start_soon(node.provider.publish, "room", text)
            if len(node.provider.node._outbox) % 700 == 0:  # type: ignore[union-attr]
                await anyio.lowlevel.checkpoint()
    assert all(sorted(socket.messages) == sorted(sent) for socket in sockets)
    assert sockets[0].messages == sockets[1].messages


async def test_order_holds_across_sessions_on_every_node(world: World) -> None:
    node, other = await world.node(), await world.node()
    sockets = [await other.join("room"), await (await world.node()).join("room")]
    accepted: list[int] = []

    async def publish(number: int) -> None:
        with suppress(Uncertain):
            await node.provider.publish("room", str(number))
            accepted.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(60):
            tasks.start_soon(publish, number)
            await anyio.lowlevel.checkpoint()
            if number % 20 == 5:
                node.broker.confirming.shut()
            elif number % 20 == 10:
                node.broker.cut()
                await settle()
                node.broker.confirming.open()
                await pass_time(0.2)
    for socket in sockets:
        heard = [int(message) for message in socket.messages]
        assert heard == sorted(set(heard))
        assert set(accepted) <= set(heard)
    assert len(node.broker.inboxes) == 4
    assert 30 < len(accepted) < 60  # those in flight at a cut are in doubt


async def test_exclude_is_for_topics_and_broadcasts_and_holds_on_every_node(world: World) -> None:
    node, other = await world.node(), await world.node()
    sender, friend = await node.join("room"), await other.join("room")
    for publisher in (node, other):
        await publisher.provider.publish("room", "p", exclude=sender.id)
        await publisher.provider.broadcast("b", exclude=sender.id)
        await publisher.provider.emit(Said(text="e"), "room", exclude=sender.id)
    assert sender.frames == []
    assert len(friend.frames) == 6


async def test_emit_sends_the_event_and_its_type_with_data_too(world: World) -> None:
    node = await world.node()
    socket = await node.join("room")
    await node.provider.emit(Said(text="hi"), "room")
    await node.provider.emit(Said, "room", {"text": "ho"})
    for text, message in zip(("hi", "ho"), socket.messages, strict=True):
        assert isinstance(message, str)
        assert message.startswith(f'{{"name":"said","data":{{"text":"{text}"}},"timestamp":')


async def test_the_frame_of_a_topic_knows_its_topic_and_a_direct_one_none(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = await node.join("room")
    await node.provider.publish("room", "x")
    await node.provider.broadcast("x")
    await node.provider.send(socket.id, "x")
    await other.provider.send(socket.id, "x")
    assert [frame.topic for frame in socket.frames] == ["room", "__broadcast__", None, None]


async def test_sockets_share_one_frame(world: World) -> None:
    node = await world.node()
    a, b = await node.join("room"), await node.join("room")
    await node.provider.publish("room", "x")
    assert a.frames[0] is b.frames[0]


async def test_a_socket_that_raises_in_write_does_not_hurt_the_others(world: World) -> None:
    node = await world.node()
    sockets = [await node.join("room") for _ in range(3)]

    def explode(_: object) -> None:
        raise RuntimeError("a bad socket")

    sockets[1].on_write = explode
    await node.provider.publish("room", "x")
    await node.provider.publish("room", "y")
    assert sockets[0].messages == sockets[2].messages == ["x", "y"]
    assert node.provider.counters.delivered == 4


async def test_a_socket_that_leaves_while_it_is_written_to_does_not_hurt_the_others(world: World) -> None:
    node = await world.node()
    sockets = [await node.join("room") for _ in range(5)]
    for socket in sockets[::2]:
        socket.on_write = lambda _, id_=socket.id: node.provider.detach(id_)
    await node.provider.publish("room", "x")
    await node.provider.publish("room", "y")
    assert [socket.messages for socket in sockets[::2]] == [["x"]] * 3
    assert [socket.messages for socket in sockets[1::2]] == [["x", "y"]] * 2
    assert node.provider.topic_subscriber_count("room") == 2


@pytest.mark.parametrize("topic", ["", "x" * 257, "a b", "a/b", "ä", "a\n", "__broadcast__", "__x"])
async def test_an_unusable_topic_is_refused(world: World, topic: str) -> None:
    node = await world.node()
    with pytest.raises(InvalidTopic):
        await node.provider.publish(topic, "x")
    with pytest.raises(InvalidTopic):
        await node.provider.emit(Said(text="x"), topic)
    with pytest.raises(InvalidTopic):
        node.provider.topic_subscriber_count(topic)


async def test_what_can_not_be_sent_is_refused(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    with pytest.raises(TypeError, match=r"json\.dumps"):
        await node.provider.publish("room", {"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await node.provider.send(socket.id, {"a": 1})
    with pytest.raises(InvalidMessage):
        await node.provider.emit(Said(text=1), "room")  # type: ignore[arg-type]
    for publish in (
        node.provider.publish("room", "\ud800"),
        node.provider.broadcast("\ud800"),
        node.provider.send(socket.id, "\ud800"),
    ):
        with pytest.raises(InvalidMessage, match="UTF-8"):
            await publish
    assert socket.frames == []


async def test_malformed_ids_are_refused(world: World) -> None:
    node = await world.node()
    for bad in ("x", "00000000-0000-4000-8000-00000000000G"):
        with pytest.raises(InvalidSocketId):
            await node.provider.send(bad, "x")
        with pytest.raises(InvalidSocketId):
            await node.provider.publish("room", "x", exclude=bad)
        with pytest.raises(InvalidSocketId):
            await node.provider.broadcast("x", exclude=bad)
        with pytest.raises(InvalidSocketId):
            await node.provider.emit(Said(text="x"), "room", exclude=bad)
        with pytest.raises(InvalidSocketId):
            await node.provider.disconnect(bad)


async def test_publishing_before_start_and_after_stop_raises_and_names_the_topic(world: World) -> None:
    node = world.make()
    for _ in range(2):
        with pytest.raises(NotRunning, match="'lobby'"):
            await node.provider.publish("lobby", "x")
        with pytest.raises(NotRunning, match="'lobby'"):
            await node.provider.emit(Said(text="x"), "lobby")
        with pytest.raises(NotRunning):
            await node.provider.broadcast("x")
        with pytest.raises(NotRunning):
            await node.provider.send("0123abcd-0000-4000-8000-000000000000", "x")
        await node.provider.start()
        await node.provider.stop()


async def test_the_largest_payload_is_known_and_a_larger_one_refused_with_the_limit(world: World) -> None:
    node = await world.node(FakeBroker(world.network, max_payload_bytes=1000))
    socket = await node.join("room")
    with pytest.raises(PayloadTooLarge, match="at most 1000") as got:
        await node.provider.publish("room", b"x" * 1000)  # the envelope is more than the message
    assert (got.value.topic, got.value.limit_bytes) == ("room", 1000)
    overhead = got.value.size_bytes - 1000
    await node.provider.publish("room", b"x" * (1000 - overhead))
    with pytest.raises(PayloadTooLarge):
        await node.provider.publish("room", b"x" * (1001 - overhead))
    assert len(socket.messages) == 1
    await pass_time(60)
    assert node.broker.is_up


async def test_counters_count(world: World) -> None:
    node, other = await world.node(), await world.node()
    a, _ = await node.join("room"), await node.join("room")
    await node.provider.publish("room", "x")
    await node.provider.broadcast("x")
    await node.provider.send(a.id, "x")
    assert (node.provider.counters.published, node.provider.counters.delivered) == (3, 5)
    assert (node.provider.counters.opened, node.provider.counters.sessions) == (2, 1)
    assert other.provider.counters.delivered == 0


async def test_a_broker_may_ask_for_the_envelope_of_orijs_and_both_are_read(world: World) -> None:
    node, other = await world.node(), await world.node()
    node.broker.envelope = "json"
    sockets = [await each.join("room") for each in (node, other)]
    await node.provider.publish("room", "text", exclude=sockets[0].id)
    await node.provider.publish("room", b"\xff\x00")
    await node.provider.broadcast("all")
    await other.provider.publish("room", "compact")
    await settle()
    assert sockets[1].messages == ["text", b"\xff\x00", "all", "compact"]
    assert sockets[0].messages == [b"\xff\x00", "all", "compact"]
    written = [json.loads(data) for topic, data in world.network.log if data[:1] == b"{"]
    assert [fields["message"] for fields in written] == ["text", "/wA=", "all"]
