"""Any stream of frames, right or wrong in one of many ways, is to us what it is to ``websockets``.

A stream ends with what no frame may begin with, so that each side has to say something about the last one, too.
``WIGWAG_EXAMPLES=20000`` looks longer, and not always at the same streams.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError as NotTheProtocol
from websockets.frames import Close

from frames.client import BINARY, CLOSE, FIN, RSV1, TEXT, Event, client_frame, compress, cut, read_chunks
from frames.oracle import Oracle
from thoroughness import ALWAYS_THE_SAME, examples
from wigwag.frames.closing import ProtocolError, parse_close
from wigwag.frames.deflate import most_compressed_bytes
from wigwag.frames.parser import Control, Parser

LIMITS = (0, 1, 60, 125, 126, 300)
END = b"\0" * 700  # more than the largest limit: it also ends a frame that was cut off

TEXTS = ("", "a", "plain", "€", "\U0001f600 wide", "ä" * 60)
NOT_TEXTS = (
    b"\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"ok \xff",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
)
SIZES = (0, 1, 59, 60, 61, 124, 125, 126, 127, 299, 300, 301)
CLOSES = (
    b"",
    b"\x03",
    b"\x03\xe8",
    b"\x03\xe8bye",
    b"\x03\xe8\xff",
    b"\x03\xed",
    b"\x03\xf6",
    b"\x03\xf7",
    b"\0\0",
)


@dataclass(frozen=True)
class Wire:
    """A frame as it is sent; ``size`` is what it announces."""

    first: int
    payload: bytes
    is_masked: bool = True
    form: int = 0

    @property
    def is_control(self) -> bool:
        """Whether its opcode says so."""
        return self.first & 0x0F >= CLOSE

    def encode(self, mask: bytes) -> bytes:
        """Its bytes. websockets takes a control frame whose size is written longer than it can be (5.5); we don't."""
        form = 0 if self.is_control else self.form
        return client_frame(self.first, self.payload, mask if self.is_masked else None, form)


payloads = st.one_of(
    st.sampled_from(TEXTS).map(str.encode),
    st.sampled_from(NOT_TEXTS),
    st.sampled_from(SIZES).map(lambda size: b"x" * size),
    st.text(max_size=20).map(str.encode),
    st.binary(max_size=20),
)
# Mostly small ones, of which the limits are made up over several fragments.
controls = st.one_of(
    st.builds(Wire, st.sampled_from([FIN | 9, FIN | 10]), st.binary(max_size=125)),
    st.builds(Wire, st.sampled_from([FIN | 9, FIN | 10]), st.sampled_from([b"", b"p", b"x" * 125])),
)
closes = st.builds(Wire, st.just(FIN | CLOSE), st.one_of(st.sampled_from(CLOSES), st.binary(max_size=5)))
# All the bits, and all that can be wrong with a head: rather one thing than several.
any_frame = st.builds(
    Wire,
    st.one_of(st.sampled_from([FIN | TEXT, FIN | BINARY, FIN, TEXT, FIN | 8, FIN | 9]), st.integers(0, 255)),
    payloads,
    st.booleans(),
    st.sampled_from([0, 126, 127]),
)


@st.composite
def messages(draw: st.DrawFn) -> list[Wire]:
    """A message in one or more frames, with control frames between them; one frame of it may go astray."""
    payload = draw(payloads) + draw(payloads)
    first = draw(st.sampled_from([TEXT, TEXT, BINARY]))
    if draw(st.booleans()):
        first |= RSV1
        payload = compress(payload) if draw(st.integers(0, 7)) else payload
    parts = list(cut(payload, draw(st.lists(st.integers(0, len(payload)), max_size=3))))
    parts.insert(draw(st.integers(0, len(parts))), b"") if draw(st.booleans()) else None
    form = draw(st.sampled_from([0, 0, 126, 127]))
    frames: list[Wire] = []
    for index, part in enumerate(parts):
        if index:
            frames += draw(st.lists(controls, max_size=1))
        bits = (first if index == 0 else 0) | (FIN if index == len(parts) - 1 else 0)
        frames.append(Wire(bits, part, form=form))
    astray = draw(st.integers(0, 30))
    return frames[:astray] + frames[astray + 1 :]


streams = st.lists(
    st.one_of(messages(), messages(), messages(), controls.map(lambda frame: [frame]),
              closes.map(lambda frame: [frame]), any_frame.map(lambda frame: [frame])),
    min_size=1,
    max_size=5,
).map(lambda groups: [frame for group in groups for frame in group])  # fmt: skip


