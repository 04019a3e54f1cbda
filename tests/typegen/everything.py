"""An application whose messages hold every kind of type that there is a word for in TypeScript."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, Required, TypedDict, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field
from starlette.applications import Starlette
from typing_extensions import TypeAliasType

from wigwag import (
    Heartbeat,
    MessageRegistry,
    ServerMessage,
    SocketContext,
    SocketMessage,
    SocketRouter,
    Sockets,
)

T = TypeVar("T")


class Color(enum.Enum):
    """What it looks like."""

    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Page(msgspec.Struct, Generic[T]):
    items: list[T]
    next: str | None = None


class Tree(msgspec.Struct, rename="camel"):
    child_nodes: list[Tree] = []
    parent_node: Tree | None = None


class Circle(msgspec.Struct, tag="circle", tag_field="kind"):
    radius: float = 1


class Square(msgspec.Struct, tag="square", tag_field="kind", forbid_unknown_fields=True):
    side: float


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = "x"


class Half(TypedDict, total=False):
    maybe: int
    sure: Required[str]


class Sparse(msgspec.Struct, omit_defaults=True):
    a: int = 1


class Empty(msgspec.Struct):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | bool | None")


class Kept(BaseModel, Generic[T]):
    kept: T


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Numbers(RootModel[list[int]]):
    pass


class Model(BaseModel):
    """Of pydantic. */ All the same."""

    model_config = ConfigDict(extra="allow")

    given_name: str = Field(alias="givenName", description="As it is spoken")
    when: datetime.datetime
    price: decimal.Decimal
    color: Color = Color.RED
    point: Point
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    counts: dict[Color, int] = {}
    below: list[Model] = []
    kept: Kept[Point] | None = None
    numbers: Numbers = Numbers([])
    json_: Json = Field(None, alias="json")
    old: int = Field(0, deprecated=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return 2


class Everything(SocketMessage, name="every.thing"):
    """All of it, and "more": it's `here`."""

    number: int
    ratio: float | None
    text: Annotated[str, Meta(min_length=1, description="Not empty")]
    when: datetime.datetime
    day: datetime.date
    took: datetime.timedelta
    id: uuid.UUID
    price: decimal.Decimal
    blob: bytes
    numbers: set[int]
    two: tuple[int, str | None]
    many: tuple[int, ...]
    none: tuple[()]
    nested: dict[str, list[int | None]]
    by_color: dict[Color, int]
    by_word: dict[Literal["x", "y"], int]
    by_number: dict[int, Any]
    anything: Any
    raw: msgspec.Raw
    color: Color | Level
    points: Page[Point]
    words: Page[str]
    tree: Tree
    shape: Circle | Square | None
    pair: Pair
    row: Row
    half: Half
    sparse: Sparse
    empty: Empty
    model: Model | None = None
    unset: int | UnsetType = UNSET
    either: Literal["b", "a", 1, None] = "a"
    odd: int = msgspec.field(name="it's odd", default=1)


class Typing(SocketMessage, name="typing"):
    user: str


ModelChanged = SocketMessage.define("model.changed", Model)
Counts = SocketMessage.define("counts", dict[str, int])

router = SocketRouter[None]()


@router.on("model.change")
async def change_model(ctx: SocketContext, data: Model) -> Model:
    """Changes it.

    And answers with what became of it.
    """
    return data


@router.on("tree.prune")
async def prune(ctx: SocketContext, data: Tree) -> Tree | None:
    return data


@router.on("shape.draw")
def draw(ctx: SocketContext, data: Circle | Square) -> list[Point] | Circle | Point:
    return []


@router.on("row.add")
def add_row(ctx: SocketContext, data: Row) -> Pair:
    return Pair(data.a)


@router.on("pair.add")
def add_pair(ctx: SocketContext, data: Pair) -> Row:
    return Row(1)


@router.on("typing")
def typing(ctx: SocketContext, data: Half) -> None:
    """A name that goes both ways, with different data."""


@router.on("count")
def count(ctx: SocketContext) -> int:
    return 1


@router.on("anything")
def anything(ctx: SocketContext, data: Any) -> Any:
    return data


class Beep(ServerMessage, name="beep"):
    loud: bool = False


async def beep(ctx: SocketContext, data: Beep) -> None: ...


async def beat(ctx: SocketContext, data: Heartbeat) -> dict[str, bool]:
    return {"alive": True}


registry = MessageRegistry[None]().rooms(anyone=True).on(Beep, beep).on(Heartbeat, beat)
sockets = Sockets(routers=[router, registry])
app = Starlette(routes=[sockets.route("/ws/{room:int}")])
