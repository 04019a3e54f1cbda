"""What a published message looks like on the broker, and what is not one of ours."""

from __future__ import annotations

import base64
import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag.wire.envelope import VERSION, ForeignEnvelope, Kind, decode_envelope, encode_envelope
from wigwag.wire.trace import TraceContext

TOPIC = st.text(min_size=1, max_size=20, alphabet="abc:._-")


@given(st.text(), TOPIC, st.none() | st.text(), st.none() | st.text())
def test_text_is_read_back(text: str, topic: str, to: str | None, exclude: str | None) -> None:
    envelope = decode_envelope(
        topic, encode_envelope(Kind.TEXT, topic, text.encode(), to=to, exclude=exclude)
    )
    assert envelope.payload.decode() == text
    assert (envelope.kind, envelope.topic, envelope.to, envelope.exclude) == (Kind.TEXT, topic, to, exclude)
    assert (envelope.version, envelope.id, envelope.position) == (VERSION, None, None)


@given(st.binary(), TOPIC, st.sampled_from([Kind.BINARY, Kind.PROBE, Kind.COMMAND]))
def test_bytes_are_read_back(payload: bytes, topic: str, kind: Kind) -> None:
    envelope = decode_envelope(topic, encode_envelope(kind, topic, payload))
    assert (envelope.payload, envelope.kind) == (payload, kind)


@given(st.binary())
def test_whatever_comes_is_read_or_foreign(data: bytes) -> None:
    cause = None
    try:
        decode_envelope("room", data)
    except ForeignEnvelope as exc:
        cause = exc.cause
    assert cause in (None, "malformed", "version", "topic", "utf-8")


@given(st.binary(), st.integers(0, 60), st.integers(0, 255))
def test_a_flipped_byte_is_read_or_foreign(payload: bytes, place: int, value: int) -> None:
    data = bytearray(encode_envelope(Kind.TEXT, "room", payload))
    data[place % len(data)] = value
    with contextlib.suppress(ForeignEnvelope):
        decode_envelope("room", bytes(data))


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "malformed"),
        (b"\x91" * 100_000, "malformed"),
        (msgspec.msgpack.encode([1, 7, "room", b""]), "malformed"),
        (msgspec.msgpack.encode([1, 0, "room", "text"]), "malformed"),
        (msgspec.msgpack.encode([1, 0, "room", b"", 7]), "malformed"),
        (b"\x94\x01\x00\xa4room\xc6\xff\xff\xff\xff", "malformed"),  # says that 4 GiB follow
        (encode_envelope(Kind.TEXT, "room", b"x") + b"more", "malformed"),
        (msgspec.msgpack.encode([2, 0, "room", b""]), "version"),
        (msgspec.msgpack.encode([0, 0, "room", b""]), "version"),
        (encode_envelope(Kind.TEXT, "b:c", b"x"), "topic"),
        (encode_envelope(Kind.TEXT, "room", b"\xff"), "utf-8"),
    ],
)
def test_what_is_foreign_and_why(data: bytes, cause: str) -> None:
    with pytest.raises(ForeignEnvelope) as got:
        decode_envelope("room", data)
    assert got.value.cause == cause


def test_it_is_compact() -> None:
    assert len(encode_envelope(Kind.TEXT, "room", b"x" * 100, sent_at=1_800_000_000.123456)) < 100 + 30


