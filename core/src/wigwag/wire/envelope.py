"""What a published message looks like on the broker.  Sans-I/O.

A MessagePack array, versioned by its first element; or OriJS's JSON object, which is always read, and written on
request, so that a fleet may hold nodes of both.  A message that reads as neither, or that is of another topic than the
channel it came on, is foreign: counted and skipped, never fatal.
"""

from __future__ import annotations

import binascii
import enum
from base64 import b64decode, b64encode
from typing import Final

import msgspec

from wigwag.broker import EnvelopeFormat, Position
from wigwag.wire.trace import TraceContext

VERSION: Final = 1


class Kind(enum.IntEnum):
    """What the payload is."""

    TEXT = 0
    BINARY = 1
    #: A node's message to its own channel, to hear whether it hears.
    PROBE = 2
    #: A node's word to nodes, in JSON: disconnect this socket, count that topic.
    COMMAND = 3


# By these names, since looking up a member of an enum costs as much as all else that is done with one.
TEXT: Final = Kind.TEXT
BINARY: Final = Kind.BINARY
PROBE: Final = Kind.PROBE
COMMAND: Final = Kind.COMMAND


class ForeignEnvelope(ValueError):
    """Not an envelope of ours, or not one of this channel; ``cause`` is one of a few short words."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message between nodes.

    A field is added at the end, with a default, and the version stays: who does not know it skips it, and where it
    is not sent there is the default.  So nodes of two releases hear each other while one replaces the other.
    """

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
    #: When it was published, by the publisher's clock: seconds since the epoch.
    sent_at: float | None = None
    #: The trace in which it was published.
    trace: TraceContext | None = None


class OrijsEnvelope(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """What OriJS's nodes say to each other; they skip fields that they do not know."""

    topic: str
    #: Text as it is, or binary in base64.
    message: str
    is_binary: bool
    #: Ours, as in :class:`Envelope`.
    exclude: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder(OrijsEnvelope).decode


def encode_envelope(
    kind: Kind,
    topic: str,
    payload: bytes,
    *,
    to: str | None = None,
    exclude: str | None = None,
    sent_at: float | None = None,
    trace: TraceContext | None = None,
    format: EnvelopeFormat = "compact",
) -> bytes:
    """A message as it goes to the broker.

    As ``json`` only what OriJS's nodes understand: no direct messages, probes and commands; no time and no trace.
    """
    if format == "json" and to is None and kind in (TEXT, BINARY):
        is_binary = kind is BINARY
        message = b64encode(payload).decode() if is_binary else payload.decode()
        return _encode_json(OrijsEnvelope(topic, message, is_binary, exclude))
    return _encode(Envelope(VERSION, kind, topic, payload, to, exclude, None, None, sent_at, trace))


def decode_envelope(topic: str, data: bytes) -> Envelope:
    """Read what came on the channel of ``topic``.

    Raises:
        ForeignEnvelope: it is not ours, of a version that this node doesn't read, or of another topic.
    """
    if data[:1] == b"{":  # no MessagePack array begins so
        return _decode_orijs(topic, data)
    try:
        envelope = _decode(data)
    except (ValueError, RecursionError):
        raise ForeignEnvelope("malformed") from None
    if envelope.version != VERSION:
        raise ForeignEnvelope("version")
    if envelope.topic != topic:
        raise ForeignEnvelope("topic")
    if envelope.kind is TEXT:
        try:
            envelope.payload.decode()
        except UnicodeDecodeError:
            raise ForeignEnvelope("utf-8") from None
    return envelope


def _decode_orijs(topic: str, data: bytes) -> Envelope:
    try:
        found = _decode_json(data)
        payload = b64decode(found.message, validate=True) if found.is_binary else found.message.encode()
    except (ValueError, RecursionError, binascii.Error):
        raise ForeignEnvelope("malformed") from None
    if found.topic != topic:
        raise ForeignEnvelope("topic")
    kind = BINARY if found.is_binary else TEXT
    return Envelope(VERSION, kind, topic, payload, exclude=found.exclude)
