"""Start and stop: counted, from the environment, shared; and what stopping does to the sockets."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from clocks import settle
from sockets.scripted_asgi import Peer, World, application
from wigwag import (
    NotRunning,
    SocketContext,
    SocketMessage,
    Sockets,
    create_provider,
)
from wigwag.emitter import Emitter
from wigwag.errors import UnknownProvider
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def environment_says_memory() -> None:
    """It says so by itself, and some tests here set it."""


class Tick(SocketMessage, name="tick"):
    n: int


async def join(ctx: SocketContext[Any, Any]) -> None:
    await ctx.subscribe("t")


# Start and stop


async def test_entering_is_counted() -> None:
    sockets = Sockets()
    async with sockets as entered:
        assert entered is sockets
        provider = sockets.provider
        async with sockets:
            await sockets.emitter.publish("t", "x")
        await sockets.emitter.publish("t", "x")
        assert sockets.provider is provider
    assert isinstance(provider, Provider)
    assert not provider.is_running
    with pytest.raises(NotRunning):
        await sockets.emitter.publish("t", "x")


async def test_nothing_is_read_from_the_environment_before_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_PROVIDER", "carrier-pigeon")
    sockets = Sockets()
    with pytest.raises(UnknownProvider, match="carrier-pigeon"):
        async with sockets:
            pass
    with pytest.raises(NotRunning):
        _ = sockets.provider
    monkeypatch.setenv("WIGWAG_PROVIDER", "memory")
    async with sockets:
        assert isinstance(sockets.provider, Provider)
        assert sockets.provider.name == "memory"


@pytest.mark.parametrize("given", [False, True])
async def test_a_start_that_fails_can_be_tried_again(monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
    async def fail(provider: Provider) -> None:
        raise OSError("no")

    sockets = Sockets(create_provider() if given else None)
    with monkeypatch.context() as patch:
        patch.setattr(Provider, "_start", fail)
        with pytest.raises(OSError, match="no"):
            await sockets.__aenter__()
        with pytest.raises(NotRunning, match=r"lifespan=sockets\.lifespan"):
            await sockets.emitter.publish("t", "x")
    async with sockets:
        await sockets.emitter.publish("t", "x")
        provider = sockets.provider
    assert isinstance(provider, Provider)
    assert not provider.is_running


CALLS = {
    "publish": lambda emitter: emitter.publish("news", "x"),
    "emit": lambda emitter: emitter.emit(Tick(n=1), "news"),
    "emit of a type": lambda emitter: emitter.emit(Tick, "news", {"n": 1}),
    "broadcast": lambda emitter: emitter.broadcast("x"),
    "send": lambda emitter: emitter.send("00000000-0000-4000-8000-000000000000", "x"),
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_what_is_not_running_says_what_was_asked_and_what_to_write(call: Any, given: bool) -> None:
    sockets = Sockets(create_provider() if given else None)
    for _ in range(2):  # before start, and after stop
        with pytest.raises(NotRunning) as caught:
            await call(sockets.emitter)
        text = str(caught.value)
        assert "lifespan=sockets.lifespan" in text
        assert "async with sockets:" in text
        assert "mounted sub-application never runs" in text
        if "news" in str(call.__code__.co_consts):
            assert "can't publish to 'news'" in text
        async with sockets:
            await call(sockets.emitter)


async def test_other_things_asked_of_the_provider_before_start_say_so_too() -> None:
    class Kicking(Emitter):
        def __init__(self, provider: Any) -> None:
            super().__init__(provider)
            self.provider = provider

    sockets = Sockets[None, Kicking](emitter=Kicking)
    with pytest.raises(NotRunning, match="can't connection_count: these Sockets are not started"):
        sockets.emitter.provider.connection_count()
    async with sockets:
        assert sockets.emitter.provider.connection_count() == 0  # what it kept is the provider now


@pytest.mark.parametrize("given", [False, True])
async def test_a_socket_before_start_is_an_error_that_says_what_to_write(world: World, given: bool) -> None:
    peer = world.open(Sockets(create_provider() if given else None))
    peer.error_is_expected = True
    await settle()
    assert isinstance(peer.error, NotRunning)
    assert "mounted sub-application never runs" in str(peer.error)
    assert peer.events == []


async def test_a_second_start_is_empty(world: World) -> None:
    sockets = Sockets(open=join)
    for _ in range(2):
        peer = await world.connect(sockets)
        assert sockets.provider.topic_subscriber_count("t") == 1
        assert (await _published(sockets, peer)) == ["hello"]
        assert sockets.provider.connection_count() == 1
        await world.stop()
        assert sockets.provider.connection_count() == 0
        with pytest.raises(NotRunning):
            await sockets.emitter.publish("t", "x")


async def _published(sockets: Sockets[Any, Any], peer: Peer) -> list[Any]:
    await sockets.emitter.publish("t", "hello")
    await settle()
    return peer.take()


# Sharing


async def test_several_share_a_provider_which_lives_until_the_last_has_left(world: World) -> None:
    provider = create_provider()
    first, second = Sockets(provider, open=join), Sockets(provider, open=join)
    async with second:
        async with first:
            peers = [world.open(application(sockets)) for sockets in (first, second)]
            await settle()
            await first.emitter.publish("t", "both")
            await settle()
            assert [peer.take() for peer in peers] == [["both"], ["both"]]
        assert [peer.closed for peer in peers] == [(1012, "going away"), None]
        await second.emitter.publish("t", "one")
        await settle()
        assert peers[1].take() == ["one"]
        assert provider.connection_count() == 1
    assert peers[1].closed == (1012, "going away")
    assert not provider.is_running


async def test_sockets_that_only_share_a_started_provider_serve(world: World) -> None:
    provider = create_provider()
    closes: list[Any] = []
    admin = Sockets(provider, open=join, close=lambda ctx, code, reason: closes.append(code))
    async with Sockets(provider):
        peer = world.open(application(admin))
        await settle()
        assert (await _published(admin, peer)) == ["hello"]
    assert closes == [1012]
    assert not peer.is_served
    assert admin._app.counters is provider.counters


async def test_a_provider_that_was_started_by_hand_is_left_running(world: World) -> None:
    provider = create_provider()
    await provider.start()
    async with Sockets(provider, open=join) as sockets:
        peer = world.open(application(sockets))
        await settle()
    assert peer.closed == (1012, "going away")
    assert provider.is_running
    await provider.stop()


async def test_who_enters_while_another_starts_them_waits_for_the_start() -> None:
    class SlowProvider(Provider):
        async def __aenter__(self) -> Provider:  # type: ignore[override]
            await anyio.lowlevel.checkpoint()
            return await super().__aenter__()

    provider = SlowProvider(MemoryBroker())
    sockets = Sockets(provider)
    running: list[bool] = []

    async def enter() -> None:
        async with sockets:
            running.append(provider.is_running)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(enter)
    assert running == [True] * 3
    assert not provider.is_running


async def test_who_enters_while_another_fails_to_start_them_tries_anew() -> None:
    class FailingOnce(Provider):
        failures = 1

        async def __aenter__(self) -> Provider:  # type: ignore[override]
            await anyio.lowlevel.checkpoint()
            if self.failures:
                self.failures -= 1
                raise RuntimeError("once")
            return await super().__aenter__()

    provider = FailingOnce(MemoryBroker())
    sockets = Sockets(provider)
    outcomes: list[object] = []

    async def enter() -> None:
        try:
            async with sockets:
                outcomes.append(provider.is_running)
        except RuntimeError as exc:
            outcomes.append(str(exc))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        tasks.start_soon(enter)
    assert sorted(map(str, outcomes)) == ["True", "once"]
