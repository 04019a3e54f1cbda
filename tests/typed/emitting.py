"""What a type checker lets an application emit.  Each ``type: ignore`` is a line that both must find wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, assert_type

from pydantic import BaseModel

from wigwag import Emitter, MessageType, ServerMessage, SocketContext, SocketEmitter, SocketMessage


class Said(SocketMessage, name="said"):
    text: str


class Left(SocketMessage, name="left", rename="camel"):
    user_name: str
    code: int = 1000


class Ask(ServerMessage, name="ask"):
    text: str


class Model(BaseModel):
    x: int


class Typed(TypedDict):
    x: int


@dataclass
class Data:
    x: int


OfModel = SocketMessage.define("model", Model)
OfTyped = SocketMessage.define("typed", Typed)
OfData = SocketMessage.define("data", Data)
assert_type(OfModel, MessageType[Model])
assert_type(OfTyped, MessageType[Typed])


async def right(emitter: Emitter, ctx: SocketContext) -> None:
    await emitter.emit(Said(text="hi"), "t")
    await emitter.emit(Said(text="hi"), "t", exclude=ctx.id)
    await emitter.emit(Left(user_name="ann"), "t")
    await emitter.emit(Said, "t", {"text": "hi"})
    await emitter.emit(Said.of(object()), "t")
    await emitter.emit(OfModel(Model(x=1)), "t")
    await emitter.emit(OfModel, "t", Model(x=1))
    await emitter.emit(OfModel, "t", {"x": 1})
    await emitter.emit(OfTyped, "t", {"x": 1})
    await emitter.emit(OfData, "t", Data(1), exclude=ctx.id)
    await emitter.send(ctx.id, Said(text="hi"))
    await emitter.send(ctx.id, OfModel(Model(x=1)))
    await emitter.broadcast(Said(text="hi"), exclude=ctx.id)
    await emitter.broadcast(b"\x00")
    await ctx.send(Said(text="hi"))
    await ctx.send("text")
    await ctx.emitter.emit(Said(text="hi"), "t")


async def wrong(emitter: Emitter, ctx: SocketContext) -> None:
    await emitter.emit(Ask(text="hi"), "t")  # type: ignore[call-overload]
    await emitter.emit(Ask, "t", Ask(text="hi"))  # type: ignore[call-overload]
    await emitter.emit(Said, "t")  # type: ignore[call-overload]
    await emitter.emit(Said, "t", Left(user_name="ann"))  # type: ignore[misc]
    await emitter.emit(OfModel, "t", Data(1))  # type: ignore[misc]
    await emitter.emit(OfModel, "t", Said(text="hi"))  # type: ignore[misc]
    await emitter.emit(Model(x=1), "t")  # type: ignore[call-overload]
    await emitter.emit({"text": "hi"}, "t")  # type: ignore[call-overload]
    await emitter.emit("text", "t")  # type: ignore[call-overload]
    await emitter.emit(Said(text="hi"))  # type: ignore[call-overload]
    await emitter.publish("t", Said(text="hi"))  # type: ignore[arg-type]
    await emitter.send(ctx.id, {"text": "hi"})  # type: ignore[arg-type]
    await emitter.broadcast(Ask(text="hi"))  # type: ignore[arg-type]
    await ctx.send(Ask(text="hi"))  # type: ignore[arg-type]
    Said(txt="hi")  # type: ignore[call-arg]
    Said(text=3)  # type: ignore[arg-type]
    OfModel(Data(1))  # type: ignore[arg-type]
    SocketMessage.define("x", 3)  # type: ignore[arg-type]


async def by_interface(emitter: SocketEmitter) -> None:
    await emitter.emit(Said(text="hi"), "t")
    await emitter.emit(OfModel, "t", Model(x=1))
    await emitter.emit(Said, "t", {"text": "hi"})
    await emitter.emit(Ask(text="hi"), "t")  # type: ignore[call-overload]
    await emitter.emit(Said, "t", Left(user_name="ann"))  # type: ignore[misc]
    await emitter.publish("t", "x", exclude="id")  # type: ignore[call-arg]


def an_emitter_is_one(emitter: Emitter) -> SocketEmitter:
    return emitter


class Fake:
    """Four methods, as a test of a service has them."""

    async def publish(self, topic: str, message: str | bytes) -> None: ...
    async def send(self, socket_id: str, message: object) -> None: ...
    async def broadcast(self, message: object) -> None: ...
    async def emit(self, message: object, topic: str, data: object = None) -> None: ...


class Half:
    async def publish(self, topic: str, message: str | bytes) -> None: ...


fake: SocketEmitter = Fake()
half: SocketEmitter = Half()  # type: ignore[assignment]
