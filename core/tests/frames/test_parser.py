"""What a client sends right is read right, however it comes (RFC 6455, section 5)."""

from __future__ import annotations

import tracemalloc
from itertools import combinations

import pytest

from frames.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    Event,
    client_frame,
    compress,
    cut,
    header,
    read,
    read_chunks,
)
from wigwag.frames.parser import PART, Control, Parser

SIZES = [0, 1, 2, 3, 4, 125, 126, 127, 65_535, 65_536, 100_000]
MASKS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\x01\x02\x03", b"\x80\0\x7f\x01"]


def numbered(size: int) -> bytes:
    """Bytes that tell their place, with a period that no mask has."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def test_the_examples_of_the_rfc_are_read() -> None:
    """Section 5.7, those that a client sends; the fragmented one masked."""
    assert read(bytes.fromhex("818537fa213d7f9f4d5158")) == ["Hello"]
    assert read(bytes.fromhex("8a8537fa213d7f9f4d5158")) == [Control(PONG, b"Hello")]
    assert read(client_frame(TEXT, b"Hel") + client_frame(FIN | CONTINUATION, b"lo")) == ["Hello"]
    compressed = bytes.fromhex("f248cdc9c90700")  # RFC 7692, section 7.2.3.1
    assert read(client_frame(FIN | TEXT | RSV1, compressed), inflates=True) == ["Hello"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("each", [0, 1, 13, 4096])
def test_a_message_of_any_size_is_read_whole_or_in_pieces(size: int, each: int) -> None:
    if each == 1 and size > 1000:
        each = 101
    payload = numbered(size)
    assert read(client_frame(FIN | BINARY, payload), size, each=each) == [payload]
    text = "x" * size
    assert read(client_frame(FIN | TEXT, text.encode()), size, each=each) == [text]


@pytest.mark.parametrize("mask", MASKS, ids=bytes.hex)
@pytest.mark.parametrize("each", range(8))
def test_the_mask_goes_on_where_a_piece_ended(mask: bytes, each: int) -> None:
    """Of a message in one frame, in several, and of control frames."""
    data = (
        client_frame(FIN | BINARY, numbered(40), mask)
        + client_frame(BINARY, numbered(7), mask)
        + client_frame(FIN | PING, numbered(23), mask)
        + client_frame(FIN | CONTINUATION, numbered(9), mask[::-1])
    )
    expected = [numbered(40), Control(PING, numbered(23)), numbered(7) + numbered(9)]
    assert read(data, each=each) == expected


@pytest.mark.parametrize("form", [0, 126, 127])
@pytest.mark.parametrize("size", [0, 5, 126])
def test_a_size_may_be_written_longer_than_needs_be(form: int, size: int) -> None:
    """Section 5.2 has clients write it as short as can be; nothing is gained by refusing."""
    assert read(client_frame(FIN | BINARY, numbered(size), form=form)) == [numbered(size)]


def test_a_message_is_put_together_from_its_fragments() -> None:
    parts = ["eins, ", "", "zwei, ", "dr€i", ""]
    frames = [client_frame(TEXT, parts[0].encode())]
    frames += [client_frame(CONTINUATION, part.encode()) for part in parts[1:-1]]
    frames.append(client_frame(FIN | CONTINUATION))
    assert read(b"".join(frames)) == ["eins, zwei, dr€i"]
    assert read(b"".join(frames), each=1) == ["eins, zwei, dr€i"]


def test_a_message_of_empty_fragments_is_empty() -> None:
    fragments = client_frame(CONTINUATION) * 3 + client_frame(FIN | CONTINUATION)
    assert read(client_frame(TEXT) + fragments) == [""]
    assert read(client_frame(BINARY) + fragments) == [b""]
    assert read(client_frame(TEXT | RSV1, compress(b"")) + fragments, inflates=True) == [""]


def test_control_frames_between_fragments_come_at_once_and_change_nothing() -> None:
    parser = Parser(1000)
    parser.feed(client_frame(TEXT, b"one "))
    assert parser.next() is PART
    assert parser.next() is None
    for opcode in (PING, PONG):
        parser.feed(client_frame(FIN | opcode, b"\xff between"))
        assert parser.next() == Control(opcode, b"\xff between")
        assert parser.next() is None
    parser.feed(client_frame(CONTINUATION, b"two ") + client_frame(FIN | PING) + client_frame(FIN, b"three"))
    assert parser.next() is PART
    assert parser.next() == Control(PING, b"")
    assert parser.next() == "one two three"
    assert parser.next() is None


def test_each_fragment_is_told_so_that_who_reads_may_stop_in_the_middle_of_a_message() -> None:
    parser = Parser(1000)
    parser.feed(client_frame(TEXT) + client_frame(CONTINUATION) * 2 + client_frame(CONTINUATION, b"x") * 2)
    for _ in range(5):
        assert parser.next() is PART
    assert parser.next() is None
    parser.feed(client_frame(FIN | CONTINUATION))
    assert parser.next() == "xx"


def test_a_client_may_go_in_the_middle_of_a_message() -> None:
    """Control frames may be there (section 5.4), and a close frame is one."""
    assert read(client_frame(TEXT, b"I was about to") + client_frame(FIN | CLOSE)) == [Control(CLOSE, b"")]


def test_messages_that_come_together_are_given_one_by_one() -> None:
    parser = Parser(1000)
    sent: list[Event] = ["a", b"b", Control(PING, b"c"), "", b"", "d" * 200]
    parser.feed(
        client_frame(FIN | TEXT, b"a") + client_frame(FIN | BINARY, b"b") + client_frame(FIN | PING, b"c")
        + client_frame(FIN | TEXT) + client_frame(FIN | BINARY) + client_frame(FIN | TEXT, b"d" * 200)
    )  # fmt: skip
    for event in sent:
        assert parser.next() == event
    assert parser.next() is None
    assert parser.next() is None


def test_what_was_not_asked_for_yet_stays_ahead_of_what_comes() -> None:
    parser = Parser(1000)
    for number in range(5):
        parser.feed(client_frame(FIN | TEXT, b"%d" % (2 * number)))
        parser.feed(client_frame(FIN | TEXT, b"%d" % (2 * number + 1)))
        assert parser.next() == str(number)
    assert [parser.next() for _ in range(6)] == ["5", "6", "7", "8", "9", None]


#: One of each kind.
STREAM = (
    client_frame(FIN | TEXT, "ä€".encode())
    + client_frame(BINARY, b"\xff")
    + client_frame(FIN | PING, b"p")
    + client_frame(FIN | CONTINUATION, b"\xfe")
    + client_frame(FIN | TEXT | RSV1, compress(b"deflated"))
    + client_frame(FIN | CLOSE, b"\x03\xe8")
)
EVENTS: list[Event] = ["ä€", Control(PING, b"p"), b"\xff\xfe", "deflated", Control(CLOSE, b"\x03\xe8")]


def test_it_makes_no_difference_where_a_stream_is_cut() -> None:
    for at in combinations(range(1, len(STREAM)), 2):
        assert read_chunks(Parser(8, inflates=True), cut(STREAM, at)) == EVENTS, at
    for each in range(len(STREAM)):
        assert read(STREAM, 8, inflates=True, each=each) == EVENTS, each


def test_what_was_read_is_not_kept() -> None:
    parser = Parser(1_000_000)
    payload = b"x" * 100_000
    sent = [
        client_frame(FIN | BINARY, payload) * 2,
        client_frame(FIN | TEXT, payload) * 2,
        client_frame(FIN | PING, b"x" * 125) * 2,
        client_frame(BINARY, payload) + client_frame(FIN | CONTINUATION, payload),
    ]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        while sent:
            parser.feed(sent.pop())
            while parser.next() is not None:
                pass
            assert parser.unread == b""
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2_000


def test_the_last_message_that_came_leaves_nothing_behind() -> None:
    """At once: who reads need not ask again to know that this was all."""
    parser = Parser(1000)
    parser.feed(client_frame(FIN | BINARY, b"x" * 900) + client_frame(FIN | TEXT, b"y"))
    assert parser.next() == b"x" * 900
    assert parser.unread
    assert parser.next() == "y"
    assert parser.unread == b""


def test_of_a_read_that_is_used_up_but_for_its_end_the_end_alone_is_kept() -> None:
    parser = Parser(1000)
    begun = header(FIN | TEXT, 100)[:3]
    parser.feed(client_frame(FIN | BINARY, b"x" * 900) + begun)
    assert parser.next() == b"x" * 900
    assert parser.next() is None
    parser.feed(b"")
    assert parser.next() is None
    assert parser.unread == begun


def test_in_the_middle_of_a_message_its_bytes_are_kept_once() -> None:
    parser = Parser(1_000_000)
    parser.feed(header(FIN | BINARY, 60_000) + b"x" * 30_000)
    assert parser.next() is None
    assert parser.unread == b""


def test_a_new_limit_holds_for_the_next_frame() -> None:
    parser = Parser(1000)
    parser.feed(client_frame(FIN | BINARY, b"x" * 1000))
    assert parser.next() == b"x" * 1000
    parser.max_message_bytes = 10
    assert read_chunks(parser, [client_frame(FIN | BINARY, b"x" * 10) + header(FIN | BINARY, 11)]) == [
        b"x" * 10,
        1009,
    ]
