"""What one socket may do: message size, messages a second, topics; and who goes on is closed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from clocks import settle
from sockets.scripted_asgi import World
from wigwag import Limits, SocketContext, SocketError, SocketRouter, Sockets
from wigwag.sockets.session import _code_label

# Message size


@pytest.fixture
def echo() -> SocketRouter[None]:
    router = SocketRouter[None]()

    @router.on("m")
    def handle(ctx: SocketContext[None], data: str) -> int:
        return len(data)

    return router


def of_size(size: int, filling: str | bytes) -> str | bytes:
    """A message of so many bytes in UTF-8."""
    if isinstance(filling, bytes):
        return filling * size
    frame = '{"type":"m","data":""}'
    count, rest = divmod(size - len(frame), len(filling.encode()))
    return frame[:-2] + filling * count + "x" * rest + frame[-2:]


@pytest.mark.anyio
@pytest.mark.parametrize("filling", ["x", "é", "☃", "😀", b"\x00"])
async def test_a_message_is_too_big_by_its_bytes(
    world: World, echo: SocketRouter[None], filling: str | bytes
) -> None:
    sockets = Sockets(routers=[echo], limits=Limits(message_bytes=1000))
    peer = await world.connect(sockets)
    await peer.say(of_size(1000, filling))
    assert len(peer.take()) == 1
    assert not peer.is_closed
    await peer.say(of_size(1001, filling))
    assert peer.closed == (1009, "at most 1000 bytes")
    assert peer.take() == []
    assert not peer.is_served
    assert sockets._app.counters.refused == {"too big": 1}
    assert sockets._app.counters.received == 1


@pytest.mark.anyio
async def test_a_text_that_is_no_utf8_has_a_size_too(world: World, echo: SocketRouter[None]) -> None:
    peer = await world.connect(Sockets(routers=[echo], limits=Limits(message_bytes=100)))
    await peer.say("\ud800" * 30)
    assert [reply["error"] for reply in peer.take()] == ["Invalid message"]
    await peer.say("\ud800" * 40)
    assert peer.closed == (1009, "at most 100 bytes")


# Messages a second


@pytest.mark.anyio
async def test_messages_over_the_rate_are_refused_then_the_socket_closes(
    world: World, echo: SocketRouter[None]
) -> None:
    limits = Limits(messages_per_s=0.001, messages_burst=2, violations_per_minute=3)
    sockets = Sockets(routers=[echo], limits=limits)
    peer = await world.connect(sockets)
    message = {"type": "m", "data": "x", "correlationId": "c"}
    await peer.say(message, message)
    assert [reply["data"] for reply in peer.take()] == [1, 1]
    refusal = {"type": "m", "correlationId": "c", "error": "Too many messages"}
    await peer.say(message)
    assert peer.take() == [refusal]
    await peer.say(b"binary", "no json")
    assert peer.take() == [{"type": "error", "error": "Too many messages"}] * 2
    assert not peer.is_closed
    await peer.say(message)
    assert peer.closed == (1008, "too many messages")
    assert sockets._app.counters.refused == {"too many messages": 4}
    assert not peer.is_served


@pytest.mark.anyio
async def test_the_rate_holds_for_a_message_handler_too(world: World) -> None:
    raw: list[Any] = []

    def message(ctx: SocketContext, message: str | bytes) -> None:
        raw.append(message)

    peer = await world.connect(
        Sockets(message=message, limits=Limits(messages_per_s=0.001, messages_burst=1))
    )
    await peer.say("first", "second", b"third", {"type": "x", "correlationId": 4})
    assert raw == ["first"]
    error = {"error": "Too many messages"}
    assert peer.take() == [
        {"type": "error", **error},
        {"type": "error", **error},
        {"type": "x", "correlationId": 4, **error},
    ]


@pytest.mark.anyio
async def test_pings_count_as_messages_and_get_no_answer_over_the_rate(world: World) -> None:
    limits = Limits(messages_per_s=0.001, messages_burst=2, violations_per_minute=1)
    peer = await world.connect(Sockets(limits=limits))
    await peer.say("2", "2", "2")
    assert peer.take() == [3, 3]
    await peer.say("2")
    assert peer.closed == (1008, "too many messages")


@pytest.mark.anyio
async def test_the_burst_is_two_seconds_worth_and_the_topics_unless_said(
    world: World, echo: SocketRouter[None]
) -> None:
    message = {"type": "m", "data": "x"}
    for per_s, topics, taken in ((2.0, 3, 7), (0.1, 1, 1)):
        limits = Limits(messages_per_s=per_s, topics=topics)
        peer = await world.connect(Sockets(routers=[echo], limits=limits))
        await peer.say(*[message] * 9)
        assert sum("data" in reply for reply in peer.take()) == taken


# Topics


@pytest.mark.anyio
async def test_topics_over_the_limit_are_refused_then_the_socket_closes(world: World) -> None:
    router = SocketRouter[None]()

    @router.on("join")
    async def join(ctx: SocketContext[None], data: list[str]) -> list[str]:
        await ctx.subscribe(*data)
        return sorted(ctx.topics)

    sockets = Sockets(routers=[router], limits=Limits(topics=3, violations_per_minute=1))
    peer = await world.connect(sockets)
    assert (await peer.ask("join", ["a", "b"]))["data"] == ["a", "b"]
    assert (await peer.ask("join", ["a", "b", "c", "c"]))["data"] == ["a", "b", "c"]  # one is new
    assert (await peer.ask("join", ["c", "b"]))["data"] == ["a", "b", "c"]
    assert (await peer.ask("join", ["d", "a"]))["error"] == "Too many topics"
    assert sockets.provider.topic_subscriber_count("d") == 0
    await peer.say({"type": "join", "data": ["d"]})
    assert peer.closed == (1008, "too many topics")
    assert sockets._app.counters.refused == {"too many topics": 2}


# Limits


@pytest.mark.parametrize(
    "name",
    [
        "message_bytes",
        "messages_per_s",
        "messages_burst",
        "topics",
        "violations_per_minute",
        "send_messages",
        "send_bytes",
        "inbox_messages",
        "upgrade_timeout_s",
        "close_timeout_s",
    ],
)
def test_a_limit_is_greater_than_nothing(name: str) -> None:
    wrong: list[Any] = [0, -1, math.nan, "64k"]
    for value in wrong:
        with pytest.raises(ValueError, match=f"Limits.{name} must be greater than 0, not"):
            Limits(**{name: value})
    fine: dict[str, Any] = {name: 7}
    assert getattr(Limits(**fine), name) == 7


def test_a_limit_that_must_be_is_not_none() -> None:
    with pytest.raises(ValueError, match=r"Limits\.topics must be greater than 0, not None"):
        Limits(topics=None)  # type: ignore[arg-type]
    assert Limits(messages_per_s=None, messages_burst=None) == Limits()


def test_the_limits_are_these_unless_said() -> None:
    assert Limits() == Limits(
        message_bytes=65536,
        messages_per_s=None,
        messages_burst=None,
        topics=1000,
        violations_per_minute=10,
        send_messages=1024,
        send_bytes=4194304,
        slow="close",
        inbox_messages=64,
        upgrade_timeout_s=10,
        close_timeout_s=5,
    )


def test_the_policy_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="'close', 'drop' or 'latest', not 'block'"):
        Limits(slow="block")  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_a_handler_that_raises_of_its_own_is_no_violation(world: World) -> None:
    router = SocketRouter[None]()

    @router.on("m")
    def handle(ctx: SocketContext[None]) -> None:
        raise SocketError("Too many messages")

    peer = await world.connect(Sockets(routers=[router], limits=Limits(violations_per_minute=1)))
    for _ in range(5):
        await peer.ask("m")
    await settle()
    assert not peer.is_closed


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (1000, "1000"),
        (1005, "1005"),
        (1006, "1006"),
        (1015, "1015"),
        (3000, "application"),
        (4999, "application"),
    ]
    + [(code, "other") for code in (0, 999, 1016, 2999, 5000, 65535)],
)
def test_a_client_can_not_make_up_labels_for_our_metrics(code: int, label: str) -> None:
    assert _code_label(code) == label


# Joins a second


def joining(**limits: Any) -> Sockets[None, Any]:
    router = SocketRouter[None]()

    @router.on("join")
    async def join(ctx: SocketContext[None], data: list[str]) -> None:
        await ctx.subscribe(*data)

    @router.on("leave")
    async def leave(ctx: SocketContext[None], data: list[str]) -> None:
        await ctx.unsubscribe(*data)

    return Sockets(routers=[router], limits=Limits(**limits))


@pytest.mark.anyio
async def test_who_joins_and_leaves_without_end_is_held_up_and_then_closed(world: World) -> None:
    sockets = joining(joins_per_s=0.001, joins_burst=3, violations_per_minute=2)
    peer = await world.connect(sockets)
    for _ in range(3):
        assert "error" not in await peer.ask("join", ["t"])
        await peer.ask("leave", ["t"])
    assert (await peer.ask("join", ["t"]))["error"] == "Too many joins"
    assert sockets.provider.topic_subscriber_count("t") == 0
    await peer.ask("join", ["t"])
    await peer.say({"type": "join", "data": ["t"]})
    assert peer.closed == (1008, "too many joins")
    assert sockets._app.counters.refused == {"too many joins": 3}


@pytest.mark.anyio
async def test_each_topic_of_a_join_counts_and_all_or_none_are_joined(world: World) -> None:
    sockets = joining(joins_per_s=0.001, joins_burst=3)
    peer = await world.connect(sockets)
    assert (await peer.ask("join", ["a", "b", "c", "d"]))["error"] == "Too many joins"
    assert sockets.provider.topic_subscriber_count("a") == 0
    assert "error" not in await peer.ask("join", ["a", "b", "c"])


@pytest.mark.anyio
async def test_who_comes_back_may_join_all_that_a_socket_may_have_at_once(world: World) -> None:
    peer = await world.connect(joining(joins_per_s=0.001, topics=50))
    topics = [f"t:{number}" for number in range(50)]
    assert "error" not in await peer.ask("join", topics)
    assert (await peer.ask("join", ["t:1"]))["error"] == "Too many joins"


# Sockets of a user


def of_users(limit: int | None) -> Sockets[str]:
    async def upgrade(connection: HTTPConnection) -> str | None:
        return connection.query_params.get("user")

    return Sockets(upgrade=upgrade, limits=Limits(sockets_per_user=limit))


@pytest.mark.anyio
async def test_a_user_has_no_more_sockets_than_it_may_and_others_have_theirs(world: World) -> None:
    sockets = of_users(2)
    first = await world.connect(sockets, "/ws?user=ann")
    await world.connect(sockets, "/ws?user=ann")
    third = await world.connect(sockets, "/ws?user=ann")
    assert third.closed == (1013, "too many connections of this user")
    assert not (await world.connect(sockets, "/ws?user=bob")).is_closed
    assert sockets._app.counters.refused == {"sockets per user": 1}
    await first.leave()
    assert not (await world.connect(sockets, "/ws?user=ann")).is_closed


@pytest.mark.anyio
async def test_those_that_come_at_once_are_counted_before_they_are_in(world: World) -> None:
    sockets = of_users(2)
    await world.start(sockets)
    peers = [world.open(sockets, "/ws?user=ann") for _ in range(5)]
    for peer in peers:
        peer.sending.shut()  # each handshake waits for its server
    await settle()
    for peer in peers:
        peer.sending.open()
    await settle()
    assert sum(not peer.is_closed for peer in peers) == 2


@pytest.mark.anyio
async def test_nothing_is_kept_of_users_that_have_gone(world: World) -> None:
    sockets = of_users(2)
    for _ in range(3):
        peer = await world.connect(sockets, "/ws?user=ann")
        await peer.leave()
    gone = await world.connect(sockets, "/ws?user=ann")
    gone.cancel_scope.cancel()
    await settle()
    assert not sockets._app._sockets_of


@pytest.mark.anyio
async def test_who_has_no_name_is_not_counted(world: World) -> None:
    sockets = Sockets(limits=Limits(sockets_per_user=1))
    peers = [await world.connect(sockets) for _ in range(3)]
    assert not any(peer.is_closed for peer in peers)
