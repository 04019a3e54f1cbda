"""The application that the TypeScript client meets in these tests."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from wigwag import MessageRegistry, ServerMessage, SocketContext, SocketError, SocketMessage, Sockets

Ctx = SocketContext[str]

PAGE = """<!doctype html><meta charset="utf-8"><title>client</title>
<script type="module">import * as wigwag from "/client.js"; globalThis.wigwag = wigwag;</script>"""


class Said(SocketMessage, name="said"):
    text: str


class Say(ServerMessage, name="say"):
    room: str
    text: str


class Echo(ServerMessage, name="echo"):
    anything: Any = None


class Joins(ServerMessage, name="joins"):
    """How often this connection has asked for each of its rooms."""


class Refuse(ServerMessage, name="refuse"):
    pass


class Hang(ServerMessage, name="hang"):
    pass


class Close(ServerMessage, name="close"):
    code: int


joins: dict[str, Counter[str]] = {}


def may_join(ctx: Ctx, room: str) -> bool:
    joins.setdefault(ctx.id, Counter())[room] += 1
    return room != "forbidden"


async def say(ctx: Ctx, message: Say) -> None:
    await ctx.emitter.emit(Said(text=message.text), message.room)


def echo(ctx: Ctx, message: Echo) -> Any:
    return message.anything


def count_joins(ctx: Ctx, message: Joins) -> dict[str, int]:
    return dict(joins.get(ctx.id, {}))


def refuse(ctx: Ctx, message: Refuse) -> None:
    raise SocketError("Room is full", [{"path": "$.room", "message": "12 of 12"}])


async def hang(ctx: Ctx, message: Hang) -> None:
    await anyio.sleep_forever()


async def close(ctx: Ctx, message: Close) -> None:
    await ctx.close(message.code, "as you wish")


async def user_of(connection: HTTPConnection) -> str | None:
    return connection.query_params.get("user")


registry = (
    MessageRegistry[str]()
    .rooms(authorize=may_join)
    .on(Say, say)
    .on(Echo, echo)
    .on(Joins, count_joins)
    .on(Refuse, refuse)
    .on(Hang, hang)
    .on(Close, close)
)
sockets = Sockets(upgrade=user_of, routers=[registry])


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def client(request: Request) -> Response:
    return FileResponse(Path(os.environ["CLIENT_JS"]), media_type="text/javascript")


app = Starlette(
    routes=[sockets.route("/ws"), Route("/", page), Route("/client.js", client)], lifespan=sockets.lifespan
)
