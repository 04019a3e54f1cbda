"""JSON Schemas of the types that msgspec takes and writes, as they are on the wire.

msgspec makes schemas of its own, which say what it accepts, and nothing of what it writes: another thing wherever a
field has a default.  So they are made here, of what :mod:`msgspec.inspect` tells.
"""

from __future__ import annotations

import inspect
import re
import typing
from types import UnionType
from typing import Annotated, Any, Final, Union

import msgspec
from msgspec import NODEFAULT, UnsetType
from msgspec import inspect as mi
from typing_extensions import TypeAliasType

from wigwag.errors import NotDescribable
from wigwag.schema import is_pydantic
from wigwag.typegen.definitions import NULL, Definitions, Direction, JsonSchema, annotated, any_of
from wigwag.typegen.of_pydantic import schema_of_pydantic

_FrozenDictType: Any = getattr(mi, "FrozenDictType", mi.DictType)  # since msgspec 0.22

_SIMPLE: Final[dict[type[mi.Type], JsonSchema]] = {
    mi.AnyType: {},
    mi.RawType: {},
    mi.NoneType: NULL,
    mi.BoolType: {"type": "boolean"},
    mi.IntType: {"type": "integer"},
    mi.FloatType: {"type": "number"},
    mi.StrType: {"type": "string"},
    mi.DateType: {"type": "string", "format": "date"},
    mi.TimeDeltaType: {"type": "string", "format": "duration"},
    mi.UUIDType: {"type": "string", "format": "uuid"},
    mi.DecimalType: {"type": "string", "format": "decimal"},
    mi.BytesType: {"type": "string", "contentEncoding": "base64"},
    mi.ByteArrayType: {"type": "string", "contentEncoding": "base64"},
    mi.MemoryViewType: {"type": "string", "contentEncoding": "base64"},
}
_BOUNDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}


