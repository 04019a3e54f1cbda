"""A socket may go at any moment: nothing of it is left, and nothing runs that should not.

Each test that takes ``after`` lets the client go, or the server be cancelled, so many steps after something began:
together they hit every await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from clocks import backend, settle
from sockets.scripted_asgi import World, pass_time, steps
from wigwag import Limits, SocketContext, SocketRouter, Sockets

pytestmark = pytest.mark.anyio

Notes = list[str]
MOMENTS = range(24)


async def pause(count: int = 2) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


def eventful(notes: Notes) -> Sockets[str]:
    """Sockets which await at every step of a socket's life, and note what they come through."""

    async def guard(ctx: SocketContext[str]) -> bool:
        await pause()
        notes.append("guard")
        return True

    async def opened(ctx: SocketContext[str]) -> None:
        notes.append("open")
        await pause()
        await ctx.subscribe("t", ctx.id)
        await pause()

    async def closed(ctx: SocketContext[str], code: int, reason: str) -> None:
        notes.append("close")
        await pause()
        await ctx.emitter.publish("t", "left")

    router = SocketRouter[str](connection_guards=[guard, guard], guards=[guard_message])

    @router.on("m")
    async def handle(ctx: SocketContext[str], data: str) -> str:
        await pause()
        notes.append(data)
        await ctx.emitter.publish("t", data)
        return data

    return Sockets(upgrade=hook, routers=[router], open=opened, close=closed)


async def hook(connection: Any) -> str:
    await pause()
    return "user"


async def guard_message(ctx: SocketContext[str]) -> bool:
    await pause(1)
    return True


def check_is_gone(sockets: Sockets[Any], notes: Notes) -> None:
    assert notes.count("guard") <= 2
    assert notes.count("open") == notes.count("close") <= 1
    if "open" in notes:
        assert notes.index("open") == 2
        assert notes[-1] == "close"
    else:
        assert set(notes) <= {"guard"}
    assert not sockets._app.sessions
    assert sockets.provider.connection_count() == 0
    assert sockets.provider.topic_subscriber_count("t") == 0


@pytest.mark.parametrize("after", MOMENTS)
async def test_a_client_that_leaves_at_any_moment_leaves_nothing(world: World, after: int) -> None:
    notes: Notes = []
    sockets = eventful(notes)
    await world.start(sockets)
    peer = world.open(sockets)
    await steps(after)
    await peer.leave(1001)
    assert not peer.is_served
    check_is_gone(sockets, notes)


@pytest.mark.parametrize("after", MOMENTS)
async def test_a_server_that_is_cancelled_at_any_moment_leaves_nothing(world: World, after: int) -> None:
    notes: Notes = []
    sockets = eventful(notes)
    await world.start(sockets)
    peer = world.open(sockets)
    peer.sends({"type": "m", "data": "a"}, {"type": "m", "data": "b"})
    await steps(after)
    peer.cancel_scope.cancel()
    await settle()
    assert not peer.is_served
    check_is_gone(sockets, notes)


@pytest.mark.parametrize("after", MOMENTS)
async def test_stopping_at_any_moment_leaves_nothing(world: World, after: int) -> None:
    notes: Notes = []
    sockets = eventful(notes)
    await world.start(sockets)
    peer = world.open(sockets)
    peer.error_is_expected = after <= 1  # NotRunning, where it stopped before the server asked
    peer.sends({"type": "m", "data": "a"}, {"type": "m", "data": "b"})
    await steps(after)
    await world.stop()
    check_is_gone(sockets, notes)
    if peer.error is None:
        assert peer.closed == (1012, "going away")


@pytest.mark.parametrize("after", MOMENTS)
async def test_a_kick_at_any_moment_leaves_nothing(world: World, after: int) -> None:
    notes: Notes = []
    sockets = eventful(notes)
    await world.start(sockets)
    peer = world.open(sockets)
    peer.sends({"type": "m", "data": "a"}, {"type": "m", "data": "b"})
    await steps(after)
    while peer.is_served:
        await sockets.provider.disconnect_user("user", 1008, "kicked")
        await steps(1)
    await settle()
    assert peer.closed == (1008, "kicked")
    check_is_gone(sockets, notes)


@pytest.mark.parametrize("after", MOMENTS)
async def test_messages_that_came_before_the_client_left_are_handled_in_order(
    world: World, after: int
) -> None:
    notes: Notes = []
    sockets = eventful(notes)
    peer = await world.connect(sockets)
    peer.sends(*({"type": "m", "data": str(number)} for number in range(4)))
    await steps(after)
    await peer.leave()
    assert notes == ["guard", "guard", "open", "0", "1", "2", "3", "close"]
    assert not peer.is_served


async def test_messages_that_came_with_the_close_are_handled_though_open_takes_long(world: World) -> None:
    seen: list[Any] = []

    async def opened(ctx: SocketContext) -> None:
        await anyio.sleep(2)
        seen.append("open")

    sockets = Sockets(
        open=opened,
        message=lambda ctx, message: seen.append(message),
        close=lambda ctx, code, reason: seen.append(code),
    )
    peer = await world.connect(sockets)
    await peer.say("a", "b")
    await peer.leave()
    assert seen == []
    await pass_time(2.1)
    assert seen == ["open", "a", "b", 1000]


async def test_open_is_not_run_for_who_left_during_a_guard(world: World) -> None:
    seen: list[Any] = []

    async def slow(ctx: SocketContext) -> bool:
        await anyio.sleep(2)
        seen.append("guard")
        return True

    sockets = Sockets(
        connection_guards=[slow, slow],
        open=lambda ctx: seen.append("open"),
        message=lambda ctx, message: seen.append(message),
        close=lambda ctx, code, reason: seen.append(code),
    )
    peer = await world.connect(sockets)
    await peer.say("a")
    await peer.leave()
    await pass_time(5)
    assert seen == ["guard"]
    assert not peer.is_served


HANGING: dict[str, Callable[[Any], dict[str, Any]]] = {
    "guard": lambda hang: {"connection_guards": [hang]},
    "open": lambda hang: {"open": hang},
    "message": lambda hang: {"message": lambda ctx, message: hang(ctx)},
}


@pytest.mark.parametrize("where", HANGING)
async def test_what_hangs_after_the_client_left_is_cancelled_after_its_limit(
    world: World, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    notes: Notes = []

    async def hang(ctx: SocketContext) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            notes.append("cleaned up")
        return True

    handlers = HANGING[where](hang)
    handlers["close"] = lambda ctx, code, reason: notes.append("close")
    sockets = Sockets(limits=Limits(close_timeout_s=3), **handlers)
    peer = await world.connect(sockets)
    await peer.say("a", "b")
    await peer.leave()
    await pass_time(2.9)
    assert notes == []
    await pass_time(0.2)
    assert notes == ["cleaned up"] + ["close"] * (where != "guard")
    assert not peer.is_served
    assert "had not ended 3 s later: it is cancelled" in caplog.text


# What is no Exception


@pytest.mark.parametrize("anyio_backend", [backend("asyncio")], ids=["asyncio"])
async def test_a_cancellation_that_a_handler_ran_into_does_not_pass_in_silence(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """On asyncio, awaiting a task that somebody cancelled raises CancelledError in who awaits it."""
    notes: list[Any] = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        task = asyncio.ensure_future(asyncio.sleep(10))
        task.cancel()
        await task

    sockets = Sockets(message=message, close=lambda ctx, code, reason: notes.append(code))
    peer = await world.connect(sockets)
    await peer.say("a")
    assert peer.closed == (1011, "internal error")
    assert notes == [1011]
    assert "was cancelled by something else than us" in caplog.text
