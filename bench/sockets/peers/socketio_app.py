"""python-socketio with its defaults: rooms, events with acknowledgements."""

from __future__ import annotations

import socketio

ROOM = "room"

server = socketio.AsyncServer(async_mode="asgi")


async def join(sid: str) -> str:
    """Join the room."""
    await server.enter_room(sid, ROOM)
    return "j"


async def publish(sid: str, text: str) -> None:
    """To all in the room."""
    await server.emit("m", text, room=ROOM)


async def echo(sid: str, text: str) -> str:
    """The acknowledgement carries it back."""
    return text


for name, handler in {"join": join, "publish": publish, "echo": echo}.items():
    server.on(name, handler)

app = socketio.ASGIApp(server)