def in_the_gap(frames: list[Wire], max_bytes: int) -> bool:
    """A compressed message may take more bytes than the limit with us, where it can't be compressed; websockets
    refuses what takes more on the wire, though it be less in the end. Such are left out."""
    so_far = 0
    is_compressed = False
    for frame in frames:
        if frame.is_control:
            continue
        if frame.first & 0x0F:
            so_far, is_compressed = 0, bool(frame.first & RSV1)
        so_far += len(frame.payload)
        if is_compressed and max_bytes < so_far <= most_compressed_bytes(max_bytes):
            return True
    return False


def expected(oracle: Oracle, frames: list[Wire], max_bytes: int) -> tuple[list[Event], bool]:
    """What we have to say, by what the oracle said; and whether that is the end of it.

    The frame that it failed at is the one after those that it took.
    """
    events = oracle.events
    frame = frames[oracle.frames] if oracle.frames < len(frames) else None
    if frame is None or not frame.is_control:
        if events and events[-1] == 1009 and frame is not None and has_wrong_bits(frame, oracle):
            # It looks at a frame's bits, and at its place, when all of it has come, and at its size before: for us
            # a frame that may not be there at all is not too large.
            return [*events[:-1], 1002], True
        return events, True
    if not events or not isinstance(events[-1], int):
        return events, True
    if events[-1] == 1009:
        # It has one limit for the message and for a control frame inside it: that one is not part of it.
        is_right = frame.first & 0x70 == 0 and frame.first & FIN and len(frame.payload) <= 125
        return (events[:-1], False) if is_right else ([*events[:-1], 1002], True)
    if events[-1] == 1007 and not is_close_code(frame.payload[:2]):
        # Both code and reason are wrong: it reads the reason first.
        return [*events[:-1], 1002], True
    if frame.first == FIN | CLOSE and oracle.is_open and len(frame.payload) <= 125 and frame.is_masked:
        # A client may go in the middle of a message: section 5.4 lets control frames be there, and 5.5.1 says that
        # nothing follows. It refuses that.
        return [*events[:-1], Control(CLOSE, frame.payload)], True
    return events, True


def has_wrong_bits(frame: Wire, oracle: Oracle) -> bool:
    opcode, reserved = frame.first & 0x0F, frame.first & 0x70
    if (opcode == 0) is not oracle.is_open:
        return True
    return bool(reserved) and not (reserved == RSV1 and opcode and oracle.protocol.extensions)


def is_close_code(code: bytes) -> bool:
    try:
        Close.parse(code)
    except NotTheProtocol:
        return False
    return True


def with_close_read(events: list[Event]) -> list[Event]:
    """The oracle reads a close frame's payload itself; with us ``parse_close`` does."""
    if events and isinstance(events[-1], Control) and events[-1].opcode == CLOSE:
        try:
            parse_close(events[-1].payload)
        except ProtocolError as exc:
            return [*events[:-1], exc.code]
    return events


def compare(
    frames: list[Wire], max_bytes: int, inflates: bool, mask: bytes, cuts: list[int], short: int
) -> None:
    data = b"".join(frame.encode(mask) for frame in frames)
    if frames and not frames[-1].is_control:
        data = data[: len(data) - min(short, len(frames[-1].payload))]
    chunks = list(cut(data + END, cuts))
    ours = with_close_read(read_chunks(Parser(max_bytes, inflates=inflates), chunks))
    oracle = Oracle(max_bytes, inflates=inflates)
    oracle.read_chunks(chunks)
    theirs, is_all = expected(oracle, frames, max_bytes)
    theirs = with_close_read(theirs)
    assert (ours if is_all else ours[: len(theirs)]) == theirs


@settings(
    max_examples=examples(500),
    derandomize=ALWAYS_THE_SAME,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate] + ([] if "WIGWAG_NO_SHRINK" in os.environ else [Phase.shrink]),
)
@given(
    streams,
    st.sampled_from(LIMITS),
    st.booleans(),
    st.binary(min_size=4, max_size=4),
    st.lists(st.integers(1, 300), max_size=12),
    st.sampled_from([0, 0, 1, 3, 50]),
)
def test_a_stream_is_understood_as_websockets_does(
    frames: list[Wire], max_bytes: int, inflates: bool, mask: bytes, cuts: list[int], short: int
) -> None:
    assume(not (inflates and in_the_gap(frames, max_bytes)))
    compare(frames, max_bytes, inflates, mask, cuts, short)