class OfRelease01(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The envelope of wigwag 0.1.0, as its nodes read it."""

    version: int
    kind: Kind
    topic: str
    payload: bytes
    to: str | None = None
    exclude: str | None = None
    id: str | None = None
    position: tuple[str, int] | None = None


def test_nodes_of_the_last_release_and_of_this_one_read_each_other() -> None:
    trace = TraceContext(f"00-{'1' * 32}-{'2' * 16}-01", "a=b")
    now = encode_envelope(Kind.TEXT, "room", b"x", exclude="s", sent_at=7, trace=trace)
    read = msgspec.msgpack.decode(now, type=OfRelease01)
    assert (read.topic, read.payload, read.exclude) == ("room", b"x", "s")
    then = msgspec.msgpack.encode(OfRelease01(1, Kind.TEXT, "room", b"x", exclude="s"))
    envelope = decode_envelope("room", then)
    assert (envelope.payload, envelope.exclude, envelope.sent_at, envelope.trace) == (b"x", "s", None, None)
    assert decode_envelope("room", now).trace == trace


def test_there_is_room_for_what_comes_later() -> None:
    data = msgspec.msgpack.encode([1, 1, "room", b"x", None, None, "id", ["epoch", 7], 5, ["00-…"], "more"])
    envelope = decode_envelope("room", data)
    assert envelope.id == "id"
    assert envelope.position is not None
    assert (envelope.position.epoch, envelope.position.offset) == ("epoch", 7)
    assert (envelope.sent_at, envelope.trace) == (5, TraceContext("00-…"))


# OriJS's


@given(st.text(), TOPIC, st.none() | st.text())
def test_text_is_written_as_orijs_does(text: str, topic: str, exclude: str | None) -> None:
    data = encode_envelope(Kind.TEXT, topic, text.encode(), exclude=exclude, format="json")
    fields = json.loads(data)
    assert fields == {"topic": topic, "message": text, "isBinary": False} | (
        {} if exclude is None else {"exclude": exclude}
    )
    envelope = decode_envelope(topic, data)
    assert (envelope.kind, envelope.payload, envelope.exclude) == (Kind.TEXT, text.encode(), exclude)


@given(st.binary(), TOPIC)
def test_binary_is_written_as_orijs_does(payload: bytes, topic: str) -> None:
    data = encode_envelope(Kind.BINARY, topic, payload, format="json")
    message = base64.b64encode(payload).decode()
    assert json.loads(data) == {"topic": topic, "message": message, "isBinary": True}
    envelope = decode_envelope(topic, data)
    assert (envelope.kind, envelope.payload) == (Kind.BINARY, payload)


@pytest.mark.parametrize(
    ("kind", "to"),
    [(Kind.PROBE, None), (Kind.COMMAND, None), (Kind.TEXT, "a-socket"), (Kind.BINARY, "a-socket")],
)
def test_what_only_our_nodes_understand_is_written_for_them(kind: Kind, to: str | None) -> None:
    data = encode_envelope(kind, "room", b"x", to=to, format="json")
    assert data == encode_envelope(kind, "room", b"x", to=to)


def test_what_orijs_may_add_is_skipped() -> None:
    data = b'{"topic":"room","message":"x","isBinary":false,"traceId":"7"}'
    assert decode_envelope("room", data).payload == b"x"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"{", "malformed"),
        (b"{}", "malformed"),
        (b'{"topic":"room","message":1,"isBinary":false}', "malformed"),
        (b'{"topic":"room","message":"x"}', "malformed"),
        (b'{"topic":"room","message":"x","isBinary":1}', "malformed"),
        (b'{"topic":"room","message":"%%","isBinary":true}', "malformed"),
        ('{"topic":"room","message":"ä","isBinary":true}'.encode(), "malformed"),
        (b'{"topic":"room","message":"\\ud800","isBinary":false}', "malformed"),
        (b'{"topic":"room","message":"\xff","isBinary":false}', "malformed"),
        (b'{"topic":"room","message":"x","isBinary":false,"exclude":[]}', "malformed"),
        (b'{"topic":"b:room","message":"x","isBinary":false}', "topic"),
        (b'{"a":' * 100_000, "malformed"),
    ],
)
def test_what_is_no_envelope_of_orijs_is_foreign(data: bytes, cause: str) -> None:
    with pytest.raises(ForeignEnvelope) as caught:
        decode_envelope("room", data)
    assert caught.value.cause == cause


@given(st.binary())
def test_whatever_begins_as_json_is_read_or_foreign(data: bytes) -> None:
    with contextlib.suppress(ForeignEnvelope):
        decode_envelope("room", b"{" + data)
