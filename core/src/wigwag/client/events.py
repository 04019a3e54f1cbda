"""What a client tells of itself, and what the server tells of its own: classes for ``client.on``."""

from __future__ import annotations

from dataclasses import dataclass

from wigwag.client.errors import ClientError
from wigwag.messages import SocketMessage


class ConnectionEvent:
    """Something that happened to the connection: one of the four below."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Connected(ConnectionEvent):
    """There is a connection, and the server answers on it.

    ``reconnected``: it is not the first since ``connect()`` was called, so that what was emitted in
    between is missing.  The rooms are being joined again; :meth:`SocketClient.join_room` tells when.
    """

    reconnected: bool


@dataclass(frozen=True, slots=True)
class Disconnected(ConnectionEvent):
    """The connection ended, and not by ``disconnect()``.

    ``code`` is the WebSocket close code, 1006 where the link was simply lost; ``reason`` is the server's.
    """

    code: int
    reason: str
    will_reconnect: bool


@dataclass(frozen=True, slots=True)
class ReconnectAttempt(ConnectionEvent):
    """Another attempt will be made after ``delay_s`` seconds: the ``attempt``-th in a row, from 1."""

    attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class ReconnectFailed(ConnectionEvent):
    """``max_reconnect_attempts`` are used up: no further one will be made.  ``error`` ended the last."""

    attempts: int
    error: ClientError


class Resync(SocketMessage, name="wigwag.resync", rename={"spread_ms": "spreadMs"}):
    """The server's link to its broker was down: messages of these topics may be missing.

    So may messages for this client alone or for everybody, even where ``topics`` is empty.  All is live
    again: fetch what you need after a random pause of at most ``spread_ms`` milliseconds, since many
    clients are told at once.
    """

    topics: list[str]
    spread_ms: int = 0


class Dropped(SocketMessage, name="wigwag.dropped"):
    """This client read too slowly, and ``count`` messages were not sent to it.  Fetch what you need."""

    count: int
