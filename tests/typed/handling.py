"""What a type checker says of handlers, contexts and emitters.  Each ``type: ignore`` is a line that both
must find wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from starlette.requests import HTTPConnection, Request

from wigwag import (
    Emitter,
    Incoming,
    Limits,
    MessageRegistry,
    ServerMessage,
    SocketContext,
    SocketRouter,
    Sockets,
    SocketState,
)


@dataclass
class User:
    name: str


@dataclass
class Robot:
    number: int


class Move(ServerMessage, name="move"):
    x: float


class Turn(ServerMessage, name="turn"):
    degrees: float


class AppEmitter(Emitter):
    async def moved(self, x: float) -> None: ...


async def user(connection: HTTPConnection) -> User | None:
    return None


def user_at_once(connection: HTTPConnection) -> User | None:
    return None


# Contexts


async def contexts(
    anybody: SocketContext, ann: SocketContext[User], app: SocketContext[User, AppEmitter]
) -> None:
    assert_type(anybody.user, None)
    assert_type(ann.user, User)
    assert_type(ann.emitter, Emitter)
    assert_type(app.emitter, AppEmitter)
    assert_type(ann.id, str)
    await app.emitter.moved(1.0)
    await ann.emitter.moved(1.0)  # type: ignore[attr-defined]
    anybody.user.name  # type: ignore[attr-defined]  # noqa: B018
    ann.user.number  # type: ignore[attr-defined]  # noqa: B018
    ann.user = User("bob")  # type: ignore[misc]
    ann.topics.add("t")  # type: ignore[attr-defined]
    await ann.subscribe(["t"])  # type: ignore[arg-type]
    await ann.close("bye")  # type: ignore[arg-type]


# Routers


def is_ann(ctx: SocketContext[User]) -> bool:
    return ctx.user.name == "ann"


router = SocketRouter[User](guards=[is_ann])


@router.on("whole")
async def whole(ctx: SocketContext[User, AppEmitter], data: dict[str, int]) -> str:
    return ctx.user.name


@router.on("short")
def short(ctx: SocketContext[User]) -> None: ...


@router.on("of anybody")
async def of_anybody(ctx: SocketContext[Any, Any], data: int) -> None: ...


assert_type(short(SocketContext.__new__(SocketContext[User])), None)


@router.on("of a robot")  # type: ignore[arg-type]
async def of_a_robot(ctx: SocketContext[Robot]) -> None: ...


@router.on("of nobody")  # type: ignore[arg-type]
async def of_nobody() -> None: ...


@router.on("of no context")  # type: ignore[arg-type]
async def of_no_context(data: int) -> None: ...


# The registry


async def move(ctx: SocketContext[User], message: Move) -> float:
    return message.x


def may_join(ctx: SocketContext[User], room: str) -> bool:
    return room.startswith(ctx.user.name)


registry = MessageRegistry[User]().rooms(authorize=may_join).on(Move, move)
assert_type(registry, MessageRegistry[User])
registry.on(Turn, move)  # type: ignore[arg-type]
MessageRegistry[Robot]().on(Move, move)  # type: ignore[arg-type]
MessageRegistry[Robot]().rooms(authorize=may_join)  # type: ignore[arg-type]
registry.on(User, move)  # type: ignore[type-var, arg-type]


# Sockets


async def opened(ctx: SocketContext[User, AppEmitter]) -> None:
    await ctx.emitter.moved(1.0)


def opened_plainly(ctx: SocketContext[User]) -> None: ...
def message(ctx: SocketContext[User], message: str | bytes) -> None: ...
def texts_only(ctx: SocketContext[User], message: str) -> None: ...
def closed(ctx: SocketContext[User], code: int, reason: str) -> None: ...
def guard(ctx: SocketContext[User], message: Incoming) -> bool:
    return True


sockets = Sockets(
    upgrade=user,
    routers=[router, registry],
    guards=[guard],
    open=opened,
    message=message,
    close=closed,
    emitter=AppEmitter,
    user_id=lambda user: user.name,
    limits=Limits(slow="latest"),
)
assert_type(sockets, Sockets[User, AppEmitter])
assert_type(sockets.emitter, AppEmitter)
assert_type(Sockets(), Sockets[None, Emitter])
assert_type(Sockets(upgrade=user), Sockets[User, Emitter])
Sockets(upgrade=user, open=opened_plainly, emitter=AppEmitter)
Sockets(upgrade=user_at_once)  # type: ignore[arg-type]
Sockets(upgrade=user, open=closed)  # type: ignore[arg-type]
Sockets(upgrade=user, message=texts_only)  # type: ignore[arg-type]
Sockets(upgrade=user, emitter=Robot)  # type: ignore[type-var]
Sockets[Robot](routers=[router])  # type: ignore[list-item]
Sockets[Robot](open=opened_plainly)  # type: ignore[arg-type]
Limits(slow="block")  # type: ignore[arg-type]


async def dependency() -> None:
    emitter = await sockets.get_emitter()
    assert_type(emitter, AppEmitter)
    await emitter.moved(1.0)


async def route(request: Request[SocketState[AppEmitter]]) -> None:
    assert_type(request.state.emitter, AppEmitter)
    await request.state.emitter.moved("far")  # type: ignore[arg-type]
