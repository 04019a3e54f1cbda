"""One connected socket, as handlers see it."""

from __future__ import annotations

import functools
import re
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest
from starlette.datastructures import State

from clocks import settle
from sockets.scripted_asgi import Peer, World
from wigwag import InvalidTopic, SocketContext, SocketMessage, Sockets
from wigwag.errors import InvalidMessage, NotConnected

pytestmark = pytest.mark.anyio

Context = SocketContext[Any, Any]


class Note(SocketMessage, name="note"):
    text: str


async def opened(world: World, **handlers: Any) -> tuple[Context, Peer, Sockets[Any, Any]]:
    """A connected socket, from the inside and from the outside."""
    contexts: list[Context] = []
    sockets = Sockets[Any, Any](open=contexts.append, **handlers)
    peer = await world.connect(sockets)
    return contexts[0], peer, sockets


async def test_its_id_is_by_which_it_is_sent_to_and_disconnected(world: World) -> None:
    ctx, peer, sockets = await opened(world)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ctx.id)
    assert repr(ctx) == f"<SocketContext {ctx.id}>"
    assert sockets.provider.is_connected(ctx.id)
    await sockets.emitter.send(ctx.id, "hello")
    await settle()
    assert peer.take() == ["hello"]
    await sockets.provider.disconnect(ctx.id, 4001, "kicked")
    await settle()
    assert peer.closed == (4001, "kicked")
    assert not sockets.provider.is_connected(ctx.id)


async def test_send_is_done_when_it_returns_and_may_be_awaited_or_made_a_task_of(world: World) -> None:
    ctx, peer, _ = await opened(world)
    ctx.send("in a plain function")
    await ctx.send("awaited")
    group = ctx.send(
        "in a group"
    )  # as trio's nurseries and asyncio.create_task take it; anyio before 4.16 does not
    assert isinstance(group, Coroutine)
    with pytest.raises(StopIteration):
        group.send(None)
    await settle()
    assert peer.take() == ["in a plain function", "awaited", "in a group"]


async def test_topics_are_what_the_socket_wants_now(world: World) -> None:
    ctx, _, _ = await opened(world)
    topics = ctx.topics
    assert not topics
    assert len(topics) == 0
    await ctx.subscribe("a", "b")
    await ctx.subscribe("b")
    assert sorted(topics) == ["a", "b"]
    assert "a" in topics
    assert "c" not in topics
    assert repr(topics) == "Topics(['a', 'b'])"
    for topic in topics:  # a copy is gone through: it may change meanwhile
        await ctx.unsubscribe(topic)
    assert len(topics) == 0
    await ctx.unsubscribe("never")
    await ctx.subscribe()


async def test_topics_are_a_set(world: World) -> None:
    ctx, _, _ = await opened(world)
    await ctx.subscribe("a", "b")
    assert ctx.topics == {"a", "b"}
    assert ctx.topics & {"b", "c"} == {"b"}
    assert {"b", "c"} - ctx.topics == {"c"}
    assert ctx.topics - {"b"} == {"a"}
    assert ctx.topics | {"c"} == {"a", "b", "c"}
    assert ctx.topics ^ {"b", "c"} == {"a", "c"}
    assert ctx.topics <= {"a", "b", "c"}
    assert not ctx.topics.isdisjoint(["a"])
    union = ctx.topics | set()
    await ctx.unsubscribe("a", "b")
    assert len(union) == 2


@pytest.mark.parametrize("topic", ["", "a b", "__x", "x" * 257, "é", None, 3])
async def test_what_is_no_topic_subscribes_nothing(world: World, topic: Any) -> None:
    ctx, _, _ = await opened(world)
    with pytest.raises(InvalidTopic):
        await ctx.subscribe("fine", topic)
    with pytest.raises(InvalidTopic):
        await ctx.unsubscribe("fine", topic)
    assert ctx.topics == set()


async def test_what_is_published_after_subscribe_returned_arrives(world: World) -> None:
    ctx, peer, sockets = await opened(world)
    await sockets.emitter.publish("t", "before")
    await ctx.subscribe("t")
    await sockets.emitter.publish("t", "after")
    await ctx.unsubscribe("t")
    await sockets.emitter.publish("t", "late")
    await settle()
    assert peer.take() == ["after"]


async def test_its_state_is_the_applications(world: World) -> None:
    ctx, _, _ = await opened(world)
    ctx.state.tenant = "acme"
    assert ctx.state.tenant == "acme"
    assert isinstance(ctx.state, State)
    with pytest.raises(AttributeError):
        _ = ctx.state.other


async def test_send_takes_texts_binaries_and_messages_in_order(world: World) -> None:
    ctx, peer, _ = await opened(world)
    await ctx.send("text")
    await ctx.send(b"\x00\xff")
    await ctx.send(Note(text="typed"))
    await settle()
    text, binary, event = peer.take()
    assert (text, binary) == ("text", b"\x00\xff")
    assert (event["name"], event["data"]) == ("note", {"text": "typed"})


