"""What breaks the protocol is refused, as early as it can be seen, with the code that RFC 6455 has for it."""

from __future__ import annotations

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
    header,
    read,
    read_chunks,
)
from wigwag.frames.closing import (
    NO_CODE,
    ProtocolError,
    check_close_code,
    encode_close,
    is_sendable,
    parse_close,
)
from wigwag.frames.parser import Control, Parser

RSV2, RSV3 = 0x20, 0x10
BEGUN = client_frame(BINARY, b"begun")
BEGUN_COMPRESSED = client_frame(BINARY | RSV1, compress(b"begun"))

# What went before, and the two bytes that are refused as soon as they are here.
WRONG_HEADS = {
    "unmasked text": (b"", (FIN | TEXT, 5)),
    "unmasked continuation": (BEGUN, (FIN | CONTINUATION, 5)),
    "unmasked ping": (b"", (FIN | PING, 0)),
    "unmasked close": (b"", (FIN | CLOSE, 2)),
    "unmasked, with a longer size": (b"", (FIN | BINARY, 127)),
    "RSV1 without compression": (b"", (FIN | TEXT | RSV1, 0x85)),
    "RSV2": (b"", (FIN | TEXT | RSV2, 0x85)),
    "RSV3": (b"", (FIN | BINARY | RSV3, 0x85)),
    "RSV2 on a continuation": (BEGUN, (FIN | CONTINUATION | RSV2, 0x85)),
    "RSV1 on a continuation": (BEGUN, (FIN | CONTINUATION | RSV1, 0x85)),
    "RSV1 on a ping": (b"", (FIN | PING | RSV1, 0x80)),
    "RSV3 on a close": (b"", (FIN | CLOSE | RSV3, 0x80)),
    **{f"opcode {code:x}": (b"", (FIN | code, 0x80)) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "an opcode inside a message": (BEGUN, (FIN | 3, 0x80)),
    "a continuation of nothing": (b"", (FIN | CONTINUATION, 0x85)),
    "an unfinished continuation of nothing": (b"", (CONTINUATION, 0x85)),
    "a continuation of what was whole": (client_frame(FIN | TEXT, b"whole"), (FIN | CONTINUATION, 0x85)),
    "a continuation of what was finished": (
        BEGUN + client_frame(FIN | CONTINUATION),
        (FIN | CONTINUATION, 0x85),
    ),
    "text inside a message": (BEGUN, (FIN | TEXT, 0x85)),
    "a fragment of another message inside one": (BEGUN, (BINARY, 0x85)),
    "a ping in fragments": (b"", (PING, 0x80)),
    "a pong in fragments": (BEGUN, (PONG, 0x81)),
    "a close in fragments": (b"", (CLOSE, 0x82)),
    "a ping of 126 bytes": (b"", (FIN | PING, 0x80 | 126)),
    "a pong with a size of 8 bytes": (b"", (FIN | PONG, 0x80 | 127)),
    "a close of 126 bytes": (b"", (FIN | CLOSE, 0x80 | 126)),
}


@pytest.mark.parametrize("name", WRONG_HEADS)
@pytest.mark.parametrize("each", [0, 1])
def test_a_head_that_no_frame_may_have_is_refused_at_its_second_byte(name: str, each: int) -> None:
    before, head = WRONG_HEADS[name]
    expected: list[Event] = [*read(before), 1002]
    assert read(before + bytes(head), each=each) == expected
    assert read(before + bytes(head) + b"\0" * 200, each=each) == expected
    assert read(before + bytes(head[:1])) == expected[:-1]


@pytest.mark.parametrize("bits", [RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV2 | RSV3])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
def test_compression_reserves_no_bit_but_its_own(bits: int, opcode: int) -> None:
    assert read(header(FIN | opcode | bits, 5)[:2], inflates=True) == [1002]


@pytest.mark.parametrize("before", [BEGUN, BEGUN_COMPRESSED, b""], ids=["plain", "compressed", "nothing"])
def test_the_bit_of_compression_stands_on_a_messages_first_frame_alone(before: bytes) -> None:
    """RFC 7692, section 6.1."""
    for first in (FIN | CONTINUATION | RSV1, FIN | PING | RSV1, FIN | CLOSE | RSV1):
        assert read(before + header(first, 5)[:2], inflates=True) == [1002]


# Sizes


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("limit", [0, 1, 125, 126, 1000, 65_535, 65_536])
def test_a_message_may_have_the_limit_and_not_a_byte_more(limit: int, opcode: int) -> None:
    whole: Event = "x" * limit if opcode == TEXT else b"x" * limit
    for first in (FIN | opcode, opcode):
        rest = b"" if first & FIN else client_frame(FIN)
        assert read(client_frame(first, b"x" * limit) + rest, limit) == [whole]
        assert read(header(first, limit + 1, None)[:1] + header(0, limit + 1)[1:-4], limit) == [1009]


@pytest.mark.parametrize("size", [101, 126, 65_536, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_size_is_refused_when_it_is_announced(size: int) -> None:
    """Its last byte is enough: neither the mask nor anything of the message has to come."""
    head = header(FIN | BINARY, size)[:-4]
    parser = Parser(100)
    parser.feed(head[:-1])
    assert parser.next() is None
    parser.feed(head[-1:])
    with pytest.raises(ProtocolError) as refused:
        parser.next()
    assert refused.value.code == 1009


@pytest.mark.parametrize("sizes", [(60, 41), (100, 1), (0, 101), (50, 0, 50, 1), (1,) * 101])
def test_the_limit_holds_for_all_fragments_together(sizes: tuple[int, ...]) -> None:
    frames = [client_frame(BINARY if i == 0 else 0, b"x" * size) for i, size in enumerate(sizes)]
    for last in (CONTINUATION, FIN | CONTINUATION):
        frames[-1] = header(last, sizes[-1])[:2]
        assert read(b"".join(frames), 100) == [1009]
        assert read(b"".join(frames), 101) == []


def test_control_frames_are_no_part_of_the_limit() -> None:
    ping = client_frame(FIN | PING, b"x" * 125)
    data = client_frame(BINARY, b"x" * 5) + ping + client_frame(FIN | CONTINUATION, b"x" * 5)
    assert read(data + ping, 10) == [Control(PING, b"x" * 125), b"x" * 10, Control(PING, b"x" * 125)]


# UTF-8

NOT_UTF8 = {
    "a byte that only continues": b"\x80",
    "written too long, 2": b"\xc0",
    "written too long, 3": b"\xe0\x9f",
    "written too long, 4": b"\xf0\x8f",
    "a surrogate": b"\xed\xa0\x80",  # Python's decoder waits for all three bytes, for the sake of "surrogatepass"
    "beyond U+10FFFF": b"\xf4\x90",
    "a byte that is never there": b"\xf5",
    "a second byte that does not continue": b"\xe2x",
    "a third": b"\xe2\x82x",
    "a fourth": b"\xf0\x9f\x98x",
}


@pytest.mark.parametrize("wrong", NOT_UTF8.values(), ids=NOT_UTF8)
@pytest.mark.parametrize("before", ["", "fine ", "€"])
def test_text_is_refused_at_its_first_wrong_byte(wrong: bytes, before: str) -> None:
    """Section 8.1; whether it stands in a frame of which most has not come, or in one of several."""
    data = before.encode() + wrong
    for first in (FIN | TEXT, TEXT):
        parser = Parser(1000)
        parser.feed(header(first, 500) + client_frame(0, data)[6:-1])
        assert parser.next() is None
        parser.feed(client_frame(0, data)[-1:])
        with pytest.raises(ProtocolError) as refused:
            parser.next()
        assert refused.value.code == 1007
    bytewise = [client_frame(TEXT)] + [client_frame(CONTINUATION, bytes([byte])) for byte in data]
    assert read(b"".join(bytewise[:-1])) == []
    assert read(b"".join(bytewise)) == [1007]
    assert read(client_frame(FIN | TEXT, data)) == [1007]


@pytest.mark.parametrize("text", ["é", "€", "\U0001f600", "\ud7ff", "\ue000", "\U0010ffff"])
def test_text_that_ends_in_the_middle_of_a_character_is_refused_at_its_end(text: str) -> None:
    data = f"fine {text}".encode()
    for cut_off in range(1, len(text.encode())):
        short = data[:-cut_off]
        assert read(client_frame(FIN | TEXT, short)) == [1007]
        assert read(client_frame(FIN | TEXT, short), each=1) == [1007]
        assert read(client_frame(TEXT, short)) == []
        assert read(client_frame(TEXT, short) + client_frame(FIN)) == [1007]
        rest = client_frame(FIN, data[-cut_off:])
        assert read(client_frame(TEXT, short) + rest) == [data.decode()]


def may_begin_text(pair: bytes) -> bool:
    """By the table of RFC 3629, section 4."""
    first, second = pair
    if first < 0x80:
        return second < 0x80 or 0xC2 <= second <= 0xF4
    low = {0xE0: 0xA0, 0xF0: 0x90}.get(first, 0x80)
    high = {0xF4: 0x8F}.get(first, 0xBF)  # not 9F after ED: see "a surrogate" above
    return 0xC2 <= first <= 0xF4 and low <= second <= high


def test_whatever_two_bytes_text_begins_with_it_is_refused_at_once_or_rightly_not() -> None:
    head = header(TEXT, 9, b"\0\0\0\0")
    for number in range(65_536):
        pair = number.to_bytes(2, "big")
        assert (read(head + pair) == []) is may_begin_text(pair), pair


def test_what_is_not_text_may_be_any_bytes() -> None:
    assert read(client_frame(FIN | BINARY, b"\xff\xfe")) == [b"\xff\xfe"]
    assert read(client_frame(FIN | PING, b"\xff\xfe")) == [Control(PING, b"\xff\xfe")]


def test_a_new_text_does_not_go_on_where_another_ended() -> None:
    euro = "€".encode()
    assert read(
        client_frame(TEXT, euro[:2]) + client_frame(FIN, euro[2:]) + client_frame(TEXT, euro[2:])
    ) == [
        "€",
        1007,
    ]


# Close frames


def test_a_close_frame_may_have_the_codes_that_the_rfc_and_the_registry_allow() -> None:
    """RFC 6455, section 7.4, and IANA's "WebSocket Close Code Number Registry"."""
    allowed = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(65_536) if is_sendable(code)} == allowed
    for code in allowed:
        assert parse_close(code.to_bytes(2, "big") + "tschüß".encode()) == (code, "tschüß")
        check_close_code(code)
    for code in {*range(3000), 5000, 65_535} - allowed:
        with pytest.raises(ProtocolError) as refused:
            parse_close(code.to_bytes(2, "big"))
        assert refused.value.code == 1002
        with pytest.raises(ValueError, match=f"{code} is no close code to send"):
            check_close_code(code)


def test_a_close_frame_may_be_empty_but_has_no_half_code() -> None:
    assert parse_close(b"") == (NO_CODE, "")
    assert encode_close(NO_CODE) == bytes((FIN | CLOSE, 0))
    with pytest.raises(ProtocolError) as refused:
        parse_close(b"\x03")
    assert refused.value.code == 1002


@pytest.mark.parametrize("reason", [b"\xff", b"cut \xe2\x82", b"\xed\xa0\x80"])
def test_a_close_frames_reason_is_text(reason: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_close(b"\x03\xe8" + reason)
    assert refused.value.code == 1007
    with pytest.raises(ProtocolError) as refused:
        parse_close(b"\x03\xed" + reason)
    assert refused.value.code == 1002, "the code is looked at first"


def test_a_close_frame_comes_as_it_was_sent() -> None:
    """Its payload is for who reads it; up to 125 bytes."""
    payload = b"\x03\xe8" + b"x" * 123
    assert read(client_frame(FIN | CLOSE, payload), each=1) == [Control(CLOSE, payload)]
    assert read_chunks(Parser(0), [client_frame(FIN | CLOSE, payload)]) == [Control(CLOSE, payload)]
