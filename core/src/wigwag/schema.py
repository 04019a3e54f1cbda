"""Validated types: what a message's data must be, on the way in and on the way out.

A type may be a msgspec Struct, a dataclass, a TypedDict, a builtin, or a pydantic model where pydantic
is installed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from wigwag.errors import InvalidMessage

T = TypeVar("T")

Details = list[dict[str, str]]


class Schema(Generic[T]):
    """One type, ready to decode and encode.  Made by :func:`schema_of`."""

    __slots__ = ("_adapter", "_decode", "type")

    def __init__(self, type_: Any) -> None:
        """Raises TypeError where the type can't be validated."""
        self.type = type_
        self._adapter: Any = None
        if _is_pydantic(type_):
            self._adapter = sys.modules["pydantic"].TypeAdapter(type_)
            self._decode: Callable[[bytes], Any] = self._adapter.validate_json
        else:
            self._decode = msgspec.json.Decoder(type_, dec_hook=_decode_foreign).decode

    def decode(self, data: bytes) -> T:
        """The value of JSON ``data``.

        Raises:
            InvalidMessage: with the paths of what does not fit.
        """
        try:
            return cast("T", self._decode(data))
        except (ValueError, RecursionError) as exc:
            raise _invalid(exc) from None

    def encode(self, value: T | Mapping[str, Any]) -> bytes:
        """JSON of ``value``, after it has been seen to fit.

        msgspec checks nothing when a Struct is made, so the bytes are decoded once more: 1.5 µs.

        Raises:
            InvalidMessage: with the paths of what does not fit; NaN and infinities do not.
        """
        try:
            if self._adapter is not None:
                model = self._adapter.validate_python(value)
                data = cast("bytes", self._adapter.dump_json(model, by_alias=True))
            else:
                model = value
                data = _encode(value)
                decoded = self._decode(data)
                if isinstance(value, dict) and decoded.__class__ is not dict:
                    data = _encode(decoded)
        except (ValueError, TypeError, RecursionError, OverflowError) as exc:
            raise _invalid(exc) from None
        if b"null" in data:
            _refuse_nan(model)
        return data


def schema_of(type_: Any) -> Schema[Any]:
    """The schema of a type.

    Raises:
        TypeError: it can't be validated (a class that is none of those above).
    """
    return Schema(type_)


def encode_json(value: Any) -> bytes:
    """JSON of any value: what a handler returned, what an HTTP caller sent.

    Raises:
        InvalidMessage: it can't be written as JSON, NaN and infinities among it.
    """
    try:
        data = _encode(value)
    except (ValueError, TypeError, RecursionError, OverflowError) as exc:
        raise _invalid(exc) from None
    if b"null" in data:
        _refuse_nan(value)
    return data


def _is_pydantic(type_: Any) -> bool:
    """Whether it is a pydantic model or dataclass, asked without importing pydantic."""
    return "pydantic" in sys.modules and hasattr(type_, "__pydantic_core_schema__")


def _decode_foreign(type_: Any, value: Any) -> Any:
    """msgspec's hook for types it doesn't know: a pydantic model inside a Struct."""
    if _is_pydantic(type_):
        return type_.model_validate(value)
    raise NotImplementedError(f"{type_!r} can't be validated")


def _encode_foreign(value: Any) -> Any:
    if _is_pydantic(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise NotImplementedError(f"{type(value)!r} can't be written as JSON")


_encode = msgspec.json.Encoder(enc_hook=_encode_foreign).encode


def _invalid(exc: Exception) -> InvalidMessage:
    details: Details
    if isinstance(exc, RecursionError):
        details = [{"path": "$", "message": "nested too deeply"}]
    elif (errors := getattr(exc, "errors", None)) is not None:  # pydantic's ValidationError
        details = [{"path": _path(error["loc"]), "message": error["msg"]} for error in errors()]
    else:
        message, _, path = str(exc).partition(" - at `")
        details = [{"path": path.rstrip("`") or "$", "message": message}]
    first = details[0]
    return InvalidMessage(f"{first['message']} (at {first['path']})", details)


def _path(loc: tuple[int | str, ...]) -> str:
    """pydantic's location in msgspec's notation, so that a client sees one form."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)


def _refuse_nan(value: Any) -> None:
    """msgspec and pydantic write NaN as null; refuse it.  Asked only where a null was written."""
    if _is_pydantic(type(value)):
        value = value.model_dump()
    stack = [msgspec.to_builtins(value, enc_hook=_encode_foreign)]
    while stack:
        part = stack.pop()
        if isinstance(part, float):
            if not math.isfinite(part):
                message = "NaN and infinities are not JSON"
                raise InvalidMessage(message, [{"path": "$", "message": message}])
        elif isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, list | tuple):
            stack.extend(part)
