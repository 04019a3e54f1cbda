"""The protocol's server side, in whatever pieces it comes, and from a server that means no good."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag_nats.parser import MAX_LINE_BYTES, MAX_MESSAGE_BYTES, Parser, ProtocolError


class Heard:
    """What a parser said, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[bytes, bytes] | bytes] = []
        self.parser = Parser(lambda *message: self.events.append(message), self.events.append)


def heard(*chunks: bytes) -> list[tuple[bytes, bytes] | bytes]:
    """Feed a parser of its own."""
    into = Heard()
    for chunk in chunks:
        into.parser.feed(chunk)
    return into.events


def test_a_message_has_a_subject_and_a_payload() -> None:
    assert heard(b"MSG ws.t.a 7 5\r\nhello\r\n") == [(b"ws.t.a", b"hello")]


def test_a_reply_subject_is_skipped() -> None:
    assert heard(b"MSG ws.t.a 7 _INBOX.1 5\r\nhello\r\n") == [(b"ws.t.a", b"hello")]


def test_headers_are_skipped() -> None:
    headers = b"NATS/1.0\r\nA: b\r\n\r\n"
    line = b"HMSG ws.t.a 7 %d %d\r\n" % (len(headers), len(headers) + 5)
    assert heard(line + headers + b"hello\r\n") == [(b"ws.t.a", b"hello")]


def test_a_payload_may_look_like_the_protocol() -> None:
    payload = b"\r\nMSG x 1 5\r\n"
    assert heard(b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (len(payload), payload)) == [(b"a", payload), b"PING"]


def test_other_lines_are_handed_on_as_they_are() -> None:
    assert heard(b"PING\r\n+OK\r\n-ERR 'Stale Connection'\r\nINFO {}\r\n") == [
        b"PING",
        b"+OK",
        b"-ERR 'Stale Connection'",
        b"INFO {}",
    ]


subjects = st.text("abc./:-_", min_size=1, max_size=20).map(str.encode)
payloads = st.binary(max_size=200) | st.just(b"\r\n") | st.just(b"MSG a 1 3\r\n")


def _message(subject: bytes, payload: bytes, headers: bytes | None, reply: bytes) -> bytes:
    if headers is None:
        return b"MSG %b 1 %b%d\r\n%b\r\n" % (subject, reply, len(payload), payload)
    sizes = (len(headers), len(headers) + len(payload))
    return b"HMSG %b 1 %b%d %d\r\n%b%b\r\n" % (subject, reply, *sizes, headers, payload)


messages = st.builds(
    _message, subjects, payloads, st.none() | st.binary(max_size=30), st.sampled_from([b"", b"_INBOX.x "])
)
lines = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"INFO {}\r\n", b"-ERR 'no'\r\n"])
streams = st.lists(messages | lines, max_size=12).map(b"".join)


@given(streams, st.data())
def test_the_pieces_in_which_it_comes_make_no_difference(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert heard(*pieces) == heard(stream)


@given(streams)
def test_byte_by_byte_too_and_nothing_is_held_at_the_end(stream: bytes) -> None:
    into = Heard()
    for at in range(len(stream)):
        into.parser.feed(stream[at : at + 1])
    assert into.events == heard(stream)
    assert into.parser.held_bytes == 0


@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b"MSG ", b" 1 5\r\n", b"\r\n", b"HMSG a 1 2 1\r\n"]))
)
def test_bytes_of_any_kind_are_taken_or_refused_and_nothing_else(chunks: list[bytes]) -> None:
    into = Heard()
    with contextlib.suppress(ProtocolError):
        for chunk in chunks:
            into.parser.feed(chunk)
    assert into.parser.held_bytes <= sum(map(len, chunks))


@pytest.mark.parametrize(
    "stream",
    [
        b"MSG a 1\r\n",
        b"MSG a 1 b c 5\r\n",
        b"MSG a 1 five\r\n",
        b"MSG a 1 -5\r\n",
        b"MSG a 1 +5\r\n",
        b"MSG a 1 5_0\r\n",
        "MSG a 1 \u0665\r\n".encode(),
        b"MSG a 1 %d\r\n" % (MAX_MESSAGE_BYTES + 1),
        b"MSG a 1 99999999999999999999\r\n",
        b"MSG a 1 5\r\nhello!\r\n",
        b"HMSG a 1 5\r\n",
        b"HMSG a 1 6 5\r\nhello\r\n",
        b"HMSG a 1 x 5\r\nhello\r\n",
    ],
)
def test_what_is_not_the_protocol_is_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        heard(stream)


@pytest.mark.parametrize("chunk", [b"x", b"MSG a", b"INFO " + b"x" * 1000])
def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory(chunk: bytes) -> None:
    into, held = Heard(), []

    def feed_on() -> None:
        for _ in range(100):
            into.parser.feed(chunk * (4096 // len(chunk)))
            held.append(into.parser.held_bytes)

    with pytest.raises(ProtocolError, match=f"more than {MAX_LINE_BYTES} bytes"):
        feed_on()
    assert max(held) <= MAX_LINE_BYTES


def test_a_long_line_is_refused_however_it_comes() -> None:
    with pytest.raises(ProtocolError):
        heard(b"INFO " + b"x" * MAX_LINE_BYTES + b"\r\n")


def test_a_large_message_in_small_pieces_is_put_together_once() -> None:
    """Otherwise it costs the square of its size."""
    payload = bytes(range(256)) * 4096 * 16  # 16 MiB: 4000 pieces joined each time would take minutes
    stream = b"MSG a 1 %d\r\n%b\r\n" % (len(payload), payload)
    assert heard(*(stream[at : at + 4096] for at in range(0, len(stream), 4096))) == [(b"a", payload)]
