"""A chat: rooms, names, who comes and goes, and who is typing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from wigwag import RateLimit, SocketContext, SocketError, SocketMessage, SocketRouter, Sockets, topic

Ctx = SocketContext[str]  # the user is a name
Room = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


# What the server says to the pages of a room


class Said(SocketMessage, name="chat.said"):
    room: str
    name: str
    text: str


class Presence(SocketMessage, name="chat.presence"):
    room: str
    name: str
    text: str


class Typing(SocketMessage, name="chat.typing"):
    room: str
    name: str


# What a page says to the server


class In(msgspec.Struct):
    room: Room


class Say(In):
    text: Text


async def by_name(connection: HTTPConnection) -> str | None:
    """Anybody may call themselves anything of 1 to 24 characters; None is closed with 1008."""
    name = " ".join(connection.query_params.get("name", "").split())
    return name if 0 < len(name) <= 24 and name.isprintable() else None


def joined(ctx: Ctx, room: str) -> str:
    """The room's topic, for who is in it."""
    name = topic("room", room)
    if name not in ctx.topics:
        raise SocketError("Join the room first")
    return name


chat = SocketRouter[str](guards=[RateLimit(20, per_s=2)])


@chat.on("join")
async def join(ctx: Ctx, data: In) -> None:
    name = topic("room", data.room)
    if name not in ctx.topics:
        await ctx.subscribe(name)
        await ctx.emitter.emit(Presence(room=data.room, name=ctx.user, text="joined"), name)


@chat.on("leave")
async def leave(ctx: Ctx, data: In) -> None:
    name = joined(ctx, data.room)
    await ctx.unsubscribe(name)
    await ctx.emitter.emit(Presence(room=data.room, name=ctx.user, text="left"), name)


@chat.on("say")
async def say(ctx: Ctx, data: Say) -> None:
    await ctx.emitter.emit(Said(room=data.room, name=ctx.user, text=data.text), joined(ctx, data.room))


@chat.on("typing")
async def typing(ctx: Ctx, data: In) -> None:
    message = Typing(room=data.room, name=ctx.user)
    await ctx.emitter.emit(message, joined(ctx, data.room), exclude=ctx.id)  # everyone but this socket


async def gone(ctx: Ctx, code: int, reason: str) -> None:
    for name in ctx.topics:
        message = Presence(room=name.removeprefix("room:"), name=ctx.user, text="left")
        await ctx.emitter.emit(message, name)


class Pages(StaticFiles):
    """The page's files, with headers that keep a browser strict."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["content-security-policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["cache-control"] = "no-cache"
        return response


sockets = Sockets(upgrade=by_name, routers=[chat], close=gone)
pages = Pages(directory=Path(__file__).parent / "static", html=True)
app = Starlette(routes=[sockets.route("/ws"), Mount("/", pages)], lifespan=sockets.lifespan)
