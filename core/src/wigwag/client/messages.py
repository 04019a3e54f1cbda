"""Frames between client and server, seen from the client.  Sans-I/O.

:mod:`wigwag.wire.client` is the server's half; ``docs/wire-protocol.md`` describes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from wigwag.schema import encode_json
from wigwag.wire.client import CorrelationId


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


class _Frame(msgspec.Struct):
    name: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    data: Any = None
    timestamp: int | float | None = None
    correlationId: CorrelationId | None = None  # noqa: N815 - the wire's name
    error: str | None = None
    details: list[dict[str, Any]] | None = None


class _Outgoing(msgspec.Struct, omit_defaults=True):
    type: str
    data: msgspec.Raw | UnsetType = UNSET
    correlationId: CorrelationId | UnsetType = UNSET  # noqa: N815 - the wire's name


_decode = msgspec.json.Decoder(_Frame).decode


def decode(message: str | bytes) -> Received:
    """Read what came from the server.  Whatever is not of our protocol is :class:`Raw`."""
    if isinstance(message, bytes):
        return Raw(message)
    try:
        frame = _decode(message)
    except (ValueError, RecursionError):  # not JSON, another shape, or nested beyond reason
        return Raw(message)
    if frame.name is not UNSET:
        return Event(frame.name, frame.data, frame.timestamp)
    if frame.type is not UNSET:
        return Reply(frame.type, frame.data, frame.error, frame.details, frame.correlationId)
    return Raw(message)


def encode(type_: str, data: Any = None, correlation_id: CorrelationId | None = None) -> str:
    """Write a message; None is no data.

    Raises:
        InvalidMessage: the data can't be written as JSON.
    """
    written = UNSET if data is None else msgspec.Raw(encode_json(data))
    id_ = UNSET if correlation_id is None else correlation_id
    return msgspec.json.encode(_Outgoing(type_, written, id_)).decode()
