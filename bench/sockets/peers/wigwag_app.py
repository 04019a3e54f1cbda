"""wigwag, as an application would use it: three endpoints over one provider, which the environment chooses.

``/echo`` has a synchronous message handler, ``/topic`` joins and publishes, ``/typed`` has a router with a guard and a
schema. All of them know their users by an ``upgrade`` hook.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, cast

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from wigwag import Limits, SocketContext, SocketRouter, Sockets, create_provider

TOPIC = "room"
#: The cases with a slow reader choose what becomes of it.
SLOW = cast("Literal['close', 'drop', 'latest']", os.environ.get("BENCH_SLOW", "close"))
LIMITS = Limits(topics=1_000_000, slow=SLOW)
#: With a broker a publish waits for it, and the handlers of one socket wait for each other: publishes of one socket
#: are only in flight together when each is a task of the application's.
PUBLISHES_IN_TASKS = "WIGWAG_PROVIDER" in os.environ

provider = create_provider()


class User(msgspec.Struct):
    """Who is connected."""

    name: str


class Ask(msgspec.Struct):
    """A request's data."""

    text: str


class Answer(msgspec.Struct):
    """And its reply's."""

    text: str


async def authenticate(connection: HTTPConnection) -> User | None:
    """The upgrade hook."""
    return User(connection.query_params.get("user", "ann"))


def is_known(ctx: SocketContext[User]) -> bool:
    """The guard."""
    return bool(ctx.user.name)


def echo(ctx: SocketContext[User], message: str | bytes) -> Awaitable[None]:
    """The synchronous handler."""
    return ctx.send(message)


async def on_topic(ctx: SocketContext[User], message: str | bytes) -> None:
    """``p`` and a text: publish it. ``j`` and a topic: join it. ``h``, a name and a count: join so many."""
    verb, rest = str(message)[0], str(message)[1:]
    if verb == "p" and PUBLISHES_IN_TASKS:
        app.state.tasks.start_soon(ctx.emitter.publish, TOPIC, rest)
    elif verb == "p":
        await ctx.emitter.publish(TOPIC, rest)
    elif verb == "j":
        await ctx.subscribe(rest)
        await ctx.send("j")
    else:
        name, _, count = rest.partition(" ")
        await ctx.subscribe(*(f"{name}:{number}" for number in range(int(count))))
        await ctx.send("h")


router = SocketRouter[User](guards=[is_known])


@router.on("ask")
async def answer(ctx: SocketContext[User], data: Ask) -> Answer:
    """The asynchronous handler."""
    return Answer(data.text)


echoing = Sockets(provider, upgrade=authenticate, message=echo, limits=LIMITS)
joining = Sockets(provider, upgrade=authenticate, message=on_topic, limits=LIMITS)
typed = Sockets(provider, upgrade=authenticate, routers=[router], limits=LIMITS)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    """Start all, and have a place for tasks."""
    async with AsyncExitStack() as stack:
        for sockets in (echoing, joining, typed):
            await stack.enter_async_context(sockets)
        app.state.tasks = await stack.enter_async_context(anyio.create_task_group())
        yield {}


app = Starlette(
    routes=[echoing.route("/echo"), joining.route("/topic"), typed.route("/typed")],
    lifespan=lifespan,
)
