"""A client's side of RFC 6455, right or wrong, and what a parser makes of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from wigwag.frames.closing import ProtocolError
from wigwag.frames.encoding import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT
from wigwag.frames.parser import PART, Control, Parser

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "PING",
    "PONG",
    "RSV1",
    "TEXT",
    "Event",
    "client_frame",
    "compress",
    "cut",
    "header",
    "read",
    "read_chunks",
]

MASK = b"\x37\xfa\x21\x3d"  # of RFC 6455, section 5.7

#: What a parser gives; and the code that it fails with, which is the last.
Event = str | bytes | Control | int


def header(first: int, size: int, mask: bytes | None = MASK, form: int = 0) -> bytes:
    """A frame's head; ``form`` 126 or 127 takes a longer size than needs be."""
    form = max(form, 127 if size > 65_535 else 126 if size > 125 else 0)
    bit = 0 if mask is None else 0x80
    head = bytes((first, bit | (form or size)))
    if form:
        head += size.to_bytes(2 if form == 126 else 8, "big")
    return head + (mask or b"")


def client_frame(first: int, payload: bytes = b"", mask: bytes | None = MASK, form: int = 0) -> bytes:
    """One frame of these bits and opcode."""
    masked = payload if mask is None else bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return header(first, len(payload), mask, form) + masked


def compress(payload: bytes, window_bits: int = 15) -> bytes:
    """As RFC 7692, section 7.2.1, has it, with what any client has for it."""
    compressor = zlib.compressobj(wbits=-window_bits)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def cut(data: bytes, at: Iterable[int]) -> Iterator[bytes]:
    """The data in pieces."""
    begin = 0
    for end in sorted(at):
        if begin < end < len(data):
            yield data[begin:end]
            begin = end
    yield data[begin:]


def read_chunks(parser: Parser, chunks: Iterable[bytes]) -> list[Event]:
    """All that comes of it, up to a failure or a close frame."""
    events: list[Event] = []
    try:
        for chunk in chunks:
            parser.feed(chunk)
            while (event := parser.next()) is not None:
                if event is not PART:
                    events.append(event)
                if isinstance(event, Control) and event.opcode == CLOSE:
                    return events
    except ProtocolError as exc:
        events.append(exc.code)
    return events


def read(data: bytes, max_bytes: int = 1000, *, inflates: bool = False, each: int = 0) -> list[Event]:
    """What a new parser makes of it, in pieces of ``each`` bytes, or in one."""
    chunks = cut(data, range(each, len(data), each)) if each else [data]
    return read_chunks(Parser(max_bytes, inflates=inflates), chunks)
