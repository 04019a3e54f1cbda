"""Stopping: every socket is closed with 1012, its close handler has run, and nothing is left."""

from __future__ import annotations

import functools
from typing import Any

import anyio
import pytest

from clocks import settle
from sockets.scripted_asgi import World, application, pass_time
from wigwag import Limits, SocketContext, SocketMessage, Sockets, create_provider

pytestmark = pytest.mark.anyio


class Tick(SocketMessage, name="tick"):
    n: int


async def join(ctx: SocketContext[Any, Any]) -> None:
    await ctx.subscribe("t")


async def test_stopping_closes_the_sockets_and_runs_their_close_handlers_which_may_emit(
    world: World,
) -> None:
    notes: list[Any] = []

    async def closed(ctx: SocketContext, code: int, reason: str) -> None:
        notes.append((code, reason, sorted(ctx.topics)))
        await ctx.emitter.emit(Tick(n=code), "t")
        await anyio.sleep(1)
        notes.append("done")

    sockets = Sockets(open=join, close=closed)
    peers = [await world.connect(sockets) for _ in range(2)]
    await world.stop()
    assert [peer.closed for peer in peers] == [(1012, "going away")] * 2
    assert notes == [(1012, "going away", ["t"])] * 2 + ["done"] * 2
    assert sockets._app.counters.closed == {"1012": 2}
    assert sockets._app.counters.opened == 2


async def test_stopping_waits_for_the_slowest_close_handler(world: World) -> None:
    ended: list[str] = []

    async def closed(ctx: SocketContext[str], code: int, reason: str) -> None:
        await anyio.sleep(float(ctx.user))
        ended.append(ctx.user)

    async def hook(connection: Any) -> str:
        return str(connection.query_params["s"])

    provider = create_provider()
    await provider.start()  # so that it does not wait for them in its turn
    async with Sockets(provider, upgrade=hook, close=closed) as sockets:
        peers = [world.open(application(sockets), f"/ws?s={seconds}") for seconds in ("3", "0", "1")]
        await settle()
    assert ended == ["0", "1", "3"]
    assert not any(peer.is_served for peer in peers)
    await provider.stop()


async def test_stopping_waits_for_the_handlers_of_what_has_come(world: World) -> None:
    notes: list[Any] = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await anyio.sleep(2)
        notes.append(message)

    sockets = Sockets(message=message, close=lambda ctx, code, reason: notes.append(code))
    peer = await world.connect(sockets)
    await peer.say("begun", "waiting")
    await world.stop()
    assert notes == ["begun", "waiting", 1012]


