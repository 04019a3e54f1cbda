"""A client for wigwag's WebSockets: for services, tests and ``wigwag listen``.

::

    async with SocketClient("ws://127.0.0.1:8000/ws") as client:
        await client.join_room("incidents")
        async for event in client.events():
            ...

It keeps one connection, reconnects with full jitter, joins its rooms again, watches the link, keeps what
is sent meanwhile within limits, and asks the server and waits for the answer (``request``).  It runs on
asyncio only: the ``websockets`` library does.

What it raises stands in :mod:`wigwag.client.errors`.
"""

from __future__ import annotations

from wigwag.client.errors import (
    ClientError,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    RequestFailed,
    RequestTimeout,
    SendBufferFull,
)
from wigwag.client.messages import Event, Raw, Received, Reply
from wigwag.client.session import ClientState
from wigwag.client.socket_client import SocketClient

__all__ = [
    "ClientError",
    "ClientState",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionRefused",
    "Event",
    "Raw",
    "Received",
    "Reply",
    "RequestFailed",
    "RequestTimeout",
    "SendBufferFull",
    "SocketClient",
]
