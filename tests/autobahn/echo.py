"""The applications that echo, which uvicorn finds by ``autobahn.echo:asgi`` and ``autobahn.echo:sockets``."""

from __future__ import annotations

import contextlib
from typing import Any

from starlette.applications import Starlette

from wigwag import Limits, SocketContext, Sockets, create_provider

#: The largest message of any case.
MESSAGE_BYTES = 16 * 1024 * 1024


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket", scope["type"]
    await receive()
    await send({"type": "websocket.accept"})
    with contextlib.suppress(OSError):  # the client has gone, which ASGI servers may say so
        while (event := await receive())["type"] == "websocket.receive":
            answer = {"text": event.get("text"), "bytes": event.get("bytes")}
            await send({"type": "websocket.send", **answer})


async def _echo(ctx: SocketContext, message: str | bytes) -> None:
    await ctx.send(message)


def asgi() -> Any:
    """Return an application that awaits receive and send, and has no lifespan."""
    return _plain


def sockets() -> Starlette:
    """Return one with ``Sockets``, which take the connection over where the protocol class lets them."""
    limits = Limits(message_bytes=MESSAGE_BYTES, send_bytes=2 * MESSAGE_BYTES)
    ours = Sockets(create_provider("memory"), message=_echo, limits=limits)
    return Starlette(routes=[ours.route("/")], lifespan=ours.lifespan)
