"""Bad input, and what it gets: the socket lives, unless a limit is crossed, and nothing of ours leaks."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import pytest

from e2e.servers import SERVERS, Server, serving
from e2e.wire import Client, connecting, wait_until
from e2e.world import World
from wigwag import Limits

BOMB = "[" * 30_000
LONG = "t" * 257


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Generator[Server]:
    with serving(request.param, World().app) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Generator[Client]:
    with connecting(f"{server.ws}/ws") as client:
        yield client
        assert client.ask("echo", "lives", "last")["data"] == "lives"


MALFORMED: dict[str, str | bytes] = {
    "no JSON": "hello",
    "nothing": "",
    "half a message": '{"type": "echo"',
    "a list": "[1]",
    "a string": '"echo"',
    "null": "null",
    "no type": '{"data": 1}',
    "a type that is a number": '{"type": 7}',
    "a type that is null": '{"type": null}',
    "a nesting bomb": BOMB,
    "a nesting bomb in data": '{"type": "echo", "data": ' + BOMB + "]" * 30_000 + "}",
    "NaN": '{"type": "echo", "data": NaN}',
    "infinity": '{"type": "echo", "data": -Infinity}',
    "a bare surrogate": '{"type": "ech\\ud800o"}',
    "binary": b'{"type": "echo"}',
    "binary that is no UTF-8": b"\xff\xfe",
    "a correlationId that is a list": '{"type": "echo", "correlationId": [1]}',
    "a correlationId that is a boolean": '{"type": "echo", "correlationId": true}',
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=list(MALFORMED))
def test_what_is_no_message_is_answered_with_an_error(client: Client, message: str | bytes) -> None:
    client.send(message)
    reply = client.hear()
    assert reply["error"] == "Invalid message", reply
    assert isinstance(reply["type"], str)
    assert reply["details"][0]["path"] == "$"
    assert reply.keys() == {"type", "error", "details"}


def test_what_could_be_read_of_a_malformed_message_is_echoed(client: Client) -> None:
    client.send('{"type": 7, "correlationId": "seven"}')
    assert client.hear()["correlationId"] == "seven"
    client.send('{"type": "echo", "correlationId": {}}')
    assert client.hear()["type"] == "echo"


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an unknown type": ({"type": "nope"}, {"error": "Unknown message type"}),
    "data of another type": (
        {"type": "number", "data": "seven"},
        {"error": "Validation failed", "details": [{"path": "$", "message": "Expected `int`, got `str`"}]},
    ),
    "a field of another type": ({"type": "say", "data": {"topic": 7}}, {"error": "Validation failed"}),
    "data that is absent": ({"type": "number"}, {"error": "Validation failed"}),
    "a guard that says no": ({"type": "guarded"}, {"error": "Forbidden"}),
    "a handler that raises": ({"type": "fail"}, {"error": "Internal error"}),
    "the application's own error": (
        {"type": "full"},
        {"error": "Room is full", "details": [{"path": "$.room", "message": "of 2"}]},
    ),
    "a reserved topic": (
        {"type": "join", "data": "__broadcast__"},
        {
            "error": "Validation failed",
            "details": [{"path": "$", "message": "names that begin with __ are reserved"}],
        },
    ),
    "a topic with a space": ({"type": "join", "data": "a b"}, {"error": "Validation failed"}),
    "a topic that is empty": ({"type": "join", "data": ""}, {"error": "Validation failed"}),
    "a topic with a newline": ({"type": "join", "data": "a\n"}, {"error": "Validation failed"}),
    "a topic of 257 characters": (
        {"type": "join", "data": LONG},
        {
            "error": "Validation failed",
            "details": [{"path": "$", "message": "a topic has at most 256 characters, this one has 257"}],
        },
    ),
}


@pytest.mark.parametrize(("message", "answer"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused_says_why(client: Client, message: dict[str, Any], answer: dict[str, Any]) -> None:
    client.say(
        **{"type_" if key == "type" else key: value for key, value in message.items()}, correlationId="c"
    )
    reply = client.hear()
    assert answer.items() <= reply.items(), reply
    assert (reply["type"], reply["correlationId"]) == (message["type"], "c")
    assert "data" not in reply


def test_an_error_is_sent_without_being_asked_for(client: Client) -> None:
    client.say("number", "seven")
    reply = client.hear()
    assert reply["error"] == "Validation failed"
    assert "correlationId" not in reply


def test_what_an_exception_says_is_logged_and_never_sent(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.say("fail", correlationId=1)
    assert client.receive() == '{"type":"fail","correlationId":1,"error":"Internal error"}'
    (record,) = [record for record in caplog.records if "a handler failed" in record.message]
    assert record.levelno == logging.ERROR
    assert "secret of the handler" in str(record.exc_info)


@pytest.mark.parametrize("id_", ["", "x" * 10_000, "\0", -1, 0, 2**53, 2**63 - 1, 2**64 - 1])
def test_a_correlation_id_comes_back_as_it_was(client: Client, id_: str | int) -> None:
    assert client.ask("echo", 1, id_)["correlationId"] == id_


def test_a_correlation_id_beyond_64_bits_does_no_harm(client: Client) -> None:
    client.say("echo", 1, correlationId=2**70)
    reply = client.hear()
    assert reply.get("correlationId") == 2**70 or reply["error"], reply


def test_keys_that_come_twice_and_unknown_ones_do_no_harm(client: Client) -> None:
    client.send('{"type":"fail","type":"echo","data":1,"data":2,"__proto__":{"x":1},"correlationId":1}')
    assert client.hear() == {"type": "echo", "correlationId": 1, "data": 2}


# Limits


@pytest.mark.parametrize("name", SERVERS)
def test_too_many_messages_are_refused_and_then_closed_with_1008(name: str) -> None:
    world = World(limits=Limits(messages_per_s=0.01, messages_burst=3, violations_per_minute=2))
    with serving(name, world.app) as server, connecting(f"{server.ws}/ws?user=flood") as client:
        replies = [client.ask("echo", number) for number in range(5)]
        assert [reply.get("data") for reply in replies[:3]] == [0, 1, 2]
        assert [reply.get("error") for reply in replies[3:]] == ["Too many messages"] * 2
        client.say("echo")
        assert client.closed() == (1008, "too many messages")
        wait_until(lambda: world.closed, "the close handler")


@pytest.mark.parametrize("name", SERVERS)
def test_too_many_topics_are_refused_and_then_closed_with_1008(name: str) -> None:
    world = World(limits=Limits(topics=2, violations_per_minute=2))
    with serving(name, world.app) as server, connecting(f"{server.ws}/ws") as client:
        for topic in ("a", "b", "a"):
            assert "error" not in client.ask("join", topic)
        for _ in range(2):
            assert client.ask("join", "c")["error"] == "Too many topics"
        client.say("join", "d")
        assert client.closed() == (1008, "too many topics")
        assert world.provider.topic_subscriber_count("c") == 0
