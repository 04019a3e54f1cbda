"""Frames between a client and the server, in JSON.  Sans-I/O.

``docs/wire-protocol.md`` describes them for authors of clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

PING: Final = "2"
PONG: Final = "3"

INVALID_MESSAGE: Final = "Invalid message"
UNKNOWN_TYPE: Final = "Unknown message type"
VALIDATION_FAILED: Final = "Validation failed"
FORBIDDEN: Final = "Forbidden"
INTERNAL_ERROR: Final = "Internal error"
#: It could not be done since the broker could not be reached in time; not the application's fault.
UNAVAILABLE: Final = "Unavailable"
TOO_MANY_MESSAGES: Final = "Too many messages"
TOO_MANY_TOPICS: Final = "Too many topics"
TOO_MANY_JOINS: Final = "Too many joins"

#: The reason of a close with 1008 for a token's age alone, upon which a client may try once more with a fresh one.
TOKEN_EXPIRED: Final = "token expired"

#: Close codes (RFC 6455, section 7.4, and the IANA registry for 1012 and 1013).
NORMAL: Final = 1000
REFUSED: Final = 1008
TOO_BIG: Final = 1009
GOING_AWAY: Final = 1012
OVERLOADED: Final = 1013

Details = Sequence[dict[str, Any]]
CorrelationId = str | int


class MalformedMessage(ValueError):
    """Not a message.  ``type`` and ``correlation_id`` hold what could be read all the same."""

    def __init__(self, why: str, type_: str | None, correlation_id: CorrelationId | None) -> None:
        super().__init__(why)
        self.why = why
        self.type = type_
        self.correlation_id = correlation_id


class _Head(msgspec.Struct):
    type: str
    data: Raw | UnsetType = UNSET
    correlationId: CorrelationId | None = None  # noqa: N815 - the wire's name


class _Remains(msgspec.Struct):
    type: Any = None
    correlationId: Any = None  # noqa: N815 - the wire's name


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_remains = msgspec.json.Decoder(_Remains).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class Incoming:
    """A message from a client, before its data has been validated.

    ``type`` and ``correlation_id`` are what the client said; ``data`` is its data as JSON, not parsed
    yet.  A message guard may ask for it: ``def guard(ctx, message: Incoming) -> bool``.
    """

    __slots__ = ("_data", "_text", "correlation_id", "type")

    def __init__(
        self, type_: str, data: Raw | None, correlation_id: CorrelationId | None, text: str | bytes
    ) -> None:
        self.type: str = type_
        self.correlation_id: CorrelationId | None = correlation_id
        self._data = data
        self._text = text

    @property
    def data(self) -> bytes:
        """The message's data as JSON: its ``data`` or, where that is absent, its other fields."""
        if self._data is None:
            fields = _decode_fields(self._text)
            fields.pop("type", None)
            fields.pop("correlationId", None)
            self._data = Raw(msgspec.json.encode(fields))
        return bytes(self._data)

    def __repr__(self) -> str:
        return f"<Incoming {self.type!r} correlation_id={self.correlation_id!r}>"


def parse(text: str | bytes) -> Incoming:
    """Read a client's message.

    Raises:
        MalformedMessage: not JSON, no object, no ``type``, nested beyond reason, or not UTF-8.
    """
    try:
        if isinstance(text, bytes):  # msgspec passes over data that it need not decode yet
            text.decode()
        head = _decode_head(text)
    except (ValueError, RecursionError) as exc:
        # ValueError: msgspec's own errors derive from it, and so does what bad UTF-8 raises.
        raise _malformed(text, exc) from None
    data = head.data
    return Incoming(head.type, None if data is UNSET else data, head.correlationId, text)


def _malformed(text: str | bytes, exc: Exception) -> MalformedMessage:
    if isinstance(exc, RecursionError):
        return MalformedMessage("nested too deeply", None, None)
    try:
        remains = _decode_remains(text)
    except (ValueError, RecursionError):
        return MalformedMessage('not a JSON object with a "type"', None, None)
    type_, id_ = remains.type, remains.correlationId
    is_id = isinstance(id_, str | int) and not isinstance(id_, bool)
    return MalformedMessage(str(exc), type_ if isinstance(type_, str) else None, id_ if is_id else None)


class _Reply(msgspec.Struct):
    type: str
    correlationId: CorrelationId | UnsetType = UNSET  # noqa: N815 - the wire's name
    data: Raw | UnsetType = UNSET
    error: str | UnsetType = UNSET
    details: Details | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def encode_reply(type_: str, correlation_id: CorrelationId | None, data: bytes) -> bytes:
    """A reply that succeeded; ``data`` is JSON."""
    id_ = UNSET if correlation_id is None else correlation_id
    return _encode(_Reply(type_, id_, Raw(data)))


def encode_error(
    type_: str | None,
    correlation_id: CorrelationId | None,
    error: str,
    details: Details | None = None,
) -> bytes:
    """A reply that failed; ``type`` is ``error`` where the message had none that could be read."""
    id_ = UNSET if correlation_id is None else correlation_id
    return _encode(_Reply(type_ or "error", id_, UNSET, error, details or UNSET))


def event_prefix(name: str) -> bytes:
    """What each event of this name begins with; see :func:`encode_event`."""
    return b'{"name":' + _encode(name) + b',"data":'


def encode_event(prefix: bytes, data: bytes, timestamp_ms: int) -> bytes:
    """``{"name", "data", "timestamp"}``; ``data`` is JSON, the time in ms since the epoch."""
    return b'%b%b,"timestamp":%d}' % (prefix, data, timestamp_ms)


Handled = Literal["handled", "unknown_type", "validation_failed"]
