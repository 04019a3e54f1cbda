"""encode/broadcaster over its memory backend: each socket is a receiving loop and a subscription, as in its README."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

CHANNEL = "room"

broadcast = Broadcast("memory://")


async def forward(websocket: WebSocket) -> None:
    """What is published, to the socket."""
    async with broadcast.subscribe(channel=CHANNEL) as subscriber:
        await websocket.send_text("j")
        async for event in subscriber:
            await websocket.send_text(event.message)


async def receive(websocket: WebSocket, tasks: anyio.abc.TaskGroup) -> None:
    """``j``: join; ``p`` and a text: publish it; anything else comes back."""
    async for text in websocket.iter_text():
        if text[0] == "p":
            await broadcast.publish(channel=CHANNEL, message=text[1:])
        elif text[0] == "j":
            tasks.start_soon(forward, websocket)
        else:
            await websocket.send_text(text)


async def endpoint(websocket: WebSocket) -> None:
    """Both at once."""
    await websocket.accept()
    async with anyio.create_task_group() as tasks:
        await receive(websocket, tasks)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Connect and disconnect."""
    async with broadcast:
        yield


app = Starlette(routes=[WebSocketRoute("/", endpoint)], lifespan=lifespan)