async def test_a_close_handler_that_hangs_is_cut_off(world: World, caplog: pytest.LogCaptureFixture) -> None:
    notes: list[Any] = []

    async def hang(ctx: SocketContext, code: int, reason: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            notes.append(sorted(ctx.topics))

    sockets = Sockets(open=join, close=hang, limits=Limits(close_timeout_s=3))
    await world.connect(sockets)
    began = anyio.current_time()
    await world.stop()
    assert anyio.current_time() - began == pytest.approx(3, abs=0.1)
    assert notes == [["t"]]
    assert "the close handler of socket" in caplog.text
    assert "took too long" in caplog.text


@pytest.mark.parametrize("sync", [False, True])
async def test_a_close_handler_that_fails_is_logged_and_the_socket_forgotten(
    world: World, caplog: pytest.LogCaptureFixture, sync: bool
) -> None:
    async def fail(ctx: SocketContext, code: int, reason: str) -> None:
        raise LookupError("boom")

    def fail_sync(ctx: SocketContext, code: int, reason: str) -> None:
        raise LookupError("boom")

    sockets = Sockets(open=join, close=fail_sync if sync else fail)
    peer = await world.connect(sockets)
    await peer.leave()
    assert sockets.provider.connection_count() == 0
    assert sockets.provider.topic_subscriber_count("t") == 0
    assert "LookupError: boom" in caplog.text


async def test_stopping_ends_though_a_client_reads_nothing_and_a_handler_hangs(world: World) -> None:
    async def hang(*_: Any) -> None:
        await anyio.sleep_forever()

    limits = Limits(close_timeout_s=3)
    sockets = Sockets(open=join, limits=limits, message=lambda ctx, m: hang(), close=lambda c, x, r: hang())
    async with sockets:
        peer = world.open(application(sockets))
        await settle()
        peer.sending.shut()
        await sockets.emitter.publish("t", "stuck")
        await peer.say("hang")
        began = anyio.current_time()
    assert anyio.current_time() - began <= 3 * 3 + 5 + 0.1
    assert sockets.provider.connection_count() == 0
    peer.sending.open()
    await pass_time(10)
    assert not peer.is_served


async def test_a_handler_may_stop_everything_and_it_ends(world: World) -> None:
    notes: list[Any] = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await provider.stop()
        notes.append("stopped")

    provider = create_provider()
    sockets = Sockets(provider, message=message, close=lambda ctx, code, reason: notes.append(code))
    peer = await world.connect(sockets)
    await peer.say("stop")
    await pass_time(20)
    assert not provider.is_running
    assert not peer.is_served
    assert notes[-1] == 1012


async def test_a_handler_may_leave_the_sockets_and_it_ends(world: World) -> None:
    notes: list[Any] = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await sockets.__aexit__(None, None, None)
        notes.append("left")

    sockets = Sockets(message=message, close=lambda ctx, code, reason: notes.append(code))
    await sockets.__aenter__()
    peer = world.open(application(sockets))
    await settle()
    await peer.say("leave")
    await pass_time(60)
    assert notes == ["left", 1012]
    assert not peer.is_served
    assert sockets.provider.connection_count() == 0


async def test_a_socket_that_comes_while_the_provider_stops_is_sent_away(world: World) -> None:
    """Its guard outlasts the provider: it must not be attached to what is over."""
    notes: list[Any] = []
    go_on = anyio.Event()

    async def slow(ctx: SocketContext) -> bool:
        await go_on.wait()
        return True

    provider = create_provider()
    await provider.start()
    sockets = Sockets(provider, connection_guards=[slow], open=notes.append)
    peer = world.open(application(sockets))
    await settle()
    await provider.stop()
    go_on.set()
    await settle()
    assert peer.closed == (1012, "going away")
    assert notes == []
    assert not peer.is_served


async def test_a_hook_that_outlasts_the_provider_lets_nobody_in(world: World) -> None:
    go_on = anyio.Event()

    async def slow(connection: Any) -> str:
        await go_on.wait()
        return "user"

    provider = create_provider()
    await provider.start()
    peer = world.open(application(Sockets(provider, upgrade=slow)))
    await settle()
    await provider.stop()
    go_on.set()
    await settle()
    assert peer.closed == (1012, "going away")  # so that a browser's client comes back
    assert peer.error is None


async def test_a_handler_that_outlasts_its_socket_is_no_error_of_the_application(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def message(ctx: SocketContext, message: str | bytes) -> None:
        await anyio.sleep(10)
        await ctx.subscribe("t")

    provider = create_provider()
    sockets = Sockets(provider, message=message, limits=Limits(close_timeout_s=20))
    peer = await world.connect(sockets)
    await peer.say("a")
    await peer.leave()
    await provider.stop()  # which does not wait so long
    await pass_time(11)
    assert not peer.is_served
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# Sending all away before


async def test_all_are_sent_away_at_a_pace_while_messages_go_on(world: World) -> None:
    closes: list[float] = []
    sockets = Sockets(open=join, close=lambda ctx, *how: closes.append(anyio.current_time()))
    peers = [await world.connect(sockets) for _ in range(10)]
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(functools.partial(sockets.drain, per_s=2))
        await anyio.sleep(2.5)
        await sockets.emitter.publish("t", "still here")
    await settle()
    assert len(closes) == 10
    assert all(number / 2 <= at - began <= (number + 1) / 2 + 0.1 for number, at in enumerate(closes))
    assert {peer.closed for peer in peers} == {(1012, "going away")}
    heard = sum("still here" in peer.take() for peer in peers)
    assert 4 <= heard <= 6
    late = await world.connect(sockets)
    assert late.closed == (1012, "going away")


async def test_there_is_a_limit_and_started_anew_they_let_everybody_in(world: World) -> None:
    sockets = Sockets()
    async with sockets:
        peers = [world.open(application(sockets)) for _ in range(10)]
        await settle()
        began = anyio.current_time()
        await sockets.drain(per_s=0.1, limit_s=3)
        assert anyio.current_time() - began <= 3.1
        await settle()
        assert all(peer.closed for peer in peers)
    async with sockets:
        again = world.open(application(sockets))
        await settle()
        assert again.closed is None
        await again.leave()
