"""JSON Schemas of Python types, as they are on the wire.

msgspec and pydantic make schemas of their own; those of msgspec say what it accepts, and nothing of what it
writes, which is another thing wherever a field has a default.  So they are made here, of what
:mod:`msgspec.inspect` tells; pydantic's are pydantic's.

The dialect is draft-07, which AsyncAPI 3.0 is made of: a tuple is ``items`` and ``additionalItems``, and beside
``$ref`` nothing else stands.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Final, Literal, Union

import msgspec
from msgspec import NODEFAULT, UnsetType
from msgspec import inspect as mi

from wigwag.errors import NotDescribable
from wigwag.schema import is_pydantic

JsonSchema = dict[str, Any]
FrozenDictType: Any = getattr(mi, "FrozenDictType", mi.DictType)  # since msgspec 0.22
#: ``in`` is what clients send: what has a default may be left out.  ``out`` is what the server sends.
Direction = Literal["in", "out"]


class Schemas:
    """The definitions of all types that were asked for, by reference.

    A reference is ``in:module.Class`` or ``out:module.Class``, and stands so in ``$ref``.
    """

    def __init__(self) -> None:
        self.definitions: dict[str, JsonSchema] = {}

    def of(self, type_: Any, direction: Direction, where: str) -> JsonSchema:
        """The schema of a type; ``where`` is what it is of, for errors.

        Raises:
            NotDescribable: the type can't be described.
        """
        if type_ in (typing.NoReturn, typing.Never):
            return {"not": {}}
        if is_pydantic(type_):
            return _Pydantic(self, direction, where).schema(type_)
        members = _members(type_)
        if direction == "out" and members:  # msgspec writes unions that it would not read
            return any_of([self.of(member, direction, where) for member in members])
        try:
            info = mi.type_info(type_)
        except (TypeError, NameError, ValueError) as exc:
            raise NotDescribable(f"{where} can't be described: {exc}") from None
        return _Msgspec(self, direction).schema(info, where)

    def define(
        self, path: str, direction: Direction, where: str, make: Callable[[], JsonSchema]
    ) -> JsonSchema:
        """A reference to the definition of a class, made if it is not there."""
        ref = f"{direction}:{path}"
        if ref not in self.definitions:
            self.definitions[ref] = {}  # the class may refer to itself
            self.definitions[ref] = make()
        return {"$ref": ref}

    def add(self, ref: str, schema: JsonSchema, where: str) -> None:
        """Add a definition.

        Raises:
            NotDescribable: there is another of this name.
        """
        if not self.alike(self.definitions.setdefault(ref, schema), schema):
            path = ref.partition(":")[2]
            raise NotDescribable(
                f"{where} can't be described: {path} is two things: two classes of one "
                "name, or one that pydantic writes otherwise than msgspec. Rename one, or use it in one of them alone"
            )

    def alike(self, one: JsonSchema, other: JsonSchema) -> bool:
        """Whether two schemas are of one shape, whatever their types are called, and however bounded."""
        assumed: set[tuple[str, str]] = set()

        def schemas_alike(a: JsonSchema, b: JsonSchema) -> bool:
            refs = (a.get("$ref", ""), b.get("$ref", ""))
            if refs != ("", ""):
                if refs in assumed or refs[0] == refs[1]:  # assumed: types that refer to themselves
                    return True
                assumed.add(refs)
                return schemas_alike(self.definitions.get(refs[0], a), self.definitions.get(refs[1], b))
            keys = _shape(a)
            return keys == _shape(b) and all(values_alike(key, a[key], b[key]) for key in keys)

        def values_alike(key: str, a: Any, b: Any) -> bool:
            if key in _MAPS:
                return a.keys() == b.keys() and all(schemas_alike(a[name], b[name]) for name in a)
            if key in _SCHEMAS and isinstance(a, dict) and isinstance(b, dict):
                return schemas_alike(a, b)
            if key in _SCHEMAS and isinstance(a, list) and isinstance(b, list):
                return len(a) == len(b) and all(map(schemas_alike, a, b))
            return bool(sorted(a) == sorted(b) if key == "required" else a == b)

        return schemas_alike(one, other)


def _shape(schema: JsonSchema) -> set[str]:
    """The keywords that say what is there, rather than which values it may have."""
    keys = schema.keys() & _SHAPE
    if not isinstance(schema.get("items"), list):
        keys -= {"minItems", "maxItems"}
    if schema.get("additionalProperties") is True:
        keys -= {"additionalProperties"}
    return keys


#: Keywords whose value maps names to schemas.
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Keywords whose value is a schema, or several.
_SCHEMAS: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "oneOf",
        "prefixItems",
        "propertyNames",
        "then",
    }
)

_SHAPE: Final = _MAPS | _SCHEMAS | {"$ref", "const", "enum", "maxItems", "minItems", "required", "type"}


def parts(schema: Any) -> Iterator[JsonSchema]:
    """A schema, and every schema within it, references not followed."""
    if isinstance(schema, list):
        for item in schema:
            yield from parts(item)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in _MAPS:
                yield from parts(list(value.values()))
            elif key in _SCHEMAS:
                yield from parts(value)


def changed(schema: Any, change: Callable[[JsonSchema], JsonSchema]) -> Any:
    """A copy of a schema in which every schema is changed, the innermost first."""
    if isinstance(schema, list):
        return [changed(item, change) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy: JsonSchema = {}
    for key, value in schema.items():
        if key in _MAPS:
            copy[key] = {name: changed(item, change) for name, item in value.items()}
        elif key in _SCHEMAS:
            copy[key] = changed(value, change)
        else:
            copy[key] = value
    return change(copy)


def any_of(options: list[JsonSchema]) -> JsonSchema:
    """One of several, in an order that does not depend on how the union was written: typing keeps one object for
    ``A | B`` and ``B | A``, so that theirs is that of whichever module is imported first."""
    flat: dict[str, JsonSchema] = {}
    for option in options:
        for one in option["anyOf"] if set(option) == {"anyOf"} else [option]:
            flat[json.dumps(one, sort_keys=True, default=repr)] = one
    ordered = sorted(flat.items(), key=lambda item: (item[1] == _NULL, item[0]))
    return ordered[0][1] if len(ordered) == 1 else {"anyOf": [schema for _, schema in ordered]}


def annotated(schema: JsonSchema, notes: Mapping[str, Any]) -> JsonSchema:
    """A schema with more said about it."""
    if not notes:
        return schema
    return {**({"allOf": [schema]} if "$ref" in schema else schema), **notes}


def path_of(cls: Any) -> str:
    """The module and name of a class, of a generic one with its arguments."""
    origin = typing.get_origin(cls)
    if origin is not None:
        return f"{path_of(origin)}[{','.join(path_of(arg) for arg in typing.get_args(cls))}]"
    if isinstance(cls, type):
        module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
        return f"{module}{cls.__qualname__}".replace(".<locals>", "")
    return str(cls)


def _members(type_: Any) -> tuple[Any, ...]:
    return typing.get_args(type_) if typing.get_origin(type_) in (Union, UnionType) else ()


_NULL: Final = {"type": "null"}

_SIMPLE: Final[dict[type[mi.Type], JsonSchema]] = {
    mi.AnyType: {},
    mi.RawType: {},
    mi.NoneType: _NULL,
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


class _Msgspec:
    """What msgspec takes and writes, in one direction."""

    def __init__(self, schemas: Schemas, direction: Direction) -> None:
        self._schemas = schemas
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
            case mi.DictType() | FrozenDictType():
                values = self.schema(info.value_type, where)
                return {"type": "object", **self._names(info.key_type, where), "additionalProperties": values}
            case mi.UnionType():
                return any_of([self.schema(option, where) for option in info.types])
            case mi.LiteralType():
                return {"enum": list(info.values)}
            case mi.CustomType(cls=cls) if cls is object:  # of a reply, whatever can be written
                return {}
            case mi.CustomType() if is_pydantic(info.cls):
                return self._schemas.of(info.cls, self._direction, where)
            case (
                mi.EnumType()
                | mi.StructType()
                | mi.TypedDictType()
                | mi.DataclassType()
                | mi.NamedTupleType()
            ):
                return self._schemas.define(
                    path_of(info.cls), self._direction, where, lambda: self._definition(info)
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
        target = self._schemas.definitions.get(schema.get("$ref", ""), schema)
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
            and UnsetType not in (hints[field.name], *_members(hints[field.name]))
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


class _Pydantic:
    """What pydantic takes and writes, in one direction."""

    def __init__(self, schemas: Schemas, direction: Direction, where: str) -> None:
        self._schemas = schemas
        self._direction: Direction = direction
        self._where = where

    def schema(self, cls: Any) -> JsonSchema:
        """The schema of a model."""
        import pydantic  # is there, since the class is

        mode: Any = "validation" if self._direction == "in" else "serialization"
        try:
            schemas, rest = pydantic.TypeAdapter.json_schemas(
                [(0, mode, pydantic.TypeAdapter(cls))],
                ref_template="{model}",
                schema_generator=_generator(),
            )
        except pydantic.errors.PydanticUserError as exc:
            raise NotDescribable(f"{self._where} can't be described: {exc.message}") from None
        for path, schema in rest.get("$defs", {}).items():
            self._schemas.add(f"{self._direction}:{path}", self._ours(schema), self._where)
        return self._ours(schemas[0, mode])

    def _ours(self, schema: JsonSchema) -> JsonSchema:
        whole: JsonSchema = changed(schema, self._draft_7)
        return whole

    def _draft_7(self, schema: JsonSchema) -> JsonSchema:
        schema.pop("discriminator", None)  # OpenAPI's; the tags are there as constants
        if "$ref" in schema:
            ref = {"$ref": f"{self._direction}:{schema.pop('$ref')}"}
            return annotated(ref, schema)
        if (
            "enum" in schema and "title" not in schema
        ):  # a Literal: typing keeps one for equal ones, as of unions
            schema["enum"] = sorted(schema["enum"], key=lambda value: (type(value).__name__, value))
        if "prefixItems" in schema:
            rest = schema.pop("items", None)
            schema["items"] = schema.pop("prefixItems")
            if schema.get("maxItems") == len(schema["items"]):
                rest = False
            if rest is not None:
                schema["additionalItems"] = rest
        for union in ("anyOf", "oneOf"):
            if union in schema:
                options = any_of(schema.pop(union))
                one: JsonSchema = {union: options["anyOf"]} if "anyOf" in options else options
                schema = annotated(one, schema)
        return schema


def _generator() -> type[Any]:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        """pydantic's, with the class's whole path as a name, and no titles made up."""

        def get_defs_ref(self, core_mode_ref: Any) -> Any:
            unique = super().get_defs_ref(core_mode_ref)
            path: Any = re.sub(r":\d+", "", core_mode_ref[0]).replace(".<locals>", "")
            while path in self._prioritized_defsref_choices:  # another class of this path
                path += "'"
            del self._prioritized_defsref_choices[unique]
            self._prioritized_defsref_choices[path] = [path]
            return path

        def field_is_required(self, field: Any, total: bool) -> bool:
            if self.mode == "serialization" and field["type"] != "typed-dict-field":
                return field.get("serialization_exclude_if") is None and not _may_be_missing(field["schema"])
            return super().field_is_required(field, total)

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return Generator


def _may_be_missing(schema: Any) -> bool:
    """Whether a pydantic field may hold MISSING, which is not written."""
    if isinstance(schema, Mapping):
        return schema.get("type") == "missing-sentinel" or any(
            _may_be_missing(schema.get(key)) for key in ("schema", "choices")
        )
    return isinstance(schema, list | tuple) and any(_may_be_missing(choice) for choice in schema)
