"""Replies: when there is one, what is in it, in which order."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import math
import uuid
from collections.abc import Callable
from typing import Any, TypedDict

import anyio
import anyio.lowlevel
import msgspec
import pydantic
import pytest

from clocks import settle
from sockets.scripted_asgi import Peer, World
from wigwag import (
    Forbidden,
    InvalidTopic,
    SocketContext,
    SocketError,
    SocketMessage,
    SocketRouter,
    Sockets,
    topic,
)
from wigwag.errors import NotAccepted, NotLive, TopicRefused

pytestmark = pytest.mark.anyio


class Point(msgspec.Struct, rename="camel"):
    left_edge: int


@dataclasses.dataclass
class Data:
    x: int


class Model(pydantic.BaseModel):
    x: int = pydantic.Field(serialization_alias="X")


class Typed(TypedDict):
    x: int


class Note(SocketMessage, name="note"):
    text: str


async def peer_of(world: World, handler: Callable[..., Any]) -> Peer:
    """A socket whose messages of type ``m`` go to this handler."""
    router = SocketRouter[None]()
    router.on("m")(handler)
    return await world.connect(Sockets(routers=[router]))


RETURNED = [
    (Point(1), {"leftEdge": 1}),
    (Data(2), {"x": 2}),
    (Model(x=3), {"X": 3}),
    ([Model(x=3)], [{"X": 3}]),
    (Typed(x=4), {"x": 4}),
    ({"a": None}, {"a": None}),
    ([1, "two"], [1, "two"]),
    ("", ""),
    (0, 0),
    (False, False),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (datetime.date(2026, 11, 23), "2026-11-23"),
    (b"\x00", "AA=="),
]


@pytest.mark.parametrize(("value", "data"), RETURNED, ids=[repr(value) for value, _ in RETURNED])
async def test_what_a_handler_returns_is_the_replys_data(world: World, value: Any, data: Any) -> None:
    peer = await peer_of(world, lambda ctx: value)
    assert await peer.ask("m") == {"type": "m", "correlationId": "1", "data": data}
    await peer.say({"type": "m"})
    assert peer.take() == [{"type": "m", "data": data}]


async def test_what_a_handler_returns_is_awaited_where_that_can_be(world: World) -> None:
    """Whatever the callable looks like: its result is asked."""

    async def later(value: str) -> str:
        await anyio.lowlevel.checkpoint()
        return value

    class Promise:
        def __await__(self) -> Any:
            return later("promised").__await__()

    class Handler:
        async def __call__(self, ctx: SocketContext) -> str:
            return "object"

    for handler, data in (
        (lambda ctx: later("lambda"), "lambda"),
        (lambda ctx: Promise(), "promised"),
        (Handler(), "object"),
        (functools.partial(lambda word, ctx: later(word), "partial"), "partial"),
    ):
        peer = await peer_of(world, handler)
        assert (await peer.ask("m"))["data"] == data


async def test_no_reply_where_none_is_asked_for_and_nothing_returned(world: World) -> None:
    peer = await peer_of(world, lambda ctx: None)
    await peer.say({"type": "m"}, {"type": "m", "correlationId": None})
    assert peer.take() == []
    assert await peer.ask("m", id=0) == {"type": "m", "correlationId": 0, "data": None}
    assert await peer.ask("m", id="") == {"type": "m", "correlationId": "", "data": None}


@pytest.mark.parametrize(
    "value",
    [object(), {1j}, math.nan, {"a": [math.inf]}, "\ud800", {("a", "b"): 1}],
    ids=["object", "complex", "nan", "inf", "surrogate", "pairs"],
)
async def test_what_can_not_be_written_is_an_internal_error(
    world: World, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peer_of(world, lambda ctx: value)
    assert await peer.ask("m") == {"type": "m", "correlationId": "1", "error": "Internal error"}
    (record,) = caplog.records
    assert "message type 'm'" in record.message


async def test_nothing_of_an_exception_is_on_the_wire_and_all_of_it_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(ctx: SocketContext) -> None:
        raise RuntimeError("password=hunter2")

    peer = await peer_of(world, fail)
    assert await peer.ask("m", id=5) == {"type": "m", "correlationId": 5, "error": "Internal error"}
    await peer.say({"type": "m"})
    assert peer.take() == [{"type": "m", "error": "Internal error"}]
    assert not any("hunter2" in str(event) for event in peer.events)
    assert caplog.text.count("RuntimeError: password=hunter2") == 2
    assert "test_replies.py" in caplog.text  # the traceback


async def test_the_message_handlers_exception_is_an_internal_error_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(ctx: SocketContext, message: str | bytes) -> None:
        raise KeyError("secret")

    peer = await world.connect(Sockets(message=fail))
    await peer.say("x")
    assert peer.take() == [{"type": "error", "error": "Internal error"}]
    assert "KeyError: 'secret'" in caplog.text


async def test_a_socket_error_is_for_the_client(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def full(ctx: SocketContext) -> None:
        raise SocketError("Room is full", [{"path": "$.room", "message": "9 of 9"}])

    peer = await peer_of(world, full)
    assert await peer.ask("m") == {
        "type": "m",
        "correlationId": "1",
        "error": "Room is full",
        "details": [{"path": "$.room", "message": "9 of 9"}],
    }
    assert not caplog.records


def forbid(ctx: SocketContext) -> None:
    raise Forbidden


def colon(ctx: SocketContext) -> None:
    topic("room", "a:b")


async def reserved(ctx: SocketContext) -> None:
    await ctx.subscribe("__all__")


async def bad_emit(ctx: SocketContext) -> None:
    await ctx.emitter.emit(Note(text=3), "t")  # type: ignore[arg-type]


def not_live(ctx: SocketContext) -> None:
    raise NotLive("t", "redis://secret is down")


def not_accepted(ctx: SocketContext) -> None:
    raise NotAccepted("redis://secret is down")


def refused(ctx: SocketContext) -> None:
    raise TopicRefused("t", "redis://secret says no")


def value_error(ctx: SocketContext) -> None:
    raise ValueError("an InvalidTopic is one, but this is none")


@pytest.mark.parametrize(
    ("handler", "error", "level"),
    [
        (forbid, "Forbidden", None),
        (colon, "Validation failed", None),
        (reserved, "Validation failed", None),
        (bad_emit, "Internal error", "ERROR"),
        (not_live, "Unavailable", "WARNING"),
        (not_accepted, "Unavailable", "WARNING"),
        (refused, "Internal error", "ERROR"),
        (value_error, "Internal error", "ERROR"),
    ],
)
async def test_each_of_our_errors_has_its_answer(
    world: World,
    handler: Callable[[SocketContext], Any],
    error: str,
    level: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = await peer_of(world, handler)
    reply = await peer.ask("m")
    assert reply["error"] == error
    assert "secret" not in str(reply)
    assert [record.levelname for record in caplog.records] == ([level] if level else [])


async def test_an_invalid_topic_is_answered_with_its_rule(world: World) -> None:
    def bad(ctx: SocketContext) -> None:
        raise InvalidTopic("x", "it is the wrong one")

    reply = await (await peer_of(world, bad)).ask("m")
    assert reply["details"] == [{"path": "$", "message": "it is the wrong one"}]


async def test_replies_leave_in_the_order_of_their_messages(world: World) -> None:
    gates = {name: anyio.Event() for name in "abc"}

    async def wait(ctx: SocketContext, data: str) -> str:
        await gates[data].wait()
        return data

    peer = await peer_of(world, wait)
    await peer.say(*({"type": "m", "data": name} for name in "abc"), "no json", {"type": "m", "data": "b"})
    for name in "cb":
        gates[name].set()
        await settle()
        assert peer.take() == []
    gates["a"].set()
    await settle()
    assert [reply.get("data", reply.get("error")) for reply in peer.take()] == [
        "a",
        "b",
        "c",
        "Invalid message",
        "b",
    ]


async def test_an_exception_group_is_one_failure(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise LookupError

    async def handler(ctx: SocketContext) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            tasks.start_soon(fail)

    with caplog.at_level(logging.ERROR):
        peer = await peer_of(world, handler)
        assert (await peer.ask("m"))["error"] == "Internal error"
        assert (await peer.ask("m"))["error"] == "Internal error"
