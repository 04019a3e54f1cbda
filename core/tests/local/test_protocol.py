"""The frames between a process and its hub."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag.local.protocol import (
    MAX_PAYLOAD_BYTES,
    MESSAGE,
    SUBSCRIBE,
    Parser,
    ProtocolError,
    encode,
    encode_messages,
    encode_topics,
)

Frames = list[tuple[int, bytes, bytes]]


def parser_into(got: Frames) -> Parser:
    def on_frame(kind: int, topic: bytes, data: bytes, at: int, body_at: int, end: int) -> None:
        got.append((kind, topic, data[body_at:end]))
        assert data[at:end] == encode(kind, data[body_at:end], topic)  # what a hub passes on

    return Parser(on_frame)


FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=20), st.binary(max_size=40)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 30), min_size=1))
def test_frames_come_out_as_they_were_in_whatever_pieces_they_arrive(
    frames: Frames, sizes: list[int]
) -> None:
    data = b"".join(encode(kind, body, topic) for kind, topic, body in frames)
    got: Frames = []
    parser = parser_into(got)
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        parser.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert got == frames
    assert parser.held_bytes == 0


def test_many_messages_are_the_frames_of_each() -> None:
    messages = [("a", b"1"), ("b:c", b""), ("a", bytes(1000))]
    one_by_one = [encode(MESSAGE, payload, topic.encode()) for topic, payload in messages]
    assert b"".join(encode_messages(messages)) == b"".join(one_by_one)


def test_topics_are_one_a_line() -> None:
    got: Frames = []
    parser_into(got).feed(encode_topics(SUBSCRIBE, ["a", "b:c"]))
    assert got == [(SUBSCRIBE, b"", b"a\nb:c")]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!IBH", 1 << 31, MESSAGE, 1),  # larger than anything may be
        struct.pack("!IBH", 3, MESSAGE, 4) + b"abcd",  # a topic that is longer than what it is in
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_frame_is_not_waited_for(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parser_into([]).feed(data)


def test_the_largest_payload_fits() -> None:
    got: Frames = []
    payload = bytes(MAX_PAYLOAD_BYTES)
    parser_into(got).feed(encode(MESSAGE, payload, b"t" * 256))
    assert got == [(MESSAGE, b"t" * 256, payload)]
