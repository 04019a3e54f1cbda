"""Hostile and broken input: a reply with an error, and the socket lives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockets.scripted_asgi import World
from thoroughness import examples
from wigwag import SocketContext, SocketRouter, Sockets

pytestmark = pytest.mark.anyio

DEEP = 10_000


def anything() -> Sockets[None]:
    router = SocketRouter[None]()

    @router.on("any")
    async def any_data(ctx: SocketContext[None], data: dict[str, Any]) -> int:
        return len(data)

    @router.on("text")
    async def text(ctx: SocketContext[None], data: str) -> str:
        return data

    return Sockets(routers=[router])


MALFORMED = {
    "empty": "",
    "not JSON": "hello",
    "half": '{"type": "any"',
    "two": '{"type":"any"} {}',
    "no object: array": "[1]",
    "no object: string": '"any"',
    "no object: number": "7",
    "no object: null": "null",
    "no type": '{"data": 1}',
    "type is no string": '{"type": 1}',
    "type is null": '{"type": null}',
    "NaN": '{"type":"any","data":{"x":NaN}}',
    "Infinity": '{"type":"any","data":{"x":-Infinity}}',
    "array bomb": "[" * DEEP,
    "object bomb": '{"a":' * DEEP,
    "bomb in data": '{"type":"any","data":' + "[" * DEEP + "]" * DEEP + "}",
    "bomb beside data": '{"type":"any","x":' + "[" * DEEP + "]" * DEEP + "}",
    "lone surrogate, escaped": '{"type":"any","data":{"x":"\\ud800"}}',
    "lone surrogate in the type": '{"type":"\\udfff"}',
    "lone surrogate in a key": '{"type":"any","\\ud800":1}',
    "lone surrogate, not escaped": '{"type":"any","data":{"x":"\ud800"}}',
    "control character": '{"type":"any","data":{"x":"\x00"}}',
    "float as id": '{"type":"any","correlationId":1.5}',
    "bool as id": '{"type":"any","correlationId":true}',
    "object as id": '{"type":"any","correlationId":{}}',
    "binary": b'{"type":"any","data":{}}',
    "binary, no UTF-8": b"\xff\xfe\x00",
    "empty binary": b"",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_message_gets_an_error_and_the_socket_lives(
    world: World, message: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await world.connect(anything())
    await peer.say(message)
    (reply,) = peer.take()
    assert reply["error"] == "Invalid message"
    assert reply["details"][0]["message"]
    assert (await peer.ask("any", {"a": 1}))["data"] == 1
    assert not peer.is_closed
    assert not caplog.records  # a client can't fill our log


async def test_what_could_be_read_of_a_malformed_message_is_in_its_reply(world: World) -> None:
    peer = await world.connect(anything())
    await peer.say('{"type":1,"correlationId":"c"}', '{"type":"any","correlationId":1.5}', b"x")
    first, second, third = peer.take()
    assert (first["type"], first["correlationId"]) == ("error", "c")
    assert second["type"] == "any"
    assert "correlationId" not in second
    assert third == {
        "type": "error",
        "error": "Invalid message",
        "details": [{"path": "$", "message": "a message is sent as text"}],
    }


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ({"type": "any", "data": {"a": 1}}, 1),
        ({"type": "any", "a": 1, "b": 2}, 2),
        ({"type": "any"}, 0),
        ({"type": "any", "correlationId": None}, 0),
        ('{"type":"text","type":"any"}', 0),  # the last of two keys counts
    ],
)
async def test_data_is_what_the_message_says(world: World, message: Any, data: int) -> None:
    peer = await world.connect(anything())
    await peer.say(message)
    assert peer.take() == [{"type": "any", "data": data}]


@pytest.mark.parametrize("id", ["c1", "", "é☃😀", 0, -1, 2**53, 2**70, -(2**70)])
async def test_a_correlation_id_comes_back_as_it_was(world: World, id: str | int) -> None:
    peer = await world.connect(anything())
    assert (await peer.ask("any", {}, id=id))["correlationId"] == id
    assert (await peer.ask("nope", {}, id=id))["correlationId"] == id


async def test_data_of_the_wrong_kind_is_answered_as_such(world: World) -> None:
    peer = await world.connect(anything())
    wrong: list[Any] = [[], "x", 1, None]
    for data in wrong:
        await peer.say({"type": "any", "data": data})
        assert [reply["error"] for reply in peer.take()] == ["Validation failed"]


async def test_a_handler_gets_a_text_unharmed(world: World) -> None:
    peer = await world.connect(anything())
    for text in ("", "\x00", "é☃😀", "</script>", '"\\'):
        assert (await peer.ask("text", text))["data"] == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
LIKE_A_MESSAGE = st.fixed_dictionaries(
    {}, optional={"type": st.just("any") | JSON, "correlationId": JSON, "data": JSON, "x": JSON}
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(LIKE_A_MESSAGE | JSON | st.text() | st.binary(), max_size=5))
async def test_nothing_that_a_client_sends_is_our_error(messages: list[Any]) -> None:
    async with World() as world:
        peer = await world.connect(anything())
        await peer.say(*(message for message in messages if message not in ("2", 2)))
        for reply in peer.take():
            assert reply.get("error") in (
                None,
                "Invalid message",
                "Validation failed",
                "Unknown message type",
            )
        assert (await peer.ask("any", {}))["data"] == 0
