"""The WebSocket below a connection: what the client needs of one, and the one of the websockets library."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.typing import Subprotocol

from wigwag.client.errors import ConnectFailed, ConnectionRefused

#: How long a peer has to answer our close.  In seconds.
CLOSE_TIMEOUT_S: Final = 1.0
#: What is reported where a connection ended without a close frame (RFC 6455, section 7.1.5).
ABNORMAL: Final = 1006
_REFUSALS: Final = (401, 403)


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """How connections are made and watched; each is explained on ``SocketClient``."""

    connection_timeout_s: float
    heartbeat_interval_s: float | None
    heartbeat_timeout_s: float
    max_message_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    subprotocols: Sequence[str] = ()


class Over(Exception):
    """The connection has ended.  What was being sent may have been received."""


class WebSocket(Protocol):
    """A WebSocket whose handshake is done."""

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: false from the beginning of its end."""
        ...

    @property
    def ending(self) -> tuple[int, str]:
        """The close code and reason, once it is over; 1006 where there were none."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting while the peer reads slowly.  Raises Over."""
        ...

    async def receive(self) -> str | bytes:
        """The next message.  Raises Over, after the last one."""
        ...

    async def close(self) -> None:
        """Say goodbye, with 1000, and return when it is over; called within a time limit."""
        ...

    def abort(self) -> None:
        """Drop what is left of it."""
        ...


class LibraryWebSocket:
    """A connection of the websockets library."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def is_open(self) -> bool:
        """See :class:`WebSocket`."""
        return self._connection.state is State.OPEN

    @property
    def ending(self) -> tuple[int, str]:
        """See :class:`WebSocket`."""
        protocol = self._connection.protocol
        return protocol.close_code or ABNORMAL, protocol.close_reason or ""

    async def send(self, message: str | bytes) -> None:
        """See :class:`WebSocket`."""
        try:
            await self._connection.send(message)
        except WebSocketClosed as exc:
            raise Over from exc

    async def receive(self) -> str | bytes:
        """See :class:`WebSocket`."""
        try:
            return await self._connection.recv()
        except WebSocketClosed as exc:
            raise Over from exc

    async def close(self) -> None:
        """See :class:`WebSocket`."""
        await self._connection.close()

    def abort(self) -> None:
        """See :class:`WebSocket`."""
        self._connection.transport.abort()


async def open_websocket(url: str, options: LinkOptions) -> WebSocket:
    """Connect, within ``connection_timeout_s``.  Cancelled, it leaves no socket behind.

    Raises:
        ConnectionRefused: HTTP 401 or 403.
        ConnectFailed: anything else; the cause says what.
    """
    keywords: dict[str, Any] = {}
    if "proxy" in inspect.signature(connect.__init__).parameters:  # websockets >= 15
        keywords["proxy"] = None  # an environment's proxy would take loopback connections too
    try:
        connection = await connect(
            url,
            additional_headers=dict(options.headers),
            subprotocols=cast("list[Subprotocol]", list(options.subprotocols)) or None,
            compression=None,
            open_timeout=options.connection_timeout_s,
            ping_interval=None,  # heartbeats are our protocol's
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=options.max_message_bytes,
            **keywords,
        )
    except InvalidStatus as exc:
        raise not_accepted(exc.response.status_code) from exc
    except (OSError, EOFError, WebSocketException) as exc:  # TimeoutError is an OSError
        raise ConnectFailed(f"no connection: {str(exc) or type(exc).__name__}") from exc
    return LibraryWebSocket(connection)


def not_accepted(status: int, said: str = "") -> ConnectFailed | ConnectionRefused:
    """What an HTTP answer to the handshake comes to."""
    why = f"HTTP {status} ({said})" if said else f"HTTP {status}"
    if status in _REFUSALS:
        return ConnectionRefused(f"the server refuses this client: {why}", code=status, reason=said)
    return ConnectFailed(f"no WebSocket there: {why}")


async def close_within_limit(websocket: WebSocket) -> None:
    """Close it, though cancelled, and leave nothing of it."""
    with anyio.CancelScope(shield=True):  # bounded by the time limit
        with anyio.move_on_after(2 * CLOSE_TIMEOUT_S):
            await websocket.close()
        websocket.abort()
