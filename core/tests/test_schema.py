"""Data is validated on the way in and on the way out, whatever its kind of type."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import UserDict
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict, cast

import msgspec
import pydantic
import pytest

from wigwag.errors import InvalidMessage
from wigwag.schema import encode_json, schema_of


class Struct(msgspec.Struct):
    count: int
    name: str = "x"


@dataclasses.dataclass
class Dataclass:
    count: int
    name: str = "x"


class Typed(TypedDict):
    count: int
    name: str


class Model(pydantic.BaseModel):
    count: int
    name: str = "x"


@pydantic.dataclasses.dataclass
class ModelDataclass:
    count: int
    name: str = "x"


class Inner(pydantic.BaseModel):
    ratio: float
    many: list[int] = []


class Outer(msgspec.Struct):
    inner: Inner
    others: list[Inner] = []


VALUES: list[tuple[Any, Any]] = [
    (Struct, Struct(1)),
    (Dataclass, Dataclass(1)),
    (Typed, {"count": 1, "name": "x"}),
    (Model, Model(count=1)),
    (ModelDataclass, ModelDataclass(1)),
]
KINDS = [type_ for type_, _ in VALUES]


@pytest.mark.parametrize(("type_", "value"), VALUES, ids=lambda v: getattr(v, "__name__", ""))
def test_each_kind_is_written_and_read(type_: Any, value: Any) -> None:
    schema = schema_of(type_)
    assert schema.encode(value) == b'{"count":1,"name":"x"}'
    assert schema.decode(b'{"count":1,"name":"x"}') == value
    assert schema.encode({"count": 1, "name": "x"}) == b'{"count":1,"name":"x"}'


@pytest.mark.parametrize("type_", KINDS)
@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"count":"no","name":"x"}', "$.count"),
        (b'{"name":"x"}', None),
        (b"[]", "$"),
        (b"null", "$"),
        (b"", "$"),
        (b"{", "$"),
        (b'{"count":1,"name":"\xff"}', None),
        (b'{"count":1,"name":' + b"[" * 50_000, None),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(type_: Any, data: bytes, path: str | None) -> None:
    with pytest.raises(InvalidMessage) as got:
        schema_of(type_).decode(data)
    assert got.value.details
    for detail in got.value.details:
        assert set(detail) == {"path", "message"}
        assert path in (None, detail["path"])
    assert "pydantic.dev" not in str(got.value)


@pytest.mark.parametrize("type_", KINDS)
@pytest.mark.parametrize("bad", [{"count": "no", "name": "x"}, {}, None, 7, object(), [1]])
def test_what_does_not_fit_is_not_written(type_: Any, bad: Any) -> None:
    with pytest.raises(InvalidMessage):
        schema_of(type_).encode(bad)


def test_a_struct_made_of_wrong_values_is_not_written() -> None:
    """msgspec checks nothing when one is made."""
    with pytest.raises(InvalidMessage, match=r"\$\.count"):
        schema_of(Struct).encode(Struct("no"))  # type: ignore[arg-type]
    with pytest.raises(InvalidMessage, match=r"\$\.count"):
        schema_of(Dataclass).encode(Dataclass("no"))  # type: ignore[arg-type]


def test_what_a_value_has_beyond_its_type_is_not_sent() -> None:
    class More(Struct):
        password: str = "secret"

    for type_ in KINDS:
        data = schema_of(type_).encode({"count": 1, "name": "x", "password": "secret"})
        assert data == b'{"count":1,"name":"x"}'
    assert schema_of(Struct).encode(More(1)) == b'{"count":1,"name":"x"}'


def test_a_mapping_that_is_no_dict() -> None:
    for type_ in KINDS:
        assert schema_of(type_).encode(UserDict(count=1, name="x")) == b'{"count":1,"name":"x"}'


def test_the_defaults_of_a_dataclass_that_came_from_a_client_are_sent_on() -> None:
    value = schema_of(Dataclass).decode(b'{"count":1}')
    assert encode_json(value) == b'{"count":1,"name":"x"}'


@dataclasses.dataclass
class Node:
    count: int = 0
    below: list[Node] = dataclasses.field(default_factory=list)
    other: Node | None = None


@dataclasses.dataclass(slots=True)
class Slotted:
    node: Node
    count: int = 0


class Holder(msgspec.Struct):
    nodes: dict[str, Node]


@pytest.mark.parametrize(
    ("type_", "data", "whole"),
    [
        (Node, '{"below":[{"other":{}}]}', '{NODE:[{NODE:[],"other":{NODE:[],"other":null}}],"other":null}'),
        (Slotted, '{"node":{}}', '{"node":{NODE:[],"other":null},"count":0}'),
        (Holder, '{"nodes":{"a":{}}}', '{"nodes":{"a":{NODE:[],"other":null}}}'),
        (list[Node], "[{}]", '[{NODE:[],"other":null}]'),
    ],
)
def test_the_defaults_of_a_dataclass_within_another_type_are_sent_too(
    type_: Any, data: str, whole: str
) -> None:
    schema = schema_of(type_)
    expected = json.loads(whole.replace("NODE", '"count":0,"below"'))
    assert json.loads(encode_json(schema.decode(data.encode()))) == expected
    if isinstance(type_, type):
        assert json.loads(schema.encode(json.loads(data))) == expected


def test_a_pydantic_model_inside_a_struct() -> None:
    schema = schema_of(Outer)
    value = Outer(Inner(ratio=0.5), [Inner(ratio=1)])
    data = schema.encode(value)
    assert data == b'{"inner":{"ratio":0.5,"many":[]},"others":[{"ratio":1.0,"many":[]}]}'
    assert schema.decode(data) == value
    with pytest.raises(InvalidMessage) as got:
        schema.decode(b'{"inner":{"ratio":1},"others":[{"ratio":1},{"ratio":"a","many":[1,"b"]}]}')
    assert [detail["path"] for detail in got.value.details] == ["$.others[1].ratio", "$.others[1].many[1]"]
    assert "pydantic" not in str(got.value.details)


class Constants(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_inf_nan="constants")
    ratio: float


class Ratio(pydantic.BaseModel):
    ratio: float
    word: str | None = None


class RatioStruct(msgspec.Struct):
    ratio: float
    word: str | None = None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_are_refused(number: float) -> None:
    for type_, value in (
        (Ratio, Ratio(ratio=number)),
        (Ratio, {"ratio": number}),
        (Constants, Constants(ratio=number)),
        (RatioStruct, RatioStruct(number)),
        (Outer, Outer(Inner(ratio=number))),
        (dict, {"a": [1, {"b": (number,)}]}),
        (list[float], [number]),
        (float | None, number),
    ):
        with pytest.raises(InvalidMessage):
            schema_of(type_).encode(value)
    for part in ({"a": [number]}, number, [[(number,)]], Ratio(ratio=number), RatioStruct(number)):
        with pytest.raises(InvalidMessage, match="NaN"):
            encode_json(part)


def test_a_null_that_is_meant_is_no_nan() -> None:
    assert schema_of(RatioStruct).encode(RatioStruct(1.5)) == b'{"ratio":1.5,"word":null}'
    assert schema_of(Ratio).encode(Ratio(ratio=1.5, word="NaN")) == b'{"ratio":1.5,"word":"NaN"}'
    assert encode_json({"a": None, "b": "null"}) == b'{"a":null,"b":"null"}'


class Foreign:
    """A class that nobody can validate."""


@pytest.mark.parametrize("type_", [Foreign, list[Foreign], dict[str, Foreign], Foreign | None])
def test_a_type_that_can_not_be_validated_is_refused_when_the_schema_is_made(type_: Any) -> None:
    with pytest.raises(TypeError, match="can't be validated"):
        schema_of(type_)


class Tree(msgspec.Struct):
    children: list[Tree] = []
    by_name: dict[str, Tree] = {}


@pytest.mark.parametrize("type_", [Tree, int, str, dict, Any, list[Tree], Tree | None, None])
def test_a_type_that_can(type_: Any) -> None:
    assert schema_of(type_).type is type_


@pytest.mark.parametrize("value", [object(), {"a": object()}, {object(): 1}, "\ud800", {"a": "\ud800"}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(InvalidMessage):
        encode_json(value)


def test_a_bomb_is_refused() -> None:
    bomb: list[Any] = []
    for _ in range(200_000):
        bomb = [bomb]
    with pytest.raises(InvalidMessage, match="nested too deeply"):
        encode_json(bomb)
    with pytest.raises(InvalidMessage, match="nested too deeply"):
        schema_of(list).encode(bomb)


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    some_field: int = pydantic.Field(alias="someField")


class Renamed(msgspec.Struct, rename="camel"):
    some_field: int
    model: Aliased | None = None


def test_aliases_are_what_clients_see() -> None:
    assert schema_of(Aliased).encode(Aliased(someField=1)) == b'{"someField":1}'
    renamed = Renamed(1, Aliased(someField=2))
    assert schema_of(Renamed).encode(renamed) == b'{"someField":1,"model":{"someField":2}}'
    assert encode_json(renamed) == b'{"someField":1,"model":{"someField":2}}'


class Linked(pydantic.BaseModel):
    url: pydantic.HttpUrl
    folder: Path
    note: str | None = None


@pydantic.dataclasses.dataclass
class Positive:
    n: int = pydantic.Field(gt=0)
    note: str | None = None


class WithPath(msgspec.Struct):
    linked: Linked | None = None


class Keys(TypedDict):
    a: int


class KeysHolder(msgspec.Struct):
    keys: Keys


class Base(msgspec.Struct):
    a: int


class Derived(Base):
    secret: str


def test_a_null_does_not_make_fields_of_other_types_unwritable() -> None:
    model = Linked(url=pydantic.HttpUrl("http://example.com/null"), folder=Path("/null"))
    assert json.loads(schema_of(Linked).encode(model))["note"] is None
    assert json.loads(encode_json({"linked": model, "none": None}))["linked"]["note"] is None
    assert json.loads(schema_of(Positive).encode(Positive(n=1))) == {"n": 1, "note": None}


def test_nan_is_found_in_every_kind_of_container() -> None:
    holders = [{"x": [None, float("nan")]}, ({"x": float("inf")},), Base(a=cast("int", float("nan")))]
    for holder in holders:
        with pytest.raises(InvalidMessage, match="NaN"):
            encode_json([None, holder])


def test_the_text_of_pydantics_exception_is_no_path() -> None:
    with pytest.raises(InvalidMessage) as caught:
        schema_of(Linked | None).decode(b'{"url":"x","folder":"."}')
    assert [detail["path"] for detail in caught.value.details] == ["$.url"]


def test_only_declared_fields_are_sent() -> None:
    assert schema_of(Keys).encode({"a": 1, "secret": "x"}) == b'{"a":1}'
    assert (
        schema_of(KeysHolder).encode(KeysHolder(cast("Keys", {"a": 1, "secret": "x"}))) == b'{"keys":{"a":1}}'
    )
    assert schema_of(Base).encode(Derived(1, "x")) == b'{"a":1}'


def test_any_mapping_may_stand_for_a_message() -> None:
    assert schema_of(Base).encode(MappingProxyType({"a": 1})) == b'{"a":1}'


def test_a_pydantic_dataclass_inside_something_else_is_refused_since_its_rules_would_not_hold() -> None:
    with pytest.raises(TypeError, match="use a BaseModel"):
        schema_of(list[Positive])
