"""Validated types: what a message's data must be, on the way in and on the way out.

A type may be a msgspec Struct, a dataclass, a TypedDict, a builtin, or a pydantic model where pydantic
is installed.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MemberDescriptorType
from typing import Any, Generic, TypeVar, cast, get_origin

import msgspec
from msgspec import inspect as mi

from wigwag.errors import InvalidMessage

T = TypeVar("T")

Details = list[dict[str, str]]


class Schema(Generic[T]):
    """One type, ready to decode and encode.  Made by :func:`schema_of`."""

    __slots__ = ("_adapter", "_decode", "type")

    def __init__(self, type_: Any) -> None:
        """Raises TypeError where the type can't be validated."""
        _refuse_foreign(type_)
        self.type: Any = type_
        self._adapter: Any = None
        if is_pydantic(type_):
            self._adapter = sys.modules["pydantic"].TypeAdapter(type_)
            self._decode: Callable[[bytes], Any] = self._adapter.validate_json
        else:
            self._decode = msgspec.json.Decoder(type_, dec_hook=_decode_foreign).decode
            self._decode = _with_defaults(type_, self._decode)

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

        msgspec checks nothing when a Struct is made, so the bytes are decoded once more; and it writes
        what a subclass or a TypedDict's stranger keys add, so what is sent is the decoded value, which
        has the declared fields and no others.  A pydantic model was checked by pydantic when it was made,
        and is not again: one that was changed since vouches for itself.

        Raises:
            InvalidMessage: with the paths of what does not fit; NaN and infinities do not.
        """
        if isinstance(value, Mapping) and not isinstance(value, dict):
            value = dict(value)
        try:
            if self._adapter is not None:
                model = self._adapter.validate_python(value)
                data = cast("bytes", self._adapter.dump_json(model, by_alias=True))
            else:
                model = value
                data = _encode(self._decode(_encode(value)))
        except _ENCODING_ERRORS as exc:
            raise _invalid(exc) from None
        if b"null" in data or (self._adapter is not None and _has_nan(data)):
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
    except _ENCODING_ERRORS as exc:
        raise _invalid(exc) from None
    if b"null" in data:
        _refuse_nan(value)
    return data


def _with_defaults(type_: Any, decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """msgspec leaves a dataclass's defaults on its class, and writes then only what the instance has."""
    defaults: dict[Any, dict[str, Any]] = {}
    deeply = False
    for number, part in enumerate(_parts_of(type_)):
        cls = get_origin(getattr(part, "cls", None)) or getattr(part, "cls", None)
        if isinstance(part, mi.DataclassType) and dataclasses.is_dataclass(cls):  # and not of attrs
            left = {f.name: f.default for f in dataclasses.fields(cls) if _is_on_class(cls, f)}
            if left:
                defaults[cls] = left
                deeply = deeply or number > 0
    if not defaults:
        return decode

    def decode_with_defaults(data: bytes) -> Any:
        value = decode(data)
        stack = [value]
        while stack:
            part = stack.pop()
            for name, default in defaults.get(type(part), {}).items():
                vars(part).setdefault(name, default)
            if deeply:
                stack.extend(_within(part))
        return value

    return decode_with_defaults


def _is_on_class(cls: Any, field: dataclasses.Field[Any]) -> bool:
    """Whether a field has a default, and no slot."""
    slot = inspect.getattr_static(cls, field.name, None)
    return field.default is not dataclasses.MISSING and not isinstance(slot, MemberDescriptorType)


#: RuntimeError: nested too deeply, or of a type that can't be written.
_ENCODING_ERRORS = (ValueError, TypeError, OverflowError, RuntimeError)


def _refuse_foreign(type_: Any) -> None:
    """msgspec takes any class, and asks its hook for the value only when there is one."""
    for part in _parts_of(type_):
        if isinstance(part, mi.CustomType) and not is_pydantic(part.cls):
            raise TypeError(
                f"{part.cls!r} can't be validated: use a Struct, a dataclass, a TypedDict or pydantic"
            )
        if isinstance(part, mi.DataclassType) and part.cls is not type_ and is_pydantic(part.cls):
            raise TypeError(
                f"{part.cls!r} is pydantic's dataclass, whose rules msgspec would not ask: use a BaseModel"
            )


def _parts_of(type_: Any) -> Iterator[mi.Type]:
    """What msgspec tells of a type, and of all within it, each once; the type itself again if it is there too."""
    first = mi.type_info(type_)
    yield first
    seen: set[int] = set()
    stack: list[Any] = [getattr(first, name) for name in first.__struct_fields__]
    while stack:
        part = stack.pop()
        if isinstance(part, list | tuple):
            stack.extend(part)
        elif isinstance(part, mi.Type | mi.Field) and id(part) not in seen:
            seen.add(id(part))
            if isinstance(part, mi.Type):
                yield part
            stack.extend(getattr(part, name) for name in part.__struct_fields__)


def _has_nan(data: bytes) -> bool:
    return b"NaN" in data or b"Infinity" in data


def is_pydantic(type_: Any) -> bool:
    """Whether it is a pydantic model or dataclass, asked without importing pydantic."""
    return "pydantic" in sys.modules and hasattr(type_, "__pydantic_core_schema__")


def _decode_foreign(type_: Any, value: Any) -> Any:
    """msgspec's hook for types it doesn't know: a pydantic model inside a Struct."""
    if is_pydantic(type_):
        return type_.model_validate(value)
    raise NotImplementedError(f"{type_!r} can't be validated")


def _encode_foreign(value: Any) -> Any:
    if is_pydantic(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise NotImplementedError(f"{type(value)!r} can't be written as JSON")


_encode = msgspec.json.Encoder(enc_hook=_encode_foreign).encode


def _invalid(exc: Exception) -> InvalidMessage:
    details: Details
    if isinstance(exc, RecursionError):
        details = [{"path": "$", "message": "nested too deeply"}]
    elif hasattr(exc, "errors"):  # pydantic's ValidationError
        details = _pydantic_details("$", exc)
    else:
        message, _, path = str(exc).partition(" - at `")
        if hasattr(exc.__cause__, "errors"):  # of a pydantic model inside a Struct
            _, found, path = str(exc).rpartition(" - at `")
            details = _pydantic_details(path.rstrip("`") if found else "$", exc.__cause__)
        else:
            details = [{"path": path.rstrip("`") or "$", "message": message}]
    first = details[0]
    return InvalidMessage(f"{first['message']} (at {first['path']})", details)


def _pydantic_details(path: str, exc: Any) -> Details:
    """pydantic's locations in msgspec's notation, so that a client sees one form."""
    return [
        {
            "path": path + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error["loc"]),
            "message": error["msg"],
        }
        for error in exc.errors()
    ]


def _refuse_nan(value: Any) -> None:
    """msgspec and pydantic write NaN as null; refuse it.  Asked only where a null was written."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, float):
            if not math.isfinite(part):
                message = "NaN and infinities are not JSON"
                raise InvalidMessage(message, [{"path": "$", "message": message}])
        else:
            stack.extend(_within(part))


def _within(value: Any) -> Iterable[Any]:
    """The values that a value is made of."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, msgspec.Struct):
        return (getattr(value, name) for name in value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return (getattr(value, field.name, None) for field in dataclasses.fields(value))
    return vars(value).values() if is_pydantic(type(value)) else ()
