"""JSON Schemas of pydantic's models, as pydantic makes them, in the dialect and with the references of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wigwag.errors import NotDescribable
from wigwag.typegen.definitions import Definitions, Direction, JsonSchema, annotated, any_of, changed


def schema_of_pydantic(cls: Any, definitions: Definitions, direction: Direction, where: str) -> JsonSchema:
    """The schema of a model, with what it refers to among the definitions; ``where`` is what it is of, for errors.

    Raises:
        NotDescribable: it can't be described.
    """
    import pydantic  # is there, since the class is

    mode: Any = "validation" if direction == "in" else "serialization"
    try:
        schemas, rest = pydantic.TypeAdapter.json_schemas(
            [(0, mode, pydantic.TypeAdapter(cls))], ref_template="{model}", schema_generator=_generator()
        )
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as exc:
        raise NotDescribable(f"{where} can't be described: {exc.message}") from None

    def draft_7(schema: JsonSchema) -> JsonSchema:
        return _draft_7(schema, direction)

    for path, schema in rest.get("$defs", {}).items():
        definitions.add(f"{direction}:{path}", changed(schema, draft_7))
    whole: JsonSchema = changed(schemas[0, mode], draft_7)
    return whole


def _draft_7(schema: JsonSchema, direction: Direction) -> JsonSchema:
    schema.pop("discriminator", None)  # OpenAPI's; the tags are there as constants
    if "$ref" in schema:
        ref = {"$ref": f"{direction}:{schema.pop('$ref')}"}
        return annotated(ref, schema)
    if "enum" in schema:
        schema.pop("const", None)  # older versions say both
        if "title" not in schema:  # a Literal: as of unions, typing keeps one of those that are equal
            schema["enum"] = sorted(schema["enum"], key=lambda value: (type(value).__name__, _ordered(value)))
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


def _ordered(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else repr(value)


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
