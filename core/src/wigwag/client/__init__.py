"""A client for wigwag's WebSockets: for services, tests and ``wigwag listen``.

::

    async with SocketClient("ws://127.0.0.1:8000/ws") as client:
        client.on(IncidentCreated, show)  # the class that the server emits
        await client.join_room("incidents")
        project = await client.request(OpenProject(uuid="p"))

It keeps one connection, reconnects with full jitter, joins its rooms again, watches the link, keeps what
is sent meanwhile within limits, and asks the server and waits for the answer.  It runs on asyncio only:
the ``websockets`` library does.  ``docs/guide/python-client.md`` compares it with the TypeScript client.

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
    UnexpectedData,
)
from wigwag.client.events import (
    Connected,
    ConnectionEvent,
    Disconnected,
    Dropped,
    ReconnectAttempt,
    ReconnectFailed,
    Resync,
)
from wigwag.client.messages import Event, Raw, Received, Reply
from wigwag.client.session import ClientState
from wigwag.client.socket_client import SocketClient

__all__ = [
    "ClientError",
    "ClientState",
    "ConnectFailed",
    "Connected",
    "ConnectionClosed",
    "ConnectionEvent",
    "ConnectionRefused",
    "Disconnected",
    "Dropped",
    "Event",
    "Raw",
    "Received",
    "ReconnectAttempt",
    "ReconnectFailed",
    "Reply",
    "RequestFailed",
    "RequestTimeout",
    "Resync",
    "SendBufferFull",
    "SocketClient",
    "UnexpectedData",
]
