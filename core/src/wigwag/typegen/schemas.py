"""The JSON Schema of any type that may be on the wire."""

from __future__ import annotations

import typing
from typing import Any

from msgspec import inspect as mi

from wigwag.errors import NotDescribable
from wigwag.schema import is_pydantic
from wigwag.typegen.definitions import Definitions, Direction, JsonSchema, any_of
from wigwag.typegen.of_msgspec import OfMsgspec, members
from wigwag.typegen.of_pydantic import schema_of_pydantic


def schema_of_type(type_: Any, definitions: Definitions, direction: Direction, where: str) -> JsonSchema:
    """The schema of a type, with what it refers to among the definitions; ``where`` is what it is of, for errors.

    Raises:
        NotDescribable: the type can't be described.
    """
    if type_ in (typing.NoReturn, typing.Never):
        return {"not": {}}
    if is_pydantic(type_):
        return schema_of_pydantic(type_, definitions, direction, where)
    options = members(type_)
    if direction == "out" and options:  # msgspec writes unions that it would not read
        return any_of([schema_of_type(option, definitions, direction, where) for option in options])
    try:
        info = mi.type_info(type_)
    except (TypeError, NameError, ValueError) as exc:
        raise NotDescribable(f"{where} can't be described: {exc}") from None
    return OfMsgspec(definitions, direction).schema(info, where)