class OfMsgspec:
    """What msgspec takes and writes, in one direction."""

    def __init__(self, definitions: Definitions, direction: Direction) -> None:
        self._definitions = definitions
        self._direction: Direction = direction

    def schema(self, info: mi.Type, where: str) -> JsonSchema:
        """The schema of what msgspec tells of a type."""
        schema = self._unbounded(info, where)
        for attribute, keyword in _BOUNDS.items():
            if getattr(info, attribute, None) is not None:
                schema = {**schema, keyword: getattr(info, attribute)}
        for attribute in ("min_length", "max_length"):
            length = getattr(info, attribute, None)
            if length is not None:
                if "contentEncoding" in schema:  # of the base64, not of the bytes
                    length = 4 * ((length + 2) // 3)
                schema = {**schema, attribute[:3] + _LENGTHS[schema["type"]]: length}
        return schema

    def _unbounded(self, info: mi.Type, where: str) -> JsonSchema:
        simple = _SIMPLE.get(type(info))
        if simple is not None:
            return dict(simple)
        match info:
            case mi.Metadata():
                return annotated(self.schema(info.type, where), info.extra_json_schema or {})
            case mi.DateTimeType():  # with an offset or without, unless it is said
                return {"type": "string", **({"format": "date-time"} if info.tz else {})}
            case mi.TimeType():
                return {"type": "string", **({"format": "time"} if info.tz else {})}
            case mi.SetType() | mi.FrozenSetType():
                return {"type": "array", "items": self.schema(info.item_type, where), "uniqueItems": True}
            case mi.CollectionType():
                return {"type": "array", "items": self.schema(info.item_type, where)}
            case mi.TupleType():
                items = [self.schema(item, where) for item in info.item_types]
                return _tuple(items, len(items))
            case mi.DictType() | _FrozenDictType():
                values = self.schema(info.value_type, where)
                return {"type": "object", **self._names(info.key_type, where), "additionalProperties": values}
            case mi.UnionType():
                return any_of([self.schema(option, where) for option in info.types])
            case mi.LiteralType():
                return {"enum": list(info.values)}
            case mi.CustomType(cls=cls) if cls is object:  # of a reply, whatever can be written
                return {}
            case mi.CustomType() if is_pydantic(info.cls):
                return schema_of_pydantic(info.cls, self._definitions, self._direction, where)
            case (
                mi.EnumType()
                | mi.StructType()
                | mi.TypedDictType()
                | mi.DataclassType()
                | mi.NamedTupleType()
            ):
                return self._definitions.define(
                    info.cls, path_of(info.cls), self._direction, lambda: self._definition(info)
                )
            case _:
                name = getattr(getattr(info, "cls", None), "__qualname__", type(info).__name__)
                raise NotDescribable(
                    f"{where} can't be described: {name} is no type that is written as JSON. Use a Struct, a "
                    "dataclass, a TypedDict or a pydantic model"
                )

    def _names(self, key: mi.Type, where: str) -> JsonSchema:
        """What the keys of an object may be; numbers and the like are written as text, which says nothing."""
        schema = self.schema(key, where)
        target = self._definitions.schemas.get(schema.get("$ref", ""), schema)
        if "enum" in target:
            is_text = all(isinstance(value, str) for value in target["enum"])
            return {"propertyNames": schema} if is_text else {}
        is_bounded = schema.pop("type", None) == "string" and schema
        return {"propertyNames": schema} if is_bounded else {}

    def _definition(self, info: Any) -> JsonSchema:
        name = getattr(typing.get_origin(info.cls) or info.cls, "__qualname__", str(info.cls))
        if isinstance(info, mi.EnumType):
            values = [member.value for member in info.cls]
            kind = "string" if isinstance(values[0], str) else "integer"  # msgspec takes no others
            return {**_described(info.cls), "type": kind, "enum": values}
        fields = {field.encode_name: self._field(field, f"{name}.{field.name}") for field in info.fields}
        required = self._always_there(info)
        if isinstance(info, mi.StructType) and info.tag_field is not None:
            fields = {info.tag_field: {"const": info.tag}, **fields}
            required.insert(0, info.tag_field)
        if isinstance(info, mi.NamedTupleType) or getattr(info, "array_like", False):
            optional = 0
            for encode_name in reversed(fields):
                if encode_name in required:
                    break
                optional += 1
            is_closed = (
                self._direction == "out" or isinstance(info, mi.NamedTupleType) or info.forbid_unknown_fields
            )
            items = _tuple(list(fields.values()), len(fields) - optional, is_closed=is_closed)
            return {**_described(info.cls), **items}
        schema = {**_described(info.cls), "type": "object", "properties": fields, "required": required}
        if not required:
            del schema["required"]
        if getattr(info, "forbid_unknown_fields", False):
            schema["additionalProperties"] = False
        return schema

    def _field(self, field: mi.Field, where: str) -> JsonSchema:
        schema = self.schema(field.type, where)
        if self._direction == "out" or field.required:
            return schema
        default = field.default
        if default is NODEFAULT and field.default_factory in (list, dict, set, bytearray):
            default = field.default_factory()
        if default is NODEFAULT:
            return schema
        try:
            return annotated(schema, {"default": msgspec.to_builtins(default, str_keys=True)})
        except (TypeError, ValueError):  # a pydantic model, say
            return schema

    def _always_there(self, info: Any) -> list[str]:
        """The fields that are on the wire, whatever they hold."""
        cls = typing.get_origin(info.cls) or info.cls
        if self._direction == "in" or isinstance(info, mi.TypedDictType):
            return [field.encode_name for field in info.fields if field.required]
        is_sparse = (
            isinstance(info, mi.StructType) and cls.__struct_config__.omit_defaults and not info.array_like
        )
        hints = typing.get_type_hints(cls)  # msgspec tells of types without UNSET, which is not written
        return [
            field.encode_name
            for field in info.fields
            if (field.required or not is_sparse)
            and UnsetType not in (hints.get(field.name), *members(hints.get(field.name)))
        ]


def _tuple(items: list[JsonSchema], required: int, *, is_closed: bool = True) -> JsonSchema:
    schema: JsonSchema = {"type": "array", "items": items, "minItems": required}
    if not items:
        del schema["items"]
    if is_closed:
        schema |= {"maxItems": len(items), **({"additionalItems": False} if items else {})}
    return schema


def _described(cls: Any) -> JsonSchema:
    """A class's own docstring; what dataclass and enum make up is none."""
    origin: Any = typing.get_origin(cls) or cls
    text = inspect.cleandoc(origin.__dict__.get("__doc__") or "")
    if not text or re.match(rf"{origin.__name__}\(.*\)$", text) or text == "An enumeration.":
        return {}
    return {"description": text}


def path_of(cls: Any) -> str:
    """The module and name of a class, of a generic one with its arguments."""
    origin = typing.get_origin(cls)
    if origin is not None:
        return f"{path_of(origin)}[{','.join(path_of(arg) for arg in typing.get_args(cls))}]"
    if isinstance(cls, type):
        module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
        return f"{module}{cls.__qualname__}".replace(".<locals>", "")
    return str(cls)


def members(type_: Any) -> tuple[Any, ...]:
    """The members of a union, by whatever name; of anything else, none."""
    origin = typing.get_origin(type_)
    if origin is Annotated:
        return members(typing.get_args(type_)[0])
    if isinstance(type_, TypeAliasType):
        return members(type_.__value__)
    return typing.get_args(type_) if origin in (Union, UnionType) else ()
