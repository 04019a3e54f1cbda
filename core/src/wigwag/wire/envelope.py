"""What a published message looks like on the broker.  Sans-I/O.

A MessagePack array, versioned by its first element.  A message that does not read as one, or that is
of another topic than the channel it came on, is foreign: counted and skipped, never fatal.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from wigwag.broker import Position

VERSION: Final = 1


class Kind(enum.IntEnum):
    """What the payload is."""

    TEXT = 0
    BINARY = 1
    #: A node's message to its own channel, to hear whether it hears.
    PROBE = 2
    #: A node's word to nodes, in JSON: disconnect this socket, count that topic.
    COMMAND = 3


class ForeignEnvelope(ValueError):
    """Not an envelope of ours, or not one of this channel; ``cause`` is one of a few short words."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message between nodes."""

    version: int
    kind: Kind
    #: The channel's topic. Prefixes can make two topics one channel (``a`` + ``b:c``, ``a:b`` + ``c``).
    topic: str
    payload: bytes
    #: For a direct message: the one socket that is to have it.
    to: str | None = None
    #: "Everyone but this socket."
    exclude: str | None = None
    #: The publisher's id of the message, by which a repetition is known.
    id: str | None = None
    #: Where it stands in the topic's history.
    position: Position | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


def encode_envelope(
    kind: Kind,
    topic: str,
    payload: bytes,
    *,
    to: str | None = None,
    exclude: str | None = None,
) -> bytes:
    """A message as it goes to the broker."""
    return _encode(Envelope(VERSION, kind, topic, payload, to, exclude))


def decode_envelope(topic: str, data: bytes) -> Envelope:
    """Read what came on the channel of ``topic``.

    Raises:
        ForeignEnvelope: it is not ours, of a version that this node doesn't read, or of another topic.
    """
    try:
        envelope = _decode(data)
    except (ValueError, RecursionError):
        raise ForeignEnvelope("malformed") from None
    if envelope.version != VERSION:
        raise ForeignEnvelope("version")
    if envelope.topic != topic:
        raise ForeignEnvelope("topic")
    if envelope.kind is Kind.TEXT:
        try:
            envelope.payload.decode()
        except UnicodeDecodeError:
            raise ForeignEnvelope("utf-8") from None
    return envelope
