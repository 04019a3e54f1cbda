"""Types as applications might write them, at random, each with values of it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import itertools
import keyword
import uuid
from typing import Any, Literal, NamedTuple, NotRequired, Optional, TypedDict

import msgspec
import pydantic
from hypothesis import strategies as st

#: A type, and values of it.
Typed = tuple[Any, st.SearchStrategy[Any]]
Types = st.SearchStrategy[Typed]


class Color(enum.Enum):
    RED = "red"
    GREEN = 'it\'s "green"'


class Level(enum.IntEnum):
    LOW = -1
    HIGH = 2


#: Called with what a type checker would have to see written out.
_typed_dict: Any = TypedDict
_named_tuple: Any = NamedTuple
_numbers = itertools.count()
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda text: text != "__proto__"
)
_names = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and not hasattr(pydantic.BaseModel, name)  # copy, json, mro, …
)
_SCALARS: list[Typed] = [
    (int, st.integers(-(2**63), 2**63)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str, _texts),
    (type(None), st.none()),
    (datetime.datetime, st.datetimes(timezones=st.sampled_from([None, datetime.UTC]))),
    (datetime.date, st.dates()),
    (datetime.time, st.times()),
    (datetime.timedelta, st.timedeltas(datetime.timedelta(-(10**6)), datetime.timedelta(10**6))),
    (uuid.UUID, st.uuids()),
    (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Literal["b", "a", 1, None], st.sampled_from(["b", "a", 1, None])),
    (Any, st.sampled_from([1, "a", None, [1], {"a": [None]}])),
    (set[int], st.sets(st.integers(0, 9))),
]
_BYTES: Typed = (bytes, st.binary(max_size=8))  # pydantic takes them for UTF-8


def _of(generic: Any, *arguments: Any) -> Any:
    return generic[arguments if len(arguments) > 1 else arguments[0]]


def _containers(inner: Types) -> Types:
    def several(typed: Typed) -> Typed:
        return _of(list, typed[0]), st.lists(typed[1], max_size=3)

    def maybe(typed: Typed) -> Typed:
        return _of(Optional, typed[0]), st.none() | typed[1]

    def by_text(typed: Typed) -> Typed:
        return _of(dict, str, typed[0]), st.dictionaries(_texts, typed[1], max_size=3)

    def by_color(typed: Typed) -> Typed:
        return _of(dict, Color, typed[0]), st.dictionaries(st.sampled_from(Color), typed[1])

    def two(one: Typed, other: Typed) -> Typed:
        return _of(tuple, one[0], other[0]), st.tuples(one[1], other[1])

    single = st.sampled_from([several, maybe, by_text, by_color])
    return st.builds(lambda make, typed: make(typed), single, inner) | st.builds(two, inner, inner)


@st.composite
def _models(draw: st.DrawFn, inner: Types, kinds: list[str]) -> Typed:
    """A class with a few fields, those with a default last."""
    typed = draw(st.dictionaries(_names, inner, max_size=4))
    bare = draw(st.integers(0, len(typed)))
    types = {name: type_ for name, (type_, _) in typed.items()}
    values = {name: value for name, (_, value) in typed.items()}
    defaults = {name: draw(values[name]) for name in list(typed)[bare:]}
    name = f"Model{next(_numbers)}"
    cls: Any
    kind = draw(st.sampled_from(kinds))
    match kind:
        case "struct" | "tagged":
            config: dict[str, Any] = {
                "array_like": kind == "struct" and draw(st.booleans()),
                "omit_defaults": draw(st.booleans()),
                "forbid_unknown_fields": draw(st.booleans()),
                "tag": kind == "tagged",  # alone, msgspec takes it without its tag as well
                "rename": draw(st.sampled_from([None, "camel", "kebab"])),
            }
            cls = msgspec.defstruct(name, _fields(types, defaults, msgspec.field), **config)
        case "dataclass":
            cls = dataclasses.make_dataclass(name, _fields(types, defaults, dataclasses.field))
        case "typed dict":
            hints = {f: _of(NotRequired, t) if f in defaults else t for f, t in types.items()}
            cls = _typed_dict(name, hints)
        case "named tuple":
            cls = _named_tuple(name, list(types.items()))
        case _:
            fields: dict[str, Any] = {
                f: (t, pydantic.Field(default_factory=_giving(defaults[f])) if f in defaults else ...)
                for f, t in types.items()
            }
            cls = pydantic.create_model(name, **fields)
    return cls, st.builds(cls, **values)


def _fields(types: dict[str, Any], defaults: dict[str, Any], field: Any) -> list[Any]:
    return [
        (name, type_, field(default_factory=_giving(defaults[name]))) if name in defaults else (name, type_)
        for name, type_ in types.items()
    ]


def _giving(value: Any) -> Any:
    return lambda: value


def _of_pydantic(inner: Types) -> Types:
    return _containers(inner) | _models(inner, ["pydantic"])


def _of_msgspec(inner: Types) -> Types:
    def either(one: Typed, other: Typed) -> Typed:
        return one[0] | other[0], one[1] | other[1]

    tagged = _models(inner, ["tagged"])
    kinds = ["struct", "dataclass", "typed dict", "named tuple"]
    return _containers(inner) | _models(inner, kinds) | st.builds(either, tagged, tagged)


_pydantic_models = _models(st.recursive(st.sampled_from(_SCALARS), _of_pydantic, max_leaves=4), ["pydantic"])
types = st.recursive(st.sampled_from([*_SCALARS, _BYTES]) | _pydantic_models, _of_msgspec, max_leaves=8)
#: A type, and one value of it.
values = types.flatmap(lambda typed: st.tuples(st.just(typed[0]), typed[1]))


@st.composite
def pruned(draw: st.DrawFn, value: Any) -> Any:
    """JSON of which some members of objects, and last items of arrays, are gone."""
    if isinstance(value, dict):
        kept = [key for key in value if draw(st.integers(0, 5))]
        return {key: draw(pruned(value[key])) for key in kept}
    if isinstance(value, list):
        length = len(value) - (not draw(st.integers(0, 5)))
        return [draw(pruned(item)) for item in value[: max(0, length)]]
    return value
