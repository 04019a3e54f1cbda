"""Plain Starlette: a set of sockets, and a loop over it; with BENCH_REDIS_URL, redis-py between publish and loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

URL = os.environ.get("BENCH_REDIS_URL")
CHANNEL = "ws:room"

room: set[WebSocket] = set()
redis = Redis.from_url(URL) if URL else None


async def tell_all(text: str) -> None:
    """To each socket, one after the other."""
    for member in list(room):
        await member.send_text(text)


async def publish(text: str) -> None:
    """To all, or to Redis first."""
    if redis is None:
        await tell_all(text)
    else:
        await redis.publish(CHANNEL, text)


async def listen(ready: asyncio.Event, client: Redis) -> None:
    """What comes from Redis."""
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        async for message in pubsub.listen():
            if message["type"] == "message":
                await tell_all(message["data"].decode())
            else:
                ready.set()


async def endpoint(websocket: WebSocket) -> None:
    """``j``: join; ``p`` and a text: publish it; anything else comes back."""
    await websocket.accept()
    try:
        async for text in websocket.iter_text():
            if text[0] == "p":
                await publish(text[1:])
            elif text[0] == "j":
                room.add(websocket)
                await websocket.send_text("j")
            else:
                await websocket.send_text(text)
    finally:
        room.discard(websocket)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Listen to Redis, where there is one."""
    if redis is None:
        yield
        return
    ready = asyncio.Event()
    listening = asyncio.create_task(listen(ready, redis))
    await ready.wait()
    yield
    listening.cancel()
    await redis.aclose()


app = Starlette(routes=[WebSocketRoute("/", endpoint)], lifespan=lifespan)
