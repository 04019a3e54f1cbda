"""Who may connect, and what they may ask: connection guards and message guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import pytest

from clocks import settle
from sockets.scripted_asgi import World
from wigwag import Forbidden, Incoming, RateLimit, SocketContext, SocketError, SocketRouter, Sockets

pytestmark = pytest.mark.anyio

Seen = list[str]


def noting(seen: Seen, name: str, answer: Any = True) -> Callable[[SocketContext], Any]:
    """A guard that notes its name, and answers."""

    async def guard(ctx: SocketContext) -> Any:
        await anyio.lowlevel.checkpoint()
        seen.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return guard


# Connection guards


async def test_connection_guards_are_asked_once_in_order_before_open(world: World) -> None:
    seen: Seen = []
    first = SocketRouter[None](connection_guards=[noting(seen, "first"), noting(seen, "second")])
    other = SocketRouter[None](connection_guards=[noting(seen, "other")])
    first.on("m")(lambda ctx: seen.append("handled"))
    sockets = Sockets(
        routers=[first, other],
        connection_guards=[noting(seen, "application")],
        open=lambda ctx: seen.append("open"),
    )
    peer = await world.connect(sockets)
    await peer.say({"type": "m"}, {"type": "m"})
    assert seen == ["application", "first", "second", "other", "open", "handled", "handled"]


@pytest.mark.parametrize(
    "answer",
    [False, None, 0, "", Forbidden(), SocketError("Not you"), RuntimeError("secret")],
    ids=repr,
)
async def test_the_first_refusal_closes_with_1008_and_ends_the_asking(world: World, answer: Any) -> None:
    seen: Seen = []
    guards = [noting(seen, name) for name in ("yes", "and yes", "never asked")]
    guards.insert(2, noting(seen, "no", answer))
    sockets = Sockets(
        connection_guards=guards,
        open=lambda ctx: seen.append("open"),
        message=lambda ctx, message: seen.append("message"),
        close=lambda ctx, code, reason: seen.append("close"),
    )
    await world.start(sockets)
    peer = world.open(sockets)
    peer.sends("too early")
    await settle()
    assert peer.is_accepted
    assert peer.closed == (1008, "refused")
    assert seen == ["yes", "and yes", "no"]
    assert sockets.provider.connection_count() == 0
    assert sockets._app.counters.refused["connection guard"] == 1
    assert not sockets._app.counters.closed
    assert not peer.is_served


async def test_a_guard_that_fails_is_logged_and_one_that_refuses_is_not_an_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.connect(Sockets(connection_guards=[noting([], "", SocketError("Not you"))]))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    await world.connect(Sockets(connection_guards=[noting([], "", LookupError("boom"))]))
    assert "LookupError: boom" in caplog.text


async def test_messages_wait_until_the_guards_have_let_the_socket_in(world: World) -> None:
    seen: Seen = []
    go_on = anyio.Event()

    async def slow(ctx: SocketContext) -> bool:
        await go_on.wait()
        return True

    def message(ctx: SocketContext, message: str | bytes) -> None:
        seen.append(str(message))

    sockets = Sockets(connection_guards=[slow], open=lambda ctx: seen.append("open"), message=message)
    peer = await world.connect(sockets)
    await peer.say("a", "2", "b")
    assert seen == []
    assert peer.take() == [3]
    assert sockets.provider.connection_count() == 0  # and nothing is broadcast to it
    go_on.set()
    await settle()
    assert seen == ["open", "a", "b"]
    assert sockets.provider.connection_count() == 1


async def test_a_rate_limit_may_guard_connections_though_it_limits_none(world: World) -> None:
    """It counts for each socket; but it takes what a connection guard takes."""
    peer = await world.connect(Sockets(connection_guards=[RateLimit(1)]))
    assert not peer.is_closed


@pytest.mark.parametrize("answer", [True, False])
async def test_a_guard_may_close_the_socket_in_its_own_words(world: World, answer: bool) -> None:
    seen: Seen = []

    async def out_of_credit(ctx: SocketContext) -> bool:
        await ctx.close(4402, "no credit")
        return answer

    sockets = Sockets(
        connection_guards=[out_of_credit, noting(seen, "never asked")], open=lambda ctx: seen.append("open")
    )
    peer = await world.connect(sockets)
    assert peer.closed == (4402, "no credit")
    assert seen == []
    assert not peer.is_served


async def test_a_guard_may_send_before_it_refuses(world: World) -> None:
    async def explain(ctx: SocketContext) -> bool:
        await ctx.send("you are banned")
        return False

    peer = await world.connect(Sockets(connection_guards=[explain]))
    assert peer.take() == ["you are banned"]
    assert peer.closed == (1008, "refused")


async def test_what_a_guard_puts_on_the_state_stays_for_the_connection(world: World) -> None:
    def tenant(ctx: SocketContext) -> bool:
        ctx.state.tenant = "acme"
        return True

    def count(ctx: SocketContext) -> bool:
        ctx.state.count = getattr(ctx.state, "count", 0) + 1
        return True

    router = SocketRouter[None](connection_guards=[tenant], guards=[count])
    router.on("m")(lambda ctx: [ctx.state.tenant, ctx.state.count])
    peer, other = [await world.connect(Sockets(routers=[router])) for _ in range(2)]
    assert (await peer.ask("m"))["data"] == ["acme", 1]
    assert (await peer.ask("m"))["data"] == ["acme", 2]
    assert (await other.ask("m"))["data"] == ["acme", 1]


# Message guards


async def test_message_guards_stack_application_router_route_before_validation(world: World) -> None:
    seen: Seen = []
    router = SocketRouter[None](guards=[noting(seen, "router")])

    def handler(ctx: SocketContext, data: int) -> None:
        seen.append("handler")

    router.on("m", guards=[noting(seen, "route 1"), noting(seen, "route 2")])(handler)
    router.on("other")(lambda ctx: seen.append("other"))
    peer = await world.connect(Sockets(routers=[router], guards=[noting(seen, "application")]))
    await peer.say({"type": "m", "data": 1})
    assert seen == ["application", "router", "route 1", "route 2", "handler"]
    seen.clear()
    await peer.say({"type": "m", "data": "no number"})
    assert seen == ["application", "router", "route 1", "route 2"]
    seen.clear()
    await peer.say({"type": "other"})
    assert seen == ["application", "router", "other"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (False, "Forbidden"),
        (None, "Forbidden"),
        (Forbidden(), "Forbidden"),
        (Forbidden("Members only"), "Members only"),
        (SocketError("Slow down"), "Slow down"),
        (RuntimeError("secret"), "Internal error"),
    ],
    ids=repr,
)
async def test_a_guard_that_says_no_is_the_reply(world: World, answer: Any, error: str) -> None:
    seen: Seen = []
    router = SocketRouter[None]()
    router.on("m", guards=[noting(seen, "no", answer), noting(seen, "never asked")])(
        lambda ctx: seen.append("handled")
    )
    peer = await world.connect(Sockets(routers=[router]))
    assert await peer.ask("m", id=3) == {"type": "m", "correlationId": 3, "error": error}
    assert seen == ["no"]
    assert not peer.is_closed


async def test_a_guard_may_see_the_message(world: World) -> None:
    seen: list[Any] = []

    async def small(ctx: SocketContext, message: Incoming) -> bool:
        seen.append((message.type, message.correlation_id, message.data))
        return len(message.data) < 20

    router = SocketRouter[None](guards=[small])
    router.on("m")(lambda ctx: "ok")
    peer = await world.connect(Sockets(routers=[router]))
    assert (await peer.ask("m", {"a": 1}))["data"] == "ok"
    assert (await peer.ask("m", "x" * 30, id="2"))["error"] == "Forbidden"
    await peer.say({"type": "m", "b": 2})
    assert seen == [("m", "1", b'{"a": 1}'), ("m", "2", b'"' + b"x" * 30 + b'"'), ("m", None, b'{"b":2}')]


async def test_refusals_of_message_guards_are_counted(world: World) -> None:
    router = SocketRouter[None](guards=[lambda ctx: False])
    router.on("m")(lambda ctx: None)
    sockets = Sockets(routers=[router])
    peer = await world.connect(sockets)
    await peer.say({"type": "m"}, {"type": "m"})
    assert sockets._app.counters.refused == {"message guard": 2}


async def test_guards_do_not_stand_before_the_message_handler_or_unknown_types(world: World) -> None:
    seen: Seen = []
    router = SocketRouter[None]()
    router.on("m")(lambda ctx: None)
    peer = await world.connect(Sockets(routers=[router], guards=[noting(seen, "asked")]))
    assert (await peer.ask("nope"))["error"] == "Unknown message type"
    assert seen == []


class Callable2:
    def __call__(self, ctx: SocketContext, message: Incoming) -> bool:
        return message.type == "m"


class AsyncCallable:
    async def __call__(self, ctx: SocketContext) -> bool:
        return False

    async def method(self, ctx: SocketContext) -> bool:
        return True


async def test_any_callable_is_a_guard(world: World) -> None:
    router = SocketRouter[None](guards=[Callable2(), AsyncCallable().method])
    router.on("m")(lambda ctx: "ok")
    router.on("closed", guards=[AsyncCallable()])(lambda ctx: "ok")
    router.on("n")(lambda ctx: "ok")
    peer = await world.connect(Sockets(routers=[router]))
    assert (await peer.ask("m"))["data"] == "ok"
    assert (await peer.ask("closed"))["error"] == "Forbidden"  # the coroutine was awaited, not taken for true
    assert (await peer.ask("n"))["error"] == "Forbidden"


@pytest.mark.parametrize(
    "make",
    [
        lambda guard: Sockets(connection_guards=[guard]),
        lambda guard: Sockets(guards=[guard]),
        lambda guard: SocketRouter(connection_guards=[guard]),
        lambda guard: SocketRouter(guards=[guard]),
        lambda guard: SocketRouter().on("m", guards=[guard]),
    ],
)
@pytest.mark.parametrize("guard", [lambda: True, lambda a, b, c: True, "no function", None])
def test_a_guard_that_takes_something_else_is_an_error_at_once(
    make: Callable[[Any], Any], guard: Any
) -> None:
    with pytest.raises(TypeError, match="guard"):
        make(guard)


@pytest.mark.parametrize(
    ("name", "count"), [("open", 1), ("message", 2), ("close", 3), ("ping", 2), ("pong", 2), ("drain", 1)]
)
def test_a_handler_that_takes_something_else_is_an_error_at_once(name: str, count: int) -> None:
    handlers: list[Any] = [lambda: None, lambda a: None, lambda a, b: None, lambda a, b, c: None]
    for takes, handler in enumerate(handlers):
        given: dict[str, Any] = {name: handler}
        if takes == count:
            Sockets(**given)
        else:
            with pytest.raises(TypeError, match=f"{name}= takes {count} arguments"):
                Sockets(**given)


def test_a_connection_guard_has_no_message_to_see() -> None:
    with pytest.raises(TypeError, match="a connection guard takes 1 arguments"):
        Sockets(connection_guards=[lambda ctx, message: True])
