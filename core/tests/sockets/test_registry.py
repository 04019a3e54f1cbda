"""Messages of clients as classes, and the control messages that come with us."""

from __future__ import annotations

from typing import Any

import pytest

from sockets.scripted_asgi import World
from wigwag import (
    Forbidden,
    Heartbeat,
    Incoming,
    JoinRoom,
    MessageRegistry,
    ServerMessage,
    SocketContext,
    SocketMessage,
    Sockets,
)
from wigwag.sockets import Outcome
from wigwag.wire.client import parse

pytestmark = pytest.mark.anyio


class Move(ServerMessage, name="move", rename="camel"):
    new_x: float


class Moved(SocketMessage, name="moved"):
    x: float


class Nameless(Move):
    pass


async def move(ctx: SocketContext[None], message: Move) -> float:
    return message.new_x


async def test_a_registry_goes_where_a_router_goes(world: World) -> None:
    peer = await world.connect(Sockets(routers=[MessageRegistry[None]().on(Move, move)]))
    assert (await peer.ask("move", {"newX": 1.5}))["data"] == 1.5
    reply = await peer.ask("move", {"newX": "far"})
    assert reply["error"] == "Validation failed"
    assert [detail["path"] for detail in reply["details"]] == ["$.newX"]


async def test_guards_of_a_registry_stand_before_its_handlers(world: World) -> None:
    seen: list[str] = []

    def noting(name: str) -> Any:
        def guard(ctx: SocketContext[None]) -> bool:
            seen.append(name)
            return name == "registry"

        return guard

    registry = MessageRegistry[None](guards=[noting("registry")]).on(Move, move, guards=[noting("route")])
    peer = await world.connect(Sockets(routers=[registry]))
    assert (await peer.ask("move", {"newX": 1}))["error"] == "Forbidden"
    assert seen == ["registry", "route"]


async def test_a_heartbeat_is_a_message_like_others(world: World) -> None:
    def beat(ctx: SocketContext[None], message: Heartbeat) -> Any:
        return message.timestamp

    peer = await world.connect(Sockets(routers=[MessageRegistry[None]().on(Heartbeat, beat)]))
    assert (await peer.ask("heartbeat", {"timestamp": 7}))["data"] == 7
    assert (await peer.ask("heartbeat"))["data"] is None


def only_lobby(ctx: SocketContext[None], room: str) -> bool:
    return room == "lobby"


async def only_lobby_async(ctx: SocketContext[None], room: str) -> bool:
    return room == "lobby"


def only_lobby_raising(ctx: SocketContext[None], room: str) -> bool:
    if room != "lobby":
        raise Forbidden
    return True


@pytest.mark.parametrize("authorize", [only_lobby, only_lobby_async, only_lobby_raising])
async def test_who_may_join_a_room_is_asked(world: World, authorize: Any) -> None:
    sockets = Sockets(routers=[MessageRegistry[None]().rooms(authorize=authorize)])
    peer = await world.connect(sockets)
    assert await peer.ask("room.join", {"room": "lobby"}) == {
        "type": "room.join",
        "correlationId": "1",
        "data": None,
    }
    assert (await peer.ask("room.join", {"room": "vault"}))["error"] == "Forbidden"
    await sockets.emitter.publish("lobby", "a")
    await sockets.emitter.publish("vault", "b")
    await peer.say()
    assert peer.take() == ["a"]


async def test_leaving_a_room_ends_its_messages_and_needs_no_permission(world: World) -> None:
    sockets = Sockets(routers=[MessageRegistry[None]().rooms(anyone=True)])
    peer = await world.connect(sockets)
    await peer.ask("room.join", {"room": "any"})
    assert sockets.provider.topic_subscriber_count("any") == 1
    assert "error" not in await peer.ask("room.leave", {"room": "any"})
    assert sockets.provider.topic_subscriber_count("any") == 0
    assert "error" not in await peer.ask("room.leave", {"room": "never-joined"})


@pytest.mark.parametrize("room", ["", "__broadcast__", "__node__:x", "a b", "é", "x" * 257, "a\n"])
async def test_a_room_that_is_no_topic_can_not_be_joined(world: World, room: str) -> None:
    peer = await world.connect(Sockets(routers=[MessageRegistry[None]().rooms(anyone=True)]))
    for kind in ("room.join", "room.leave"):
        assert (await peer.ask(kind, {"room": room}))["error"] == "Validation failed"


def test_rooms_are_not_open_by_accident() -> None:
    with pytest.raises(TypeError, match="anyone=True"):
        MessageRegistry[None]().rooms()
    with pytest.raises(TypeError, match="anyone=True"):
        MessageRegistry[None]().rooms(authorize=only_lobby, anyone=True)
    with pytest.raises(TypeError, match="authorize takes 2 arguments"):
        MessageRegistry[None]().rooms(authorize=lambda ctx: True)  # type: ignore[arg-type, misc]


def test_a_class_is_handled_once() -> None:
    with pytest.raises(TypeError, match="'move' are handled already"):
        MessageRegistry[None]().on(Move, move).on(Move, move)


@pytest.mark.parametrize("message", [Moved, Nameless, ServerMessage, dict, "move", None, Move(1.0)])
def test_only_a_named_message_of_clients_is_handled(message: Any) -> None:
    with pytest.raises(TypeError, match="is no message of clients"):
        MessageRegistry[None]().on(message, move)


def test_a_handler_of_a_registry_takes_the_message() -> None:
    with pytest.raises(TypeError, match="a handler takes 2 arguments"):
        MessageRegistry[None]().on(JoinRoom, lambda ctx: None)  # type: ignore[arg-type, misc]


async def test_a_message_can_be_handled_outside_of_a_router(world: World) -> None:
    outcomes: list[Outcome] = []

    def not_mine(ctx: SocketContext[None], message: Incoming) -> bool:
        return b"13" not in message.data

    registry = MessageRegistry[None]().on(Move, move, guards=[not_mine])

    async def message(ctx: SocketContext[None], message: str | bytes) -> None:
        outcomes.append(await registry.handle(ctx, parse(message)))

    peer = await world.connect(Sockets(message=message))
    await peer.say({"type": "move", "newX": 3}, {"type": "other"}, {"type": "move", "newX": None})
    assert outcomes[0] == Outcome("handled", result=3.0)
    assert outcomes[1] == Outcome("unknown_type")
    assert outcomes[2].status == "validation_failed"
    assert outcomes[2].details == [{"path": "$.newX", "message": "Expected `float`, got `null`"}]
    await peer.say({"type": "move", "newX": 13})
    assert len(outcomes) == 3
    assert [reply["error"] for reply in peer.take()] == ["Forbidden"]
