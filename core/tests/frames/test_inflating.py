"""What a client sent compressed is read, and no more of it is ever held than a message may have (RFC 7692)."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frames.client import (
    BINARY,
    CONTINUATION,
    FIN,
    PING,
    RSV1,
    TEXT,
    client_frame,
    compress,
    cut,
    header,
    read,
)
from thoroughness import examples
from wigwag.frames.closing import ProtocolError
from wigwag.frames.deflate import inflate, most_compressed_bytes
from wigwag.frames.parser import Control

COMPRESSED = FIN | RSV1


def code_of(call: Callable[[], object]) -> int:
    with pytest.raises(ProtocolError) as refused:
        call()
    return refused.value.code


# RFC 7692, sections 7.2.3.1 to 7.2.3.5
EXAMPLES = {
    "one block": "f248cdc9c90700",
    "without compression": "000500faff48656c6c6f00",
    "the last block marked": "f348cdc9c9070000",
    "two blocks": "f248050000 00ffffcac9c90700",
}


@pytest.mark.parametrize("data", EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_of_the_rfc_are_read(data: str) -> None:
    payload = bytes.fromhex(data)
    assert inflate(payload, 5) == b"Hello"
    assert read(client_frame(COMPRESSED | TEXT, payload), inflates=True) == ["Hello"]


def test_a_compressed_message_may_come_in_fragments_with_control_frames_between() -> None:
    """Its bit stands on the first; and how it is cut has nothing to do with how it was compressed."""
    text = "compressed, then cut: äöü€ " * 10
    parts = list(cut(compress(text.encode()), range(1, 40, 7)))
    frames = [client_frame(RSV1 | TEXT, parts[0])]
    for part in parts[1:]:
        frames += [client_frame(CONTINUATION, part), client_frame(FIN | PING, b"p")]
    data = b"".join(frames) + client_frame(FIN | CONTINUATION)
    pings = [Control(PING, b"p")] * (len(parts) - 1)
    assert read(data, inflates=True) == [*pings, text]
    assert read(data, inflates=True, each=1) == [*pings, text]


def test_who_agreed_to_compression_may_send_plain_messages() -> None:
    data = client_frame(FIN | TEXT, b"plain") + client_frame(COMPRESSED | TEXT, compress(b"not"))
    assert read(data * 2, inflates=True) == ["plain", "not"] * 2


def test_a_clients_messages_stand_alone() -> None:
    """Its compressor may not look back (client_no_context_takeover), which is ours to say in the handshake."""
    compressor = zlib.compressobj(wbits=-15)
    first = compressor.compress(b"twice the same" * 9) + compressor.flush(zlib.Z_SYNC_FLUSH)
    second = compressor.compress(b"twice the same" * 9) + compressor.flush(zlib.Z_SYNC_FLUSH)
    data = client_frame(COMPRESSED | TEXT, first[:-4]) + client_frame(COMPRESSED | TEXT, second[:-4])
    assert read(data, inflates=True) == ["twice the same" * 9, 1002]


@pytest.mark.parametrize("size", [0, 1, 100, 65_536])
def test_the_limit_is_of_what_a_message_has_when_it_is_read(size: int) -> None:
    data = compress(b"x" * size)
    assert inflate(data, size) == b"x" * size
    if size:
        assert code_of(lambda: inflate(data, size - 1)) == 1009
    assert read(client_frame(COMPRESSED | BINARY, data), size, inflates=True) == [b"x" * size]
    over = client_frame(COMPRESSED | BINARY, compress(b"x" * (size + 1)))
    assert read(over, size, inflates=True) == [1009]


def test_what_zlib_holds_back_at_the_limit_is_counted() -> None:
    """127 bytes, the last of which zlib has not given out when its input is used up."""
    data = bytes.fromhex("2ac849ccccfb32a16001c7")
    assert len(inflate(data, 127)) == 127
    assert code_of(lambda: inflate(data, 126)) == 1009


@pytest.mark.parametrize("limit", [1_000, 65_536])
def test_a_bomb_is_cut_at_the_limit(limit: int) -> None:
    bomb = compress(b"\0" * 20_000_000)
    frame = client_frame(COMPRESSED | BINARY, bomb)
    tracemalloc.start()
    try:
        assert code_of(lambda: inflate(bomb, limit)) == 1009
        _, peak_of_call = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert read(frame, limit, inflates=True, each=4096) == [1009]
        _, peak_of_parser = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for peak in (peak_of_call, peak_of_parser):
        assert peak < 3 * len(bomb) + 5 * limit + 100_000, "of 20 MB"


def test_a_compressed_size_is_refused_when_it_is_announced() -> None:
    """A message may be a little larger compressed, where it can't be; more is too much before it has come."""
    most = most_compressed_bytes(1000)
    assert 1000 < most < 1200
    for first in (COMPRESSED | BINARY, RSV1 | BINARY):
        assert read(header(first, most)[:4], 1000, inflates=True) == []
        assert read(header(first, most + 1)[:4], 1000, inflates=True) == [1009]
    begun = client_frame(RSV1 | BINARY, b"x" * (most - 100))
    assert read(begun + header(CONTINUATION, 100)[:2], 1000, inflates=True) == []
    assert read(begun + header(CONTINUATION, 101)[:2], 1000, inflates=True) == [1009]


@pytest.mark.parametrize("size", [0, 1, 125, 1_000, 65_536, 1_000_000])
@pytest.mark.parametrize("window_bits", [12, 15])
@pytest.mark.parametrize("mem_level", [5, 8, 9])  # websockets' own default, zlib's, and the most
@pytest.mark.parametrize("level", [0, 1, 6])
def test_what_can_not_be_compressed_has_room(size: int, window_bits: int, mem_level: int, level: int) -> None:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits, mem_level)
    data = compressor.compress(random.Random(size).randbytes(size)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(data) - 4 <= most_compressed_bytes(size)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff", b"\x07", b"garbage!", compress(b"abc" * 99)[1:], b"\0\x05\0\xfa\xfeHello"],
    ids=repr,
)
def test_what_is_not_compressed_is_refused(garbage: bytes) -> None:
    assert code_of(lambda: inflate(garbage, 1000)) == 1002
    assert read(client_frame(COMPRESSED | TEXT, garbage), inflates=True) == [1002]


def test_text_that_was_compressed_is_utf8_too() -> None:
    for wrong in (b"\xff", b"fine \xe2\x82", b"\xed\xa0\x80"):
        assert read(client_frame(COMPRESSED | TEXT, compress(wrong)), inflates=True) == [1007]
        assert read(client_frame(COMPRESSED | BINARY, compress(wrong)), inflates=True) == [wrong]


@given(st.one_of(st.binary(max_size=60), st.tuples(st.binary(max_size=9), st.text().map(str.encode).map(compress))
       .map(b"".join)), st.integers(0, 100))  # fmt: skip
@settings(max_examples=examples(500))
def test_whatever_comes_is_a_message_within_the_limit_or_refused(data: bytes, limit: int) -> None:
    code, message = 0, b""
    try:
        message = inflate(data, limit)
    except ProtocolError as exc:
        code = exc.code
    assert code in (0, 1002, 1009)
    assert len(message) <= limit
