"""To one socket, to all, to a user's; and what nodes ask each other."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import msgspec
import pytest

from clocks import settle
from provider.world import World, pass_time
from wigwag.errors import NotAccepted
from wigwag.messages import SocketMessage
from wigwag.node import new_socket_id
from wigwag.provider.commands import Load
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


class Said(SocketMessage, name="said"):
    text: str


async def test_send_reaches_one_socket_wherever_it_hangs(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket, neighbour = node.attach(), node.attach()
    for publisher in (node, other):
        await publisher.provider.send(socket.id, "text")
        await publisher.provider.send(socket.id, b"\xff\0")
        await publisher.provider.send(socket.id, Said(text="typed"))
    assert socket.messages[:2] == socket.messages[3:5] == ["text", b"\xff\0"]
    for index in (2, 5):
        assert msgspec.json.decode(socket.frames[index].payload)["data"] == {"text": "typed"}
    assert len(socket.frames) == 6
    assert neighbour.frames == []


async def test_a_send_is_heard_by_no_third_node(world: World) -> None:
    nodes = [await world.node() for _ in range(3)]
    socket = nodes[0].attach()
    nodes[2].attach()
    await nodes[1].provider.send(socket.id, "x")
    channel = world.network.log[-1][0]
    assert [channel in node.broker.topics for node in nodes] == [True, False, False]


async def test_sending_to_a_socket_that_has_gone_is_no_error(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = node.attach()
    node.provider.detach(socket.id)
    await node.provider.send(socket.id, "x")
    await other.provider.send(socket.id, "x")
    await other.provider.send(new_socket_id("00000000"), "x")
    await node.provider.disconnect(socket.id)
    await other.provider.disconnect(socket.id)
    assert (socket.frames, socket.closes) == ([], [])


async def test_broadcast_reaches_every_socket_of_every_node_once(world: World) -> None:
    node, other = await world.node(), await world.node()
    sockets = [node.attach(), await node.join("room"), other.attach()]
    await node.provider.broadcast("text")
    await node.provider.broadcast(b"binary")
    await node.provider.broadcast(Said(text="typed"))
    for socket in sockets:
        assert socket.messages[:2] == ["text", b"binary"]
        assert len(socket.frames) == 3


async def test_disconnect_closes_one_socket_wherever_it_hangs(world: World) -> None:
    node, other = await world.node(), await world.node()
    a, b = node.attach(), node.attach()
    await node.provider.disconnect(a.id, 1008, "here")
    await other.provider.disconnect(a.id, 3000, "there")
    await other.provider.disconnect(a.id)
    await settle()
    assert a.closes == [(1008, "here"), (3000, "there"), (1000, "")]
    assert b.closes == []


async def test_a_detached_socket_leaves_every_topic(world: World) -> None:
    node, other = await world.node(), await world.node()
    socket = await node.join("a", "b")
    assert node.provider.connection_count() == 1
    node.provider.detach(socket.id)
    node.provider.detach(socket.id)  # no error
    assert (node.provider.connection_count(), node.provider.is_connected(socket.id)) == (0, False)
    assert [node.provider.topic_subscriber_count(topic) for topic in "ab"] == [0, 0]
    await other.provider.publish("a", "x")
    assert socket.frames == []
    await pass_time(1)
    assert {"a", "b"}.isdisjoint(node.broker.topics)


async def test_a_socket_without_topics_is_connected(world: World) -> None:
    node = await world.node()
    socket = await node.join("a")
    await node.provider.unsubscribe(socket.id, "a")
    assert node.provider.is_connected(socket.id)
    assert node.provider.connection_count() == 1
    assert not node.provider.topics_of(socket.id)


async def test_unknown_topics_and_sockets_count_nothing(world: World) -> None:
    node, other = await world.node(), await world.node()
    stranger = other.attach()
    assert node.provider.topic_subscriber_count("unknown") == 0
    assert not node.provider.is_connected(stranger.id)
    assert not node.provider.topics_of(stranger.id)
    socket = node.attach()
    await node.provider.unsubscribe(socket.id, "unknown")
    assert node.provider.is_connected(socket.id)


async def test_a_socket_counts_once_however_often_it_attaches(world: World) -> None:
    node = await world.node()
    socket = node.attach()
    node.provider.attach(socket)
    assert (node.provider.connection_count(), node.provider.counters.opened) == (1, 1)


async def test_disconnect_user_closes_all_of_them_and_nobody_else(world: World) -> None:
    node, other = await world.node(), await world.node()
    of_user = [node.attach("ann"), node.attach("ann"), other.attach("ann")]
    others = [node.attach("bob"), node.attach(None), other.attach("")]
    await node.provider.disconnect_user("ann", 1008, "revoked")
    await settle()
    assert [socket.closes for socket in of_user] == [[(1008, "revoked")]] * 3
    assert [socket.closes for socket in others] == [[]] * 3


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1, 70_000])
async def test_a_code_that_an_endpoint_may_not_send_is_refused(world: World, code: int) -> None:
    node = await world.node()
    socket = node.attach("ann")
    with pytest.raises(ValueError, match="close code"):
        await node.provider.disconnect(socket.id, code)
    with pytest.raises(ValueError, match="close code"):
        await node.provider.disconnect_user("ann", code)
    assert socket.closes == []


async def test_a_socket_that_raises_in_close_does_not_keep_the_others_open(world: World) -> None:
    node = await world.node()
    sockets = [node.attach("ann") for _ in range(3)]

    def explode() -> None:
        raise RuntimeError("a bad socket")

    sockets[0].on_close = explode
    await node.provider.disconnect_user("ann")
    await settle()
    assert [socket.closes for socket in sockets] == [[(1000, "")]] * 3


async def test_a_topic_is_counted_on_every_node_that_answers(world: World) -> None:
    nodes = [await world.node() for _ in range(3)]
    tags = [node.attach().id[:8] for node in nodes]
    for node, count in zip(nodes, (2, 1, 0), strict=True):
        for _ in range(count):
            await node.join("room")
    counts = await nodes[1].provider.count_topic("room")
    assert counts == dict(zip(tags, (2, 1, 0), strict=True))
    nodes[0].broker.is_deaf = True
    counts = await nodes[1].provider.count_topic("room")
    assert counts == dict(zip(tags[1:], (1, 0), strict=True))
    await pass_time(1)
    assert nodes[1].provider.node._commands._asked == {}  # type: ignore[union-attr]


async def test_the_sockets_of_each_node_that_answers_are_counted(world: World) -> None:
    nodes = [await world.node() for _ in range(3)]
    tags = [node.provider.node.tag for node in nodes]  # type: ignore[union-attr]
    for node, count in zip(nodes, (2, 1, 0), strict=True):
        for _ in range(count):
            node.attach()
    nodes[2].provider.node.leave()  # type: ignore[union-attr]
    counts = await nodes[1].provider.count_sockets()
    assert counts == dict(zip(tags, ((2, False), (1, False), (0, True)), strict=True))
    nodes[0].broker.is_deaf = True
    assert set(await nodes[1].provider.count_sockets()) == set(tags[1:])


async def test_what_a_node_says_of_its_sockets_all_hear_that_listen(world: World) -> None:
    nodes = [await world.node() for _ in range(3)]
    heard: list[Load] = []
    for node in nodes[:2]:
        node.provider.node.on_load(heard.append)  # type: ignore[union-attr]
    nodes[0].attach()
    first = nodes[0].provider.node
    assert first is not None
    first.tell_load()
    await settle()
    assert heard == [Load(first.tag, 1)] * 2
    first.leave()
    first.tell_load()
    await settle()
    assert heard[2:] == [Load(first.tag, 1, leaving=True)] * 2


async def test_two_counts_at_once_do_not_mix(world: World) -> None:
    node, other = await world.node(), await world.node()
    await other.join("a")
    answers: dict[str, int] = {}

    async def count(topic: str) -> None:
        answers[topic] = sum((await node.provider.count_topic(topic)).values())

    async with anyio.create_task_group() as tasks:
        for topic in "ab":
            tasks.start_soon(count, topic)
    assert answers == {"a": 1, "b": 0}


async def test_a_late_answer_is_dropped(world: World) -> None:
    node, other = await world.node(), await world.node()
    await other.join("a")
    other.broker.publishing.shut()
    assert len(await node.provider.count_topic("a")) == 1
    other.broker.publishing.open()
    await settle()


async def test_an_answer_that_can_not_be_sent_is_given_up_with_a_word(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    node, other = await world.node(), await world.node(outbox_messages=0)
    assert len(await node.provider.count_topic("a")) == 1
    assert "a command to another node was not sent" in caplog.text
    assert other.broker.is_up


async def test_a_count_that_nobody_can_be_asked_says_what_is_known_here(world: World) -> None:
    node = await world.node()
    await node.join("a")
    world.network.stop()
    await settle()
    assert list((await node.provider.count_topic("a")).values()) == [1]


async def test_a_command_that_can_not_be_sent_is_an_error(world: World) -> None:
    world.network.stop()
    node = await world.node()
    with pytest.raises(NotAccepted):
        await node.provider.disconnect(new_socket_id("00000000"))


async def test_two_prefixes_of_one_broker_never_meet(world: World) -> None:
    """Prefix ``a`` with topic ``b:c``, and prefix ``a:b`` with ``c``, are one channel."""

    class Prefixed(FakeBroker):
        def __init__(self, prefix: str) -> None:
            super().__init__(world.network)
            self.prefix = prefix

        async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
            for topic, payload in messages:
                for broker in (one, two):
                    mine = f"{self.prefix}:{topic}".removeprefix(f"{broker.prefix}:")
                    if mine in broker.topics and broker.is_up:
                        broker.inboxes[-1].deliver(mine, payload)

    one, two = Prefixed("a"), Prefixed("a:b")
    first, second = await world.node(one), await world.node(two)
    ones, twos = await first.join("b:c"), await second.join("c")
    await first.provider.publish("b:c", "of a")
    await second.provider.publish("c", "of a:b")
    assert (ones.messages, twos.messages) == (["of a"], ["of a:b"])
    assert first.provider.counters.foreign["topic"] == 1
    assert second.provider.counters.foreign["topic"] == 1
