"""JSON Schemas, and the definitions that they refer to.

The dialect is draft-07, which AsyncAPI 3.0 is made of: a tuple is ``items`` and ``additionalItems``, and beside
``$ref`` nothing else stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from wigwag.errors import NotDescribable

JsonSchema = dict[str, Any]
#: ``in`` is what clients send: what has a default may be left out.  ``out`` is what the server sends.
Direction = Literal["in", "out"]

NULL: Final = {"type": "null"}
_IN_THE_MAKING: Final[JsonSchema] = {}

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


class Definitions:
    """The schemas of classes, by reference.

    A reference is ``in:module.Class`` or ``out:module.Class``, and stands so in ``$ref``.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, JsonSchema] = {}
        self._classes: dict[str, list[Any]] = {}

    def define(self, cls: Any, path: str, direction: Direction, make: Callable[[], JsonSchema]) -> JsonSchema:
        """A reference to the definition of a class, made if it is not there.

        Raises:
            NotDescribable: as :meth:`add` does.
        """
        ref = f"{direction}:{path}"
        known = self._classes.setdefault(ref, [])
        if not any(cls == one for one in known):
            known.append(cls)
            if ref in self.schemas:
                self.add(ref, make())
            else:
                self.schemas[ref] = _IN_THE_MAKING  # the class may refer to itself
                self.schemas[ref] = make()
        return {"$ref": ref}

    def add(self, ref: str, schema: JsonSchema) -> None:
        """Add a definition.

        Raises:
            NotDescribable: there is one of another shape.
        """
        there = self.schemas.setdefault(ref, schema)
        if there is not _IN_THE_MAKING and not self.alike(there, schema):
            raise NotDescribable(
                f"{ref.partition(':')[2]} is two things: two classes of one name, or one that pydantic writes "
                "otherwise than msgspec. Rename one, or use it in one of them alone"
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
                return schemas_alike(self.schemas.get(refs[0], a), self.schemas.get(refs[1], b))
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
    ordered = sorted(flat.items(), key=lambda item: (item[1] == NULL, item[0]))
    return ordered[0][1] if len(ordered) == 1 else {"anyOf": [schema for _, schema in ordered]}


def annotated(schema: JsonSchema, notes: Mapping[str, Any]) -> JsonSchema:
    """A schema with more said about it."""
    if not notes:
        return schema
    return {**({"allOf": [schema]} if "$ref" in schema else schema), **notes}
