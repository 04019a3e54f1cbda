"""Messages go to handlers by their type."""

from __future__ import annotations

import dataclasses
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from sockets.scripted_asgi import World
from wigwag import SocketContext, SocketRouter, Sockets

pytestmark = pytest.mark.anyio


class Say(msgspec.Struct):
    text: str


def echo() -> SocketRouter[None]:
    router = SocketRouter[None]()

    @router.on("say")
    async def say(ctx: SocketContext[None], data: Say) -> str:
        return data.text

    @router.on("here")
    def here(ctx: SocketContext[None]) -> str:
        return "yes"

    return router


async def test_a_handler_gets_its_message_validated_and_its_answer_is_the_reply(world: World) -> None:
    peer = await world.connect(Sockets(routers=[echo()]))
    assert await peer.ask("say", {"text": "hi"}) == {"type": "say", "correlationId": "1", "data": "hi"}


async def test_a_sync_handler_without_data_does_as_well(world: World) -> None:
    peer = await world.connect(Sockets(routers=[echo()]))
    assert await peer.ask("here") == {"type": "here", "correlationId": "1", "data": "yes"}


async def test_where_data_is_absent_the_other_fields_are_the_data(world: World) -> None:
    peer = await world.connect(Sockets(routers=[echo()]))
    await peer.say({"type": "say", "text": "flat"})
    assert peer.take() == [{"type": "say", "data": "flat"}]


async def test_data_that_does_not_fit_is_answered_with_its_paths(world: World) -> None:
    peer = await world.connect(Sockets(routers=[echo()]))
    reply = await peer.ask("say", {"text": 3})
    assert reply == {
        "type": "say",
        "correlationId": "1",
        "error": "Validation failed",
        "details": [{"path": "$.text", "message": "Expected `str`, got `int`"}],
    }
    assert (await peer.ask("say"))["error"] == "Validation failed"


@dataclasses.dataclass
class AsDataclass:
    text: str


class AsTypedDict(TypedDict):
    text: str


class AsModel(pydantic.BaseModel):
    text: str


@pytest.mark.parametrize("kind", [Say, AsDataclass, AsTypedDict, AsModel])
async def test_data_may_be_any_kind_of_model(world: World, kind: Any) -> None:
    seen: list[Any] = []
    router = SocketRouter[None]()
    router.on("m", data=kind)(lambda ctx, data: seen.append(data))
    peer = await world.connect(Sockets(routers=[router]))
    assert "error" not in await peer.ask("m", {"text": "a"})
    assert seen == [kind(text="a")]
    reply = await peer.ask("m", {"text": 3})
    assert (reply["error"], [detail["path"] for detail in reply["details"]]) == (
        "Validation failed",
        ["$.text"],
    )


async def test_several_routers_share_a_socket(world: World) -> None:
    other = SocketRouter[None]()

    @other.on("shout")
    async def shout(ctx: SocketContext[None], data: Say) -> str:
        return data.text.upper()

    peer = await world.connect(Sockets(routers=[echo(), other]))
    assert (await peer.ask("shout", {"text": "a"}))["data"] == "A"
    assert (await peer.ask("say", {"text": "a"}))["data"] == "a"


async def test_one_router_serves_several_sockets_objects(world: World) -> None:
    router = echo()
    for _ in range(2):
        peer = await world.connect(Sockets(routers=[router]))
        assert (await peer.ask("here"))["data"] == "yes"


async def test_what_no_router_handles_goes_to_the_message_handler(world: World) -> None:
    raw: list[str | bytes] = []

    def message(ctx: SocketContext, message: str | bytes) -> None:
        raw.append(message)

    peer = await world.connect(Sockets(routers=[echo()], message=message))
    await peer.say({"type": "other"}, "no json", b"\x00\xff", {"type": "say", "text": "routed"})
    assert raw == ['{"type": "other"}', "no json", b"\x00\xff"]
    assert peer.take() == [{"type": "say", "data": "routed"}]


async def test_an_unknown_type_is_answered(world: World) -> None:
    peer = await world.connect(Sockets(routers=[echo()]))
    assert await peer.ask("nope", id=7) == {
        "type": "nope",
        "correlationId": 7,
        "error": "Unknown message type",
    }


async def test_a_message_handler_without_a_router_gets_everything_but_pings(world: World) -> None:
    raw: list[str | bytes] = []

    async def message(ctx: SocketContext, message: str | bytes) -> None:
        raw.append(message)

    peer = await world.connect(Sockets(message=message))
    await peer.say("2", "hello", b"", '{"type": "x", "correlationId": 1}')
    assert raw == ["hello", b"", '{"type": "x", "correlationId": 1}']
    assert peer.take() == [3]


async def test_without_any_handler_a_request_is_answered_all_the_same(world: World) -> None:
    peer = await world.connect(Sockets())
    assert await peer.ask("x", id=9) == {"type": "x", "correlationId": 9, "error": "Unknown message type"}
    await peer.say("no json")
    assert [reply["error"] for reply in peer.take()] == ["Invalid message"]


async def test_a_type_that_two_routers_handle_is_an_error_at_start() -> None:
    with pytest.raises(TypeError, match="'say' are handled by two routers"):
        async with Sockets(routers=[echo(), echo()]):
            pass


def test_a_type_is_handled_once() -> None:
    router = echo()
    with pytest.raises(TypeError, match="'say' are handled already"):
        router.on("say")(lambda ctx: None)


@pytest.mark.parametrize("name", ["", "x" * 257, 3, None])
def test_a_type_is_a_short_string(name: Any) -> None:
    with pytest.raises(TypeError, match="string of 1 to 256 characters"):
        SocketRouter[None]().on(name)


async def test_a_router_in_use_takes_no_more(world: World) -> None:
    router = echo()
    await world.start(Sockets(routers=[router]))
    with pytest.raises(TypeError, match="'late' comes too late"):
        router.on("late")(lambda ctx: None)
