"""A server that speaks our protocol over real sockets, and does as each test says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

#: What happens on one connection instead of, or before, the usual.
Script = Callable[[ServerConnection], Awaitable[None]]


class ScriptedServer:
    """Answers heartbeats and whatever has a correlationId; ``scripts`` are for the first connections."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.connections: list[ServerConnection] = []
        #: What was received, heartbeats excepted, with the number of its connection.
        self.received: list[tuple[int, Any]] = []
        self.answer: Callable[[ServerConnection, Any], Awaitable[None]] = accept
        self.beats = True
        self.http_status: HTTPStatus | None = None
        self.paths: list[str] = []
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def last(self) -> ServerConnection:
        return self.connections[-1]

    def types(self, connection: int) -> list[str]:
        """The types of the messages received on a connection, counted from 0."""
        return [message["type"] for number, message in self.received if number == connection]

    async def start(self) -> None:
        """Listen; on the port of before, if there was one."""
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, compression=None, process_request=self._upgrade
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close connections and listen no longer."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        return connection.respond(self.http_status, "") if self.http_status else None

    async def _serve(self, connection: ServerConnection) -> None:
        number = len(self.connections)
        self.connections.append(connection)
        try:
            if number < len(self.scripts):
                await self.scripts[number](connection)
            async for message in connection:
                if message == "2":
                    if self.beats:
                        await connection.send("3")
                    continue
                content = json.loads(message) if isinstance(message, str) else message
                self.received.append((number, content))
                if isinstance(content, dict):
                    await self.answer(connection, content)
        except ConnectionClosed:
            return


async def accept(connection: ServerConnection, message: Any) -> None:
    """Answer with the data."""
    if "correlationId" in message:
        await reply(connection, message, data=message.get("data"))


async def reply(connection: ServerConnection, message: Any, **fields: Any) -> None:
    """Answer a message."""
    head = {"type": message["type"], "correlationId": message["correlationId"]}
    await connection.send(json.dumps(head | fields))


async def emit(connection: ServerConnection, name: str, data: Any) -> None:
    """Send an event."""
    await connection.send(json.dumps({"name": name, "data": data, "timestamp": 1}))


def closes(code: int, reason: str = "") -> Script:
    """Accept the handshake and close at once."""

    async def script(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    return script


@asynccontextmanager
async def scripted_server() -> AsyncGenerator[ScriptedServer]:
    """A server on a free loopback port."""
    server = ScriptedServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
