"""Bad input over HTTP, on the internal port: 400 with the rule that is broken, and nothing is published."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from e2e.servers import Server, serving
from e2e.wire import connecting
from e2e.world import World
from wigwag.service.internal import create_internal_app

LONG = "t" * 257
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    """Return a server with the sockets, and the internal API below ``/internal``."""
    world = World()
    internal = create_internal_app([world.provider])
    app = Starlette(
        routes=[Mount("/internal", app=internal), *world.app.routes], lifespan=world.sockets.lifespan
    )
    with serving("uvicorn-sansio", app) as server:
        yield server


def ask(server: Server, path: str, content: Any, method: str = "POST") -> tuple[int, Any]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = Request(f"{server.http}/internal{path}", body, method=method)
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as exc:
        with exc:
            return exc.code, json.load(exc)


#: The path of the API, what is sent, and what stands in the answer.
BAD: dict[str, tuple[str, Any, str]] = {
    "not JSON": ("publish", b"hello", "malformed"),
    "nothing": ("publish", b"", "truncated"),
    "not UTF-8": ("publish", b'{"topic":"a","text":"\xff"}', "UTF-8"),
    "a nesting bomb": ("publish", b'{"topic":"a","name":"n","data":' + b"[" * 100_000, "nested too deeply"),
    "NaN": ("publish", b'{"topic":"a","name":"n","data":NaN}', "malformed"),
    "a list": ("publish", [], "Expected `object`"),
    "no topic": ("publish", {"text": "x"}, "missing required field `topic`"),
    "a reserved topic": ("publish", {"topic": "__broadcast__", "text": "x"}, "begin with __ are reserved"),
    "an empty topic": ("publish", {"topic": "", "text": "x"}, "at least one character"),
    "a topic of 257 characters": ("publish", {"topic": LONG, "text": "x"}, "at most 256 characters"),
    "a topic with a space": ("publish", {"topic": "a b", "text": "x"}, "A-Z a-z 0-9 _ : . -"),
    "no content": ("publish", {"topic": "a"}, "only one of them"),
    "two contents": ("publish", {"topic": "a", "text": "x", "base64": "AA=="}, "only one of them"),
    "no base64": ("publish", {"topic": "a", "base64": "!"}, "base64"),
    "a field that is none": ("publish", {"topic": "a", "text": "x", "to": "b"}, "unknown field `to`"),
    "a batch of none": ("publish", {"messages": []}, "length >= 1"),
    "a bad one in a batch": (
        "publish",
        {"messages": [{"topic": "a", "text": "x"}, {"topic": "a b", "text": "x"}]},
        "$.messages[1].topic",
    ),
    "no socket id": ("send", {"socketId": "me", "text": "x"}, "lower-case version 4 UUID"),
    "a socket id in capitals": ("send", {"socketId": NOBODY.replace("0", "A"), "text": "x"}, "lower-case"),
    "nobody to disconnect": ("disconnect", {}, "says whom to disconnect"),
    "a close code that can't be sent": ("disconnect", {"socketId": NOBODY, "code": 1006}, "close code"),
    "a broadcast with a topic": ("broadcast", {"topic": "a", "text": "x"}, "unknown field `topic`"),
}


@pytest.mark.parametrize(("path", "content", "rule"), BAD.values(), ids=list(BAD))
def test_what_is_wrong_is_named_and_nothing_is_published(
    server: Server, path: str, content: Any, rule: str
) -> None:
    with connecting(f"{server.ws}/ws") as client:
        client.ask("join", "a")
        status, answer = ask(server, f"/api/{path}", content)
        assert status == 400, answer
        assert answer.keys() == {"error", "details"}
        assert rule in json.dumps(answer, ensure_ascii=False)
        assert client.ask("echo", "nothing came before this")["data"] == "nothing came before this"


def test_a_topic_in_a_path_is_checked_too(server: Server) -> None:
    status, answer = ask(server, f"/api/topics/{LONG}", None, "GET")
    assert (status, answer["error"]) == (400, "a topic has at most 256 characters, this one has 257")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/publish", 405), ("POST", "/api/nothing", 404), ("DELETE", "/metrics", 405)],
)
def test_other_paths_and_methods_are_refused_in_json(
    server: Server, method: str, path: str, status: int
) -> None:
    found, answer = ask(server, path, {}, method)
    assert (found, answer.keys()) == (status, {"error"})


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    assert ask(server, "/api/publish", b"x" * (4 * 1024 * 1024 + 1))[0] == 413


def test_a_socket_that_has_gone_is_no_error(server: Server) -> None:
    for path, content in (("send", {"text": "x"}), ("disconnect", {})):
        assert ask(server, f"/api/{path}", {"socketId": NOBODY, **content}) == (202, {"accepted": 1})
