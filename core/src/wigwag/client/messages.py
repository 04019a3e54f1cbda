"""Frames between client and server, seen from the client.  Sans-I/O.

:mod:`wigwag.wire.client` is the server's half; ``docs/wire-protocol.md`` describes both.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from wigwag.client.errors import UnexpectedData
from wigwag.errors import InvalidMessage
from wigwag.messages import ServerMessage, encode_data, name_of
from wigwag.schema import Schema, encode_json, schema_of
from wigwag.wire.client import CorrelationId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the server emitted.  ``timestamp`` is in ms since the epoch."""

    name: str
    data: Any
    timestamp: int | float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer to a message.

    :meth:`SocketClient.request` takes those to its own requests.  The others are what the server says
    of a message that was sent without asking for an answer, such as that its data is invalid.
    """

    type: str
    data: Any = None
    error: str | None = None
    details: list[dict[str, Any]] | None = None
    correlation_id: CorrelationId | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A message that is neither event nor reply: what ``publish`` sends; bytes where it was binary."""

    data: str | bytes


#: What :meth:`SocketClient.events` yields.
Received = Event | Reply | Raw


class EventFrame:
    """An event as it came: its data is decoded for who takes it, as a class of theirs or as it is."""

    __slots__ = ("_text", "data", "name", "timestamp")

    def __init__(self, name: str, data: bytes, timestamp: int | float | None, text: str) -> None:
        self.name: str = name
        self.data: bytes = data
        self.timestamp: int | float | None = timestamp
        self._text = text

    def received(self) -> Event | Raw:
        """The event; Raw where its data turns out to be no JSON."""
        try:
            return Event(self.name, msgspec.json.decode(self.data), self.timestamp)
        except (ValueError, RecursionError):
            return Raw(self._text)


class ReplyFrame:
    """A reply as it came; likewise."""

    __slots__ = ("_text", "correlation_id", "data", "details", "error", "type")

    def __init__(self, frame: _Frame, text: str) -> None:
        self.type: str = cast("str", frame.type)
        self.data: bytes = bytes(frame.data)
        self.error: str | None = frame.error
        self.details: list[dict[str, Any]] | None = frame.details
        self.correlation_id: CorrelationId | None = frame.correlationId
        self._text = text

    def received(self) -> Reply | Raw:
        """The reply; Raw where its data turns out to be no JSON."""
        try:
            data = msgspec.json.decode(self.data)
        except (ValueError, RecursionError):
            return Raw(self._text)
        return Reply(self.type, data, self.error, self.details, self.correlation_id)


#: What came, before its data is decoded.
Frame = EventFrame | ReplyFrame | Raw


class _Frame(msgspec.Struct):
    name: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    data: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: int | float | None = None
    correlationId: CorrelationId | None = None  # noqa: N815 - the wire's name
    error: str | None = None
    details: list[dict[str, Any]] | None = None


class _Outgoing(msgspec.Struct, omit_defaults=True):
    type: str
    data: msgspec.Raw | UnsetType = UNSET
    correlationId: CorrelationId | UnsetType = UNSET  # noqa: N815 - the wire's name


_decode = msgspec.json.Decoder(_Frame).decode


def parse(message: str | bytes) -> Frame:
    """Read what came from the server.  Whatever is not of our protocol is :class:`Raw`."""
    if isinstance(message, bytes):
        return Raw(message)
    try:
        frame = _decode(message)
    except (ValueError, RecursionError):  # not JSON, another shape, or nested beyond reason
        return Raw(message)
    if frame.name is not UNSET:
        return EventFrame(frame.name, bytes(frame.data), frame.timestamp, message)
    return Raw(message) if frame.type is UNSET else ReplyFrame(frame, message)


def received(frame: Frame) -> Received:
    """What came, with its data decoded."""
    return frame if isinstance(frame, Raw) else frame.received()


def encode(type_: str, data: bytes | None = None, correlation_id: CorrelationId | None = None) -> str:
    """Write a message; ``data`` is JSON, None is no data."""
    written = UNSET if data is None else msgspec.Raw(data)
    id_ = UNSET if correlation_id is None else correlation_id
    return msgspec.json.encode(_Outgoing(type_, written, id_)).decode()


def type_and_data(message: str | ServerMessage[Any], data: Any = None) -> tuple[str, bytes | None]:
    """The type and the data, as JSON, of what a caller wants to send.

    Raises:
        InvalidMessage: the data does not fit the message's class, or can't be written as JSON.
        TypeError: a message has its data already.
    """
    if isinstance(message, str):
        return message, None if data is None else encode_json(data)
    if data is not None:
        raise TypeError("the message has its data already: send(message)")
    return name_of(type(message)), encode_data(message)


@functools.lru_cache(maxsize=1024)
def schema_for(type_: Any) -> Schema[Any]:
    """The schema of a type that a caller wants data to be; made once.

    Raises TypeError where it can't be validated.
    """
    return schema_of(type_)


def as_type(name: str, data: bytes, schema: Schema[T]) -> T:
    """Data from the server as what it was to be.

    Raises:
        UnexpectedData: it does not fit.
    """
    try:
        return schema.decode(data)
    except InvalidMessage as exc:
        raise UnexpectedData(name, getattr(schema.type, "__name__", str(schema.type)), exc) from exc
