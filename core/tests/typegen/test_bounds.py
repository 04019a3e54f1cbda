"""What AsyncAPI has, and TypeScript has no word for: bounds, patterns, formats, defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wigwag.typegen import Api


@pytest.mark.parametrize(
    ("python", "schema"),
    [
        ("Annotated[int, Meta(ge=1, lt=5)]", {"type": "integer", "minimum": 1, "exclusiveMaximum": 5}),
        ("Annotated[float, Meta(multiple_of=0.5)]", {"type": "number", "multipleOf": 0.5}),
        (
            'Annotated[str, Meta(max_length=3, pattern="^a")]',
            {"type": "string", "maxLength": 3, "pattern": "^a"},
        ),
        (
            "Annotated[list[int], Meta(min_length=1)]",
            {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        ),
        (
            "Annotated[dict[str, int], Meta(max_length=2)]",
            {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
        ),
        (  # of the base64
            "Annotated[bytes, Meta(max_length=4)]",
            {"type": "string", "contentEncoding": "base64", "maxLength": 8},
        ),
        (
            'Annotated[int, Meta(description="Of it.", examples=[1])]',
            {"type": "integer", "description": "Of it.", "examples": [1]},
        ),
        ('Annotated[Inner, Meta(title="In")]', {"allOf": [{"$ref": "Inner"}], "title": "In"}),
        ("Annotated[datetime.datetime, Meta(tz=True)]", {"type": "string", "format": "date-time"}),
        ("datetime.datetime", {"type": "string"}),  # with an offset or without
        ("set[str]", {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        ("uuid.UUID", {"type": "string", "format": "uuid"}),
        (
            'dict[Annotated[str, Meta(pattern="^a")], Any]',
            {"type": "object", "propertyNames": {"pattern": "^a"}, "additionalProperties": {}},
        ),
    ],
)
def test_bounds_and_formats(described: Callable[[str], Api], python: str, schema: dict[str, Any]) -> None:
    api = described(f"""
    class Inner(Struct):
        a: int
    class Out(SocketMessage, name="out"):
        field: {python}
    """)
    assert api.types["Out"]["properties"]["field"] == schema


def test_defaults_of_what_clients_may_leave_out(described: Callable[[str], Api]) -> None:
    api = described("""
    class Inner(Struct, frozen=True):
        a: int = 1
    class Model(pydantic.BaseModel):
        a: int = 1
    class In(Struct):
        a: int = 1
        b: list[int] = []
        c: Inner = Inner()
        d: Model = Model()
        e: float = msgspec.field(default_factory=lambda: 1.0)
    @router.on("x")
    def x(ctx: SocketContext, data: In) -> None: ...
    """)
    fields = api.types["In"]["properties"]
    assert fields["a"] == {"type": "integer", "default": 1}
    assert fields["b"]["default"] == []
    assert fields["c"] == {"allOf": [{"$ref": "Inner"}], "default": {"a": 1}}
    assert fields["d"] == {"$ref": "Model"}  # which msgspec does not write
    assert fields["e"] == {"type": "number"}
