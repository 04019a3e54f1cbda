"""The parts of the client that do no I/O: backoff, buffer, frames."""

from __future__ import annotations

import json

import anyio
import pytest

from wigwag.client import Event, Raw, Reply, SendBufferFull, SocketClient
from wigwag.client.backoff import LASTED_S, Backoff, backoff_s
from wigwag.client.messages import encode, parse, received, type_and_data
from wigwag.client.outgoing import Message, SendBuffer
from wigwag.errors import InvalidMessage


@pytest.mark.parametrize(
    ("attempt", "least_s", "most_s"),
    [(0, 0.5, 1.0), (1, 0.5, 1.5), (3, 0.5, 4.5), (5, 0.5, 16.5), (6, 0.5, 20), (5000, 0.5, 20)],
)
def test_the_range_of_the_backoff(attempt: int, least_s: float, most_s: float) -> None:
    assert backoff_s(attempt, 0.5, 20, lambda: 0.0) == least_s
    assert backoff_s(attempt, 0.5, 20, lambda: 1.0) == most_s


def test_late_attempts_are_spread_over_the_whole_range() -> None:
    assert backoff_s(50, 0.5, 20.5, lambda: 0.5) == 10.5


def test_a_delay_is_never_over_the_cap() -> None:
    assert backoff_s(0, 5, 2, lambda: 1.0) == 2


def test_only_a_connection_that_lasted_resets_the_backoff() -> None:
    backoff = Backoff(1, 100, None, lambda: 1.0)
    assert [backoff.next_s(), backoff.next_s()] == [2, 3]
    backoff.ended(LASTED_S - 0.1)
    assert backoff.next_s() == 5
    backoff.ended(LASTED_S)
    assert backoff.next_s() == 2


def test_attempts_are_limited() -> None:
    backoff = Backoff(1, 100, 2, lambda: 0.0)
    assert [backoff.next_s() for _ in range(3)] == [1, 1, None]


def test_the_buffer_keeps_the_order_and_counts_bytes_as_utf8() -> None:
    buffer = SendBuffer(10, 100)
    for content in ("a", "ü", b"\x00\x01"):
        buffer.append(Message(content))
    assert buffer.size_bytes == 5
    first = buffer.pop()
    buffer.put_back(first)
    assert [buffer.pop().content for _ in range(3)] == ["a", "ü", b"\x00\x01"]
    assert buffer.size_bytes == 0


@pytest.mark.parametrize("buffer", [SendBuffer(2, 100), SendBuffer(100, 5)])
def test_what_does_not_fit_the_buffer_is_refused_and_changes_nothing(buffer: SendBuffer) -> None:
    buffer.append(Message("ab"))
    buffer.append(Message("cd"))
    with pytest.raises(SendBufferFull, match="send_buffer_messages"):
        buffer.append(Message("ef"))
    assert [buffer.pop().content, buffer.pop().content, len(buffer)] == ["ab", "cd", 0]


def test_a_discarded_message_makes_room() -> None:
    buffer = SendBuffer(1, 100)
    message = Message("ab")
    buffer.append(message)
    buffer.discard(message)
    buffer.discard(message)
    assert buffer.size_bytes == 0
    buffer.append(Message("cd"))


@pytest.mark.parametrize(
    ("content", "item"),
    [
        ('{"name":"a","data":{"x":1},"timestamp":7}', Event("a", {"x": 1}, 7)),
        ('{"type":"a","data":1,"correlationId":"c"}', Reply("a", 1, correlation_id="c")),
        (
            '{"type":"a","error":"e","details":[{"path":"$","message":"m"}]}',
            Reply("a", None, "e", [{"path": "$", "message": "m"}]),
        ),
        ("hello", Raw("hello")),
        ("{}", Raw("{}")),
        ("[1]", Raw("[1]")),
        ('{"name":7}', Raw('{"name":7}')),
        ("[" * 100_000, Raw("[" * 100_000)),
        (b'{"name":"a"}', Raw(b'{"name":"a"}')),
    ],
)
def test_what_the_server_says(content: str | bytes, item: object) -> None:
    assert received(parse(content)) == item


def test_a_message_is_written_as_the_protocol_says() -> None:
    assert json.loads(encode("a")) == {"type": "a"}
    assert json.loads(encode("a", b'{"x":1}', "c")) == {
        "type": "a",
        "data": {"x": 1},
        "correlationId": "c",
    }


@pytest.mark.parametrize("data", [object(), {"x": float("nan")}])
def test_data_that_is_no_json_is_refused(data: object) -> None:
    with pytest.raises(InvalidMessage, match="JSON"):
        type_and_data("a", data)


def test_it_says_that_it_runs_on_asyncio_only() -> None:
    with pytest.raises(RuntimeError, match="asyncio only"):
        anyio.run(SocketClient("ws://127.0.0.1:1").connect, backend="trio")
