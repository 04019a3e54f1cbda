"""Frames as RFC 6455 wants them; the ``websockets`` library is the oracle."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets import frames as oracle
from websockets.streams import StreamReader

from wigwag import frames
from wigwag.frames import Frame

T = TypeVar("T")


def parse(data: bytes) -> oracle.Frame:
    """What a client understands; the whole of it is one frame."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frame = returned(oracle.Frame.parse(reader.read_exact, mask=False))
    assert returned(reader.at_eof()) is True
    return frame


def returned(steps: Generator[None, None, T]) -> T:
    """What a generator returns that has all that it waits for."""
    with pytest.raises(StopIteration) as stop:
        next(steps)
    value: T = stop.value.value
    return value


SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
def test_a_frame_is_what_a_client_understands(size: int, is_text: bool) -> None:
    payload = b"x" * size
    parsed = parse(Frame(payload, is_text=is_text).encoded)
    assert parsed.opcode is (oracle.Opcode.TEXT if is_text else oracle.Opcode.BINARY)
    assert parsed.data == payload
    assert (parsed.fin, parsed.rsv1, parsed.rsv2, parsed.rsv3) == (True, False, False, False)


@pytest.mark.parametrize(
    ("size", "header"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10), (200_000, 10)]
)
def test_the_length_takes_as_few_bytes_as_it_can(size: int, header: int) -> None:
    """RFC 6455, section 5.2, requires it."""
    assert len(Frame(b"x" * size, is_text=False).encoded) == header + size


@given(st.one_of(st.text(), st.binary()))
def test_any_message_is_read_back(message: str | bytes) -> None:
    frame = Frame.of(message, "topic")
    parsed = parse(frame.encoded)
    assert bytes(parsed.data) == (message.encode() if isinstance(message, str) else message)
    assert frame.is_text is isinstance(message, str)
    assert frame.topic == "topic"
    if frame.is_text:
        assert frame.text == message
        assert Frame(frame.payload, is_text=True).text == message


def test_a_frame_is_encoded_and_decoded_once() -> None:
    frame = Frame(b"x" * 1000, is_text=True)
    assert frame.encoded is frame.encoded
    assert frame.text is frame.text


def test_a_frame_says_what_it_is_and_nothing_of_what_it_holds() -> None:
    assert repr(Frame(b"secret", is_text=True, topic="room")) == "<Frame text 6 bytes topic='room'>"
    assert repr(Frame.of(b"secret")) == "<Frame binary 6 bytes topic=None>"


@given(st.sampled_from([1000, 1008, 1012, 4999]), st.text(max_size=200))
def test_a_close_reason_is_cut_between_characters(code: int, reason: str) -> None:
    parsed = parse(frames.encode_close(code, reason))
    assert parsed.opcode is oracle.Opcode.CLOSE
    assert len(parsed.data) <= 125
    close = oracle.Close.parse(parsed.data)
    assert close.code == code
    assert reason.startswith(close.reason)
    left_out = len(reason.encode()) - len(close.reason.encode())
    assert left_out == 0 or len(close.reason.encode()) > 119  # no more than needs be


def test_a_reason_that_is_no_text_is_no_error() -> None:
    assert frames.fit_reason("a\ud800b") == "a?b"
    assert frames.fit_reason("€" * 50) == "€" * 41
