"""What is compressed is read by each client, whatever else was compressed for others (RFC 7692)."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode
from websockets.headers import parse_extension
from websockets.streams import StreamReader

from frames.client import BINARY, FIN, RSV1, TEXT, client_frame, read
from thoroughness import examples
from wigwag.frames import Batch, Frame
from wigwag.frames.deflate import Deflater, negotiate

WINDOWS = range(9, 16)
#: Much of it repeats, at distances that only some windows reach.
REPEATS = b"".join(
    random.Random(1).randbytes(size) * 3 for size in (100, 400, 900, 3_000, 7_000, 15_000, 30_000)
)
WORDS = b"the quick brown fox jumps over the lazy dog; " * 20
NOISE = random.Random(2).randbytes(2_000)


class Peer:
    """A client of ``websockets``, as it is once it has read our answer to its offer."""

    def __init__(self, **offer: int | bool) -> None:
        factory = ClientPerMessageDeflateFactory(**offer)  # type: ignore[arg-type]
        parameters = factory.get_request_params()
        shown = [name if value is None else f"{name}={value}" for name, value in parameters]
        agreement = negotiate(["; ".join(["permessage-deflate", *shown])])
        assert agreement is not None
        self.window_bits = agreement.window_bits
        [(_, answer)] = parse_extension(agreement.header)
        self.deflate: PerMessageDeflate = factory.process_response_params(answer, [])

    def read(self, data: bytes) -> list[bytes]:
        """The messages of this data."""
        reader = StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        messages: list[bytes] = []
        while True:
            steps = PeerFrame.parse(reader.read_exact, mask=False, extensions=[self.deflate])
            try:
                next(steps)
            except StopIteration as stop:
                messages.append(bytes(stop.value.data))
            except EOFError:
                return messages

    def write(self, payload: bytes) -> bytes:
        """A message of the client's."""
        return PeerFrame(Opcode.BINARY, payload).serialize(mask=True, extensions=[self.deflate])


def inflated(payload: bytes | None, window_bits: int = 15) -> bytes:
    """By a decompressor that has seen nothing before."""
    assert payload is not None
    decompressor = zlib.decompressobj(wbits=-window_bits)
    return decompressor.decompress(payload + b"\0\0\xff\xff")


@pytest.mark.parametrize("bits", WINDOWS)
def test_a_client_reads_what_is_compressed_for_its_window(bits: int) -> None:
    peer = Peer(server_max_window_bits=bits)
    assert peer.window_bits == bits
    deflater = Deflater(100, bits)
    payloads = [REPEATS, WORDS, NOISE, b"small", WORDS, b"", REPEATS]
    data = Batch([Frame(payload, is_text=False) for payload in payloads]).deflated(deflater)
    assert peer.read(data) == payloads
    assert len(data) < sum(map(len, payloads)) - 2 * len(WORDS) * 0.8  # the window is too small for the rest


@pytest.mark.parametrize("bits", WINDOWS)
def test_what_a_client_compresses_in_its_window_is_read(bits: int) -> None:
    for peer in (
        Peer(client_max_window_bits=bits),
        Peer(client_max_window_bits=bits, client_no_context_takeover=True),
    ):
        for payload in (WORDS, NOISE, b"", REPEATS, WORDS):
            assert read(peer.write(payload), len(payload), inflates=True) == [payload]
            assert read(peer.write(payload), len(payload), inflates=True, each=999) == [payload]


@pytest.mark.parametrize("bits", WINDOWS)
def test_each_message_stands_alone(bits: int) -> None:
    """One compressor makes all of them, and who reads one has not seen the others."""
    deflater = Deflater(1, bits)
    for payload in (WORDS, WORDS, NOISE, NOISE, WORDS[5:], REPEATS, b"x", WORDS, REPEATS):
        data = deflater.deflate(payload)
        assert data is None or inflated(data, bits) == payload
        assert data is not None or payload not in (WORDS, WORDS[5:])


@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.integers(0, 90).map(lambda n: WORDS[n : n * 7])), max_size=8
    )
)
@settings(max_examples=examples(150))
def test_any_messages_stand_alone(payloads: list[bytes]) -> None:
    deflater = Deflater(0)
    for payload in payloads:
        data = deflater.deflate(payload)
        assert data is None or (inflated(data) == payload and len(data) < len(payload))


def test_what_is_small_goes_plain() -> None:
    deflater = Deflater(200)
    assert deflater.deflate(b"x" * 199) is None
    assert inflated(deflater.deflate(b"x" * 200)) == b"x" * 200
    frame = Frame(b"x" * 199, is_text=True)
    assert frame.deflated(deflater) is frame.encoded


def test_what_gets_no_smaller_goes_plain() -> None:
    frame = Frame(NOISE, is_text=False)
    assert frame.deflated(Deflater(0)) is frame.encoded
    for size in range(40):
        data = Deflater(0).deflate(b"ab" * size)
        assert data is None or len(data) < 2 * size


@pytest.mark.parametrize(("is_text", "opcode"), [(True, TEXT), (False, BINARY)])
def test_a_compressed_frame_says_so_with_its_first_reserved_bit(is_text: bool, opcode: int) -> None:
    data = Frame(WORDS, is_text=is_text).deflated(Deflater(0))
    assert data[0] == FIN | RSV1 | opcode
    assert len(data) < 100 == data[1] + 100 - len(data[2:])


class Counting(Deflater):
    """Counts what it is asked for."""

    calls = 0

    def deflate(self, payload: bytes) -> bytes | None:
        self.calls += 1
        return super().deflate(payload)


@pytest.mark.parametrize("payload", [WORDS, NOISE, b"small"], ids=["words", "noise", "small"])
def test_a_frame_is_compressed_once_for_each_deflater(payload: bytes) -> None:
    deflaters = [Counting(100, 15), Counting(100, 9)]
    frame = Frame(payload, is_text=False)
    for deflater in deflaters:
        assert frame.deflated(deflater) is frame.deflated(deflater)
        assert deflater.calls == 1
    assert Peer().read(frame.deflated(deflaters[0])) == [payload]
    assert Peer(server_max_window_bits=9).read(frame.deflated(deflaters[1])) == [payload]
    assert frame.encoded is frame.encoded


def test_a_batch_is_joined_once() -> None:
    frames = [Frame(payload, is_text=False) for payload in (WORDS, b"small", NOISE)]
    batch = Batch(frames)
    assert batch.encoded == b"".join(frame.encoded for frame in frames)
    assert batch.encoded is batch.encoded
    one, other = Counting(100), Counting(100, 9)
    assert batch.deflated(one) == b"".join(frame.deflated(one) for frame in frames)
    assert batch.deflated(one) is batch.deflated(one)
    assert batch.deflated(other) is not batch.deflated(one)
    assert one.calls == other.calls == 3
    assert Peer().read(batch.deflated(one)) == [frame.payload for frame in frames]


def test_a_batch_of_one_is_its_frame() -> None:
    frame = Frame(WORDS, is_text=True)
    deflater = Deflater(0)
    assert Batch([frame]).encoded is frame.encoded
    assert Batch([frame]).deflated(deflater) is frame.deflated(deflater)


def test_a_clients_own_frames_are_read_as_this_module_says_them() -> None:
    """The peer and the client of these tests say the same."""
    data = Peer().write(WORDS)
    assert data[0] == FIN | RSV1 | BINARY
    assert read(client_frame(FIN | RSV1 | TEXT, Deflater(0).deflate(WORDS) or b""), inflates=True) == [
        WORDS.decode()
    ]
