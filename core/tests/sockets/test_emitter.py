"""The application's emitter: its own class, its extras, and its provider, which comes later."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from clocks import settle
from sockets.scripted_asgi import Peer, World
from wigwag import Emitter, SocketContext, SocketMessage, Sockets, create_provider
from wigwag.errors import InvalidMessage, InvalidSocketId, InvalidTopic

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Incident:
    title: str


class Said(SocketMessage, name="said"):
    text: str


Happened = SocketMessage.define("happened", Incident)


class AppEmitter(Emitter):
    async def said(self, text: str) -> None:
        await self.emit(Said(text=text), "t")


async def three(world: World, **more: Any) -> tuple[Sockets[Any, Any], list[Peer], list[str]]:
    """Three sockets, the first two of which are in topic ``t``."""
    ids: list[str] = []

    async def opened(ctx: SocketContext[Any, Any]) -> None:
        ids.append(ctx.id)
        if len(ids) < 3:
            await ctx.subscribe("t")

    sockets = Sockets[Any, Any](open=opened, **more)
    peers = [await world.connect(sockets) for _ in range(3)]
    return sockets, peers, ids


async def received(peers: list[Peer]) -> list[list[Any]]:
    """What each got: texts, binaries, and the data of events."""
    await settle()
    return [[got["data"] if isinstance(got, dict) else got for got in peer.take()] for peer in peers]


async def test_publish_reaches_the_topic(world: World) -> None:
    sockets, peers, ids = await three(world)
    await sockets.emitter.publish("t", "text")
    await sockets.emitter.publish("t", b"\x00")
    assert await received(peers) == [["text", b"\x00"], ["text", b"\x00"], []]
    await sockets.emitter.publish("t", "others", exclude=ids[0])
    assert await received(peers) == [[], ["others"], []]


async def test_send_reaches_one_and_takes_messages(world: World) -> None:
    sockets, peers, ids = await three(world)
    for message in ("text", b"\x00", Said(text="a"), Happened(Incident("b"))):
        await sockets.emitter.send(ids[2], message)
    assert await received(peers) == [[], [], ["text", b"\x00", {"text": "a"}, {"title": "b"}]]


async def test_broadcast_reaches_all_and_takes_messages(world: World) -> None:
    sockets, peers, ids = await three(world)
    await sockets.emitter.broadcast(Said(text="a"))
    await sockets.emitter.broadcast("b", exclude=ids[1])
    assert await received(peers) == [[{"text": "a"}, "b"], [{"text": "a"}], [{"text": "a"}, "b"]]


async def test_emit_takes_a_message_or_a_type_and_its_data(world: World) -> None:
    sockets, peers, ids = await three(world)
    emitter = sockets.emitter
    await emitter.emit(Said(text="a"), "t")
    await emitter.emit(Said, "t", Said(text="b"))
    await emitter.emit(Said, "t", {"text": "c"})
    await emitter.emit(Happened(Incident("d")), "t")
    await emitter.emit(Happened, "t", Incident("e"))
    await emitter.emit(Happened, "t", {"title": "f"}, exclude=ids[1])
    texts = [[next(iter(data.values())) for data in got] for got in await received(peers)]
    assert texts == [list("abcdef"), list("abcde"), []]


async def test_what_does_not_fit_is_not_emitted(world: World) -> None:
    sockets, peers, _ = await three(world)
    emitter = sockets.emitter
    wrong: list[tuple[Any, ...]] = [
        (Said(text=3),),  # type: ignore[arg-type]
        (Said, "t", {"text": None}),
        (Said, "t", {}),
        (Said, "t", Happened(Incident("x"))),
        (Happened, "t", Said(text="x")),
        (Happened, "t"),
    ]
    for message, *rest in wrong:
        with pytest.raises(InvalidMessage):
            await emitter.emit(message, *(rest or ["t"]))
    for topic in ("", "__broadcast__", "a b"):
        with pytest.raises(InvalidTopic):
            await emitter.emit(Said(text="x"), topic)
        with pytest.raises(InvalidTopic):
            await emitter.publish(topic, "x")
    for socket_id in ("", "x", "00000000-0000-1000-8000-000000000000"):
        with pytest.raises(InvalidSocketId):
            await emitter.send(socket_id, "x")
        with pytest.raises(InvalidSocketId):
            await emitter.publish("t", "x", exclude=socket_id)
    assert await received(peers) == [[], [], []]


async def test_an_applications_own_emitter_is_the_same_everywhere(world: World) -> None:
    seen: list[Any] = []

    async def message(ctx: SocketContext[None, AppEmitter], message: str | bytes) -> None:
        seen.append(ctx.emitter)
        await ctx.emitter.said(str(message))

    async def opened(ctx: SocketContext[None, AppEmitter]) -> None:
        await ctx.subscribe("t")

    sockets = Sockets[None, AppEmitter](emitter=AppEmitter, open=opened, message=message)
    peer = await world.connect(sockets)
    await peer.say("hello")
    assert [event["data"] for event in peer.take()] == [{"text": "hello"}]
    async with sockets.lifespan(None) as state:
        assert [*seen, state["emitter"], await sockets.get_emitter()] == [sockets.emitter] * 3
    assert type(sockets.emitter) is AppEmitter


async def test_an_emitter_that_is_taken_before_start_works_after_it(world: World) -> None:
    sockets, emitters = Sockets[None, AppEmitter](emitter=AppEmitter), []
    emitters.append(sockets.emitter)
    for _ in range(2):  # and after another start, which has another provider
        async with sockets:
            emitters.append(sockets.emitter)
            await emitters[0].said("x")
            assert sockets._app.counters.published == 1
    assert emitters == [emitters[0]] * 3


async def test_an_emitter_may_wrap_the_provider(world: World) -> None:
    published: list[str] = []

    class Logging:
        def __init__(self, provider: Any) -> None:
            self.provider = provider

        async def publish(self, topic: str, message: Any, **more: Any) -> None:
            published.append(topic)
            await self.provider.publish(topic, message, **more)

    class LoggingEmitter(Emitter):
        def __init__(self, provider: Any) -> None:
            wrapped: Any = Logging(provider)
            super().__init__(wrapped)

    for provider in (None, create_provider()):
        async with Sockets(provider, emitter=LoggingEmitter) as sockets:
            await sockets.emitter.publish("t", "x")
    assert published == ["t", "t"]
