"""What the client raises: a branch of wigwag's tree of errors.

::

    WigwagError
    └── ClientError
        ├── ConnectFailed            no connection, and no further attempt will be made
        ├── ConnectionClosed         the connection ended before the answer came
        │   └── ConnectionRefused    the server doesn't want this client; it is not asked again
        ├── RequestFailed            the server answered with an error
        ├── RequestTimeout           (TimeoutError) no answer in time
        ├── SendBufferFull           not connected, and no room to keep the message until it is
        └── UnexpectedData           what the server sent does not fit the class that it was to be
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wigwag.errors import InvalidMessage, WigwagError


class ClientError(WigwagError):
    """What goes wrong between a :class:`~wigwag.client.SocketClient` and its server."""


class ConnectFailed(ClientError):
    """A connection could not be made; the cause (``__cause__``) says why.

    Raised where no further attempt will be made: ``reconnect=False``, ``max_reconnect_attempts``
    used up, or a URL that is none.
    """


class ConnectionClosed(ClientError):
    """The connection ended before the answer came.  What was sent may have been received, or not.

    ``code`` is the WebSocket close code, 1006 where the link was simply lost, None where the client
    itself disconnected; ``reason`` is what the server said with it.
    """

    def __init__(self, message: str, *, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ConnectionRefused(ConnectionClosed):
    """The server doesn't want this client (close code 1008, or HTTP 401 or 403): no reconnecting.

    ``code`` is that close code or HTTP status.  :meth:`SocketClient.connect` may be called again,
    with a better token.
    """


class RequestFailed(ClientError):
    """The server answered with an error.

    ``error`` is its text (``Forbidden``, ``Validation failed``, …, or the application's own);
    ``details``, a list of ``{"path", "message"}``, is empty where it sent none.
    """

    def __init__(self, type_: str, error: str, details: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.type = type_
        self.error = error
        self.details: list[dict[str, Any]] = [dict(detail) for detail in details or ()]
        where = "; ".join(f"{d.get('path')}: {d.get('message')}" for d in self.details[:3])
        super().__init__(f"{type_}: {error} ({where})" if where else f"{type_}: {error}")


class RequestTimeout(ClientError, TimeoutError):
    """No answer within ``timeout_s`` seconds.  The server may have acted all the same."""

    def __init__(self, message: str, timeout_s: float) -> None:
        super().__init__(message)
        self.timeout_s = timeout_s


class SendBufferFull(ClientError):
    """Not connected, and the message does not fit what is kept until then.  It was not kept."""


class UnexpectedData(ClientError):
    """What the server sent does not fit the class that it was to be: the two sides differ.

    ``name`` is that of the event or the type of the request; ``details`` is a list of
    ``{"path", "message"}``.
    """

    def __init__(self, name: str, wanted: str, error: InvalidMessage) -> None:
        super().__init__(f"the server's {name!r} is no {wanted}: {error}")
        self.name = name
        self.details: list[dict[str, str]] = error.details
