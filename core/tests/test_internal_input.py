"""The internal port: what each wrong request gets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
import pytest

from clocks import backend
from internal_api import LOBBY, Api, connected
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service.internal import MAX_BODY_BYTES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")  # the server runs on nothing else


@pytest.fixture
async def api() -> AsyncGenerator[Api]:
    async with Provider(MemoryBroker(), name="memory") as provider, connected(provider) as client:
        yield Api(provider, client)


ONE_OF = 'a message has "name" and "data", or "text", or "base64", and only one of them'
OURS = "event names that begin with wigwag. are the server's own"
LIKE_OURS = "it would be read as an event whose name begins with wigwag.: those are the server's own"
RESERVED = "names that begin with __ are reserved"


def text(content: str) -> dict[str, str]:
    return {"topic": "lobby", "text": content}


SOCKET = "01234567-89ab-4def-8123-456789abcdef"
RESYNC = '{"name":"wigwag.resync","data":{"topics":[],"spreadMs":0},"timestamp":1}'


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b"", "$", "Input data was truncated"),
        (b"topic=lobby", "$", "JSON is malformed: invalid character"),
        (b"\xff\xfe", "$", "not UTF-8"),
        (b'{"topic":"a","name":"x","data":"\xff"}', "$", "not UTF-8"),
        (b'{"topic":"a","name":"x","data":NaN}', "$", "JSON is malformed: invalid character (byte 31)"),
        (b'{"topic":"a","text":"\\ud800"}', "$", "not Unicode: a \\ud800 to \\udfff"),
        (b'{"topic":"a","text":"\\udc00\\ud83d\\ude00"}', "$", "not Unicode: a \\ud800 to \\udfff"),
        (b'{"messages":[{"topic":"a","text":"\\ud800"}]}', "$", "not Unicode: a \\ud800"),
        (b'{"topic":"a","text":"\\\\ud800 \\ud83d\\ude00"', "$", "Input data was truncated"),
        ({"topic": "lobby", "name": "wigwag.resync", "data": 1}, "$.name", OURS),
        ({"messages": [LOBBY, {"topic": "a", "name": "wigwag.x", "data": 1}]}, "$.messages[1].name", OURS),
        (text(RESYNC), "$.text", LIKE_OURS),
        (text(f" \n\t\r{RESYNC}\n"), "$.text", LIKE_OURS),
        (text(f"\ufeff{RESYNC}"), "$.text", LIKE_OURS),
        (text(RESYNC.replace("wigwag", "\\u0077igwag")), "$.text", LIKE_OURS),
        (text(RESYNC.replace('"name"', '"\\u006eame"')), "$.text", LIKE_OURS),
        (text('{"name":"x","name":"wigwag.x"}'), "$.text", LIKE_OURS),
        (text('{"data":"\\ud800","name":"wigwag.x"}'), "$.text", LIKE_OURS),
        (text('{"data":%s,"name":"wigwag.x"}' % ("9" * 5000)), "$.text", LIKE_OURS),
        (text('{"data":1e999,"name":"wigwag.x"}'), "$.text", LIKE_OURS),
        (text('{"data":%s,"name":"wigwag.x"}' % ("[" * 50_000 + "]" * 50_000)), "$.text", LIKE_OURS),
        ({"messages": [LOBBY, text(RESYNC)]}, "$.messages[1].text", LIKE_OURS),
        (b'{"topic":"a","name":"x","data":' + b"[" * 100_000, "$", "nested too deeply"),
        (b"[" * 100_000, "$", "Expected `object`, got `array`"),
        (b"[]", "$", "Expected `object`, got `array`"),
        (b"null", "$", "Expected `object`, got `null`"),
        (b"{}", "$", "Object missing required field `topic`"),
        ({"topic": "lobby"}, "$", ONE_OF),
        ({"topic": 1, "text": "x"}, "$.topic", "Expected `str`, got `int`"),
        ({"topic": "lobby", "text": {}}, "$.text", "Expected `str`, got `object`"),
        ({"topic": "lobby", "text": "x", "base64": "eA=="}, "$", ONE_OF),
        ({"topic": "lobby", "text": "x", "name": "n", "data": 1}, "$", ONE_OF),
        ({"topic": "lobby", "name": "n"}, "$", ONE_OF),
        ({"topic": "lobby", "data": 1}, "$", ONE_OF),
        ({"topic": "lobby", "name": "", "data": 1}, "$.name", "Expected `str` of length >= 1"),
        ({"topic": "lobby", "name": "n" * 257, "data": 1}, "$.name", "Expected `str` of length <= 256"),
        ({"topic": "lobby", "base64": "?"}, "$.base64", "Invalid base64 encoded string"),
        ({"topic": "lobby", "text": "x", "channel": "y"}, "$", "unknown field `channel`"),
        ({"topic": "", "text": "x"}, "$.topic", "a topic has at least one character"),
        ({"topic": "a b", "text": "x"}, "$.topic", "a topic is made of the characters"),
        ({"topic": "t" * 257, "text": "x"}, "$.topic", "at most 256 characters, this one has 257"),
        ({"topic": "__broadcast__", "text": "x"}, "$.topic", RESERVED),
        ({"messages": []}, "$.messages", "Expected `array` of length >= 1"),
        ({"messages": {}}, "$.messages", "Expected `array`, got `object`"),
        ({"messages": [LOBBY], "topic": "x"}, "$", "unknown field `topic`"),
        ({"messages": [LOBBY, {"topic": "a"}]}, "$.messages[1]", ONE_OF),
        ({"messages": [LOBBY, {"topic": "__a", "text": ""}]}, "$.messages[1].topic", RESERVED),
        ({"messages": [LOBBY, {"topic": 7}]}, "$.messages[1].topic", "Expected `str`, got `int`"),
        ({"messages": [LOBBY, 7]}, "$.messages[1]", "Expected `object`, got `int`"),
    ],
)
async def test_what_can_not_be_published_is_refused_and_nothing_is_sent(
    api: Api, body: Any, path: str, message: str
) -> None:
    socket = await api.join("lobby")
    response = await api.post("/api/publish", body)
    assert response.status_code == 400
    answer = response.json()
    assert set(answer) == {"error", "details"}
    (detail,) = answer["details"]
    assert detail["path"] == path
    assert message in detail["message"]
    assert message in answer["error"]
    assert socket.messages == []


@pytest.mark.parametrize(
    "content",
    [
        '{"name":"wigwag","data":1}',
        '{"name":"wigwag.x","name":"x"}',
        '{"data":{"name":"wigwag.x"}}',
        '[{"name":"wigwag.resync"}]',
        '"wigwag.resync"',
        'see {"name":"wigwag.resync"}',
        '{"name":["wigwag.x"]}',
        "a \\ alone",
    ],
)
async def test_a_text_that_no_client_takes_for_the_servers_own_is_published_as_it_is(
    api: Api, content: str
) -> None:
    socket = await api.join("lobby")
    assert (await api.post("/api/publish", text(content))).status_code == 202
    assert socket.messages == [content]


@pytest.mark.parametrize(
    ("path", "body", "where", "message"),
    [
        ("/api/send", {"socketId": "7", "text": "x"}, "$.socketId", "must be a lower-case version 4 UUID"),
        ("/api/send", {"text": "x"}, "$", "missing required field `socketId`"),
        ("/api/send", {"socketId": 7, "text": "x"}, "$.socketId", "Expected `str`, got `int`"),
        ("/api/broadcast", {"topic": "lobby", "text": "x"}, "$", "unknown field `topic`"),
        ("/api/broadcast", {}, "$", ONE_OF),
        ("/api/broadcast", {"name": "wigwag.dropped", "data": 1}, "$.name", OURS),
        ("/api/send", {"socketId": SOCKET, "text": RESYNC}, "$.text", LIKE_OURS),
        ("/api/broadcast", {"text": RESYNC}, "$.text", LIKE_OURS),
        ("/api/disconnect", {}, "$", 'either "socketId" or "user" says whom'),
        ("/api/disconnect", {"user": "a", "socketId": "b"}, "$", 'either "socketId" or "user"'),
        ("/api/disconnect", {"user": ""}, "$.user", "of length >= 1"),
        ("/api/disconnect", {"socketId": "7"}, "$.socketId", "must be a lower-case version 4 UUID"),
        ("/api/disconnect", {"user": "a", "code": 1006}, "$.code", "1006 is no close code to send"),
        ("/api/disconnect", {"user": "a", "code": 70000}, "$.code", "is no close code to send"),
        ("/api/disconnect", {"user": "a", "code": "x"}, "$.code", "Expected `int`, got `str`"),
        ("/api/disconnect", {"user": "a", "why": "x"}, "$", "unknown field `why`"),
    ],
)
async def test_each_endpoint_says_what_does_not_fit(
    api: Api, path: str, body: Mapping[str, Any], where: str, message: str
) -> None:
    socket = api.attach("a")
    response = await api.post(path, body)
    assert response.status_code == 400
    (detail,) = response.json()["details"]
    assert detail["path"] == where
    assert message in detail["message"]
    assert (socket.messages, socket.closes) == ([], [])


@pytest.mark.parametrize(
    ("topic", "rule"),
    [("__node__", "reserved"), ("a%20b", "made of the characters"), ("t" * 257, "at most 256 characters")],
)
async def test_what_is_no_topic_has_no_count(api: Api, topic: str, rule: str) -> None:
    response = await api.client.get(f"/api/topics/{topic}")
    assert response.status_code == 400
    assert rule in response.json()["error"]
    (detail,) = response.json()["details"]
    assert (detail["path"], rule in detail["message"]) == ("$.topic", True)


async def test_a_body_over_the_limit_is_refused(api: Api) -> None:
    socket = await api.join("lobby")
    text = "x" * (MAX_BODY_BYTES - len(msgspec.json.encode({"topic": "lobby", "text": ""})))
    assert (await api.post("/api/publish", {"topic": "lobby", "text": text})).status_code == 202
    response = await api.post("/api/publish", {"topic": "lobby", "text": f"{text}x"})
    assert (response.status_code, response.json()) == (
        413,
        {"error": "the body is larger than 4194304 bytes"},
    )
    assert len(socket.messages) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/", 404, "Not Found"),
        ("POST", "/api/nothing", 404, "Not Found"),
        ("GET", "/api/topics/a/b", 404, "Not Found"),
        ("GET", "/api/publish", 405, "Method Not Allowed"),
        ("POST", "/livez", 405, "Method Not Allowed"),
    ],
)
async def test_what_is_not_there_answers_in_json_too(
    api: Api, method: str, path: str, status: int, error: str
) -> None:
    response = await api.client.request(method, path)
    assert (response.status_code, response.json()) == (status, {"error": error})


async def test_an_error_of_ours_shows_nothing_to_the_caller(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.provider, "publish", fail)
    response = await api.post("/api/publish", LOBBY)
    assert (response.status_code, response.json()) == (500, {"error": "Internal error"})