async def test_send_refuses_what_can_not_be_sent(world: World) -> None:
    ctx, peer, _ = await opened(world)
    with pytest.raises(InvalidMessage, match="Expected `str`, got `int`"):
        await ctx.send(Note(text=3))  # type: ignore[arg-type]
    with pytest.raises(InvalidMessage, match="UTF-8"):
        await ctx.send("\ud800")
    with pytest.raises(TypeError, match="can't emit"):
        await ctx.send({"text": "a dict"})  # type: ignore[arg-type]
    await settle()
    assert peer.take() == []
    assert not peer.is_closed


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000])
async def test_a_code_that_can_not_be_sent_closes_nothing(world: World, code: int) -> None:
    ctx, _, _ = await opened(world)
    with pytest.raises(ValueError, match=f"{code} is no close code to send"):
        await ctx.close(code)
    assert not ctx.connection.is_closing


async def test_close_is_normal_unless_said(world: World) -> None:
    ctx, peer, _ = await opened(world)
    await ctx.close()
    await settle()
    assert peer.closed == (1000, "")


async def test_a_context_that_was_kept_outlives_its_socket_harmlessly(world: World) -> None:
    ctx, peer, sockets = await opened(world)
    await ctx.subscribe("t")
    await peer.leave()
    assert ctx.topics == set()
    await ctx.send("to nobody")
    await ctx.close()
    await ctx.unsubscribe("t")
    with pytest.raises(NotConnected):
        await ctx.subscribe("t")
    assert sockets.provider.topic_subscriber_count("t") == 0
    await sockets.emitter.send(ctx.id, "to nobody")


async def test_the_close_handler_can_do_what_any_other_can_and_leaves_nothing(world: World) -> None:
    heard: list[Any] = []

    async def closed(ctx: Context, code: int, reason: str) -> None:
        heard.append(sorted(ctx.topics))
        await ctx.subscribe("t2")
        await ctx.send("to nobody")
        await ctx.close(4000)
        await ctx.emitter.publish("t", "somebody left")
        heard.append((code, ctx.state.name))

    ctx, peer, sockets = await opened(world, close=closed)
    ctx.state.name = "ann"
    await ctx.subscribe("t")
    witness = await world.connect(sockets)
    (other,) = [session.ctx for session in sockets._app.sessions if session.ctx is not ctx]
    await other.subscribe("t")
    await peer.leave(1001)
    assert heard == [["t"], (1001, "ann")]
    assert witness.take() == ["somebody left"]
    assert not peer.is_closed
    assert sockets.provider.topic_subscriber_count("t2") == 0


async def test_an_open_handler_that_fails_is_logged_and_the_socket_lives(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(ctx: Context) -> None:
        raise LookupError("boom")

    peer = await world.connect(Sockets(open=fail))
    assert "LookupError: boom" in caplog.text
    assert "boom" not in str(peer.events)
    await peer.say("2")
    assert peer.take() == [3]


async def test_a_handler_that_fails_is_named_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(ctx: Context) -> None:
        raise LookupError

    for handler, name in ((fail, fail.__qualname__), (functools.partial(fail), "functools.partial(")):
        caplog.clear()
        await world.connect(Sockets(open=handler))
        assert f"the {name}" in caplog.text


async def test_a_socket_that_open_closes_handles_no_message(world: World) -> None:
    notes: list[Any] = []

    async def full(ctx: Context) -> None:
        await anyio.lowlevel.checkpoint()
        await ctx.send("full")
        await ctx.close(4003, "full")

    sockets = Sockets(
        open=full,
        message=lambda ctx, message: notes.append(message),
        close=lambda ctx, code, reason: notes.append(code),
    )
    await world.start(sockets)
    peer = world.open(sockets)
    peer.sends("a", "b")
    await settle()
    assert peer.take() == ["full"]
    assert peer.closed == (4003, "full")
    assert notes == [4003]


async def test_after_a_handler_has_closed_the_next_message_is_not_handled(world: World) -> None:
    seen: list[Any] = []

    async def message(ctx: Context, message: str | bytes) -> None:
        seen.append(message)
        if message == "bad":
            await ctx.close(1008, "rude")
            await anyio.lowlevel.checkpoint()

    peer = await world.connect(Sockets(message=message))
    await peer.say("fine", "bad", "never", "never")
    assert seen == ["fine", "bad"]
    assert peer.closed == (1008, "rude")


async def test_a_user_is_known_by_its_id(world: World) -> None:
    async def hook(connection: Any) -> dict[str, Any]:
        return dict(connection.query_params)

    sockets = Sockets[Any](upgrade=hook, user_id=lambda user: user.get("id"))
    ann, ann_too, bob, nobody = [
        await world.connect(sockets, f"/ws?{query}") for query in ("id=ann", "id=ann", "id=bob", "x=1")
    ]
    await sockets.provider.disconnect_user("ann", 4001, "logged out")
    await settle()
    assert [peer.closed for peer in (ann, ann_too, bob, nobody)] == [(4001, "logged out")] * 2 + [None] * 2


async def test_a_user_that_is_a_text_is_its_own_id(world: World) -> None:
    async def hook(connection: Any) -> str:
        return str(connection.query_params["id"])

    sockets = Sockets[str](upgrade=hook)
    ann, bob = [await world.connect(sockets, f"/ws?id={name}") for name in ("ann", "bob")]
    await sockets.provider.disconnect_user("ann")
    await settle()
    assert (ann.closed, bob.closed) == ((1000, ""), None)
