"""What backends, and in development mode clients, may ask to have published.  Sans-I/O."""

from __future__ import annotations

import json
import re
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from wigwag.errors import InvalidMessage, InvalidSocketId, InvalidTopic
from wigwag.messages import encode_named
from wigwag.node import node_tag_of
from wigwag.provider import Provider
from wigwag.topics import check_topic

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1, max_length=256)]

#: What the names of the server's own events begin with; a client must be able to rely on who emitted them.
RESERVED_PREFIX: Final = "wigwag."
_RESERVED = f"event names that begin with {RESERVED_PREFIX} are the server's own"
_LOOKS_RESERVED = (
    f"it would be read as an event whose name begins with {RESERVED_PREFIX}: those are the server's own"
)
_LONE_SURROGATE = "not Unicode: a \\ud800 to \\udfff that is not one of a pair"

# Pairs and other escapes are consumed as wholes, so that what the group finds is alone.
_find_surrogates = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
).finditer

_ONE_OF = 'a message has "name" and "data", or "text", or "base64", and only one of them'


class Content(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be delivered: an event, or a text, or bytes."""

    name: Name | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    text: str | UnsetType = UNSET
    base64: bytes | UnsetType = UNSET

    def payload(self) -> str | bytes:
        """What the sockets receive.

        Raises:
            InvalidMessage: it is none of the three, or more than one.
        """
        given = [
            self.name is not UNSET or self.data is not UNSET,
            self.text is not UNSET,
            self.base64 is not UNSET,
        ]
        if sum(given) == 1:
            if not isinstance(self.text, UnsetType):
                return self.text
            if not isinstance(self.base64, UnsetType):
                return self.base64
            if not isinstance(self.name, UnsetType) and not isinstance(self.data, UnsetType):
                return encode_named(self.name, bytes(self.data)).decode()
        raise InvalidMessage(_ONE_OF, [{"path": "$", "message": _ONE_OF}])

    def check(self) -> None:
        """Raises InvalidTopic or InvalidSocketId where it can't go where it is meant to."""

    async def deliver(self, provider: Provider, payload: str | bytes) -> None:
        """Hand the payload to a provider; raises what the provider raises."""
        raise NotImplementedError


class ToTopic(Content, kw_only=True, forbid_unknown_fields=True):
    """For the sockets of a topic."""

    topic: str

    def check(self) -> None:
        """Raises InvalidTopic."""
        check_topic(self.topic)

    async def deliver(self, provider: Provider, payload: str | bytes) -> None:
        """Hand the payload to a provider."""
        await provider.publish(self.topic, payload)


class ToSocket(Content, kw_only=True, forbid_unknown_fields=True):
    """For one socket."""

    socketId: str  # noqa: N815 - the wire's name

    def check(self) -> None:
        """Raises InvalidSocketId."""
        node_tag_of(self.socketId)

    async def deliver(self, provider: Provider, payload: str | bytes) -> None:
        """Hand the payload to a provider."""
        await provider.send(self.socketId, payload)


class ToAll(Content, kw_only=True, forbid_unknown_fields=True):
    """For every socket."""

    async def deliver(self, provider: Provider, payload: str | bytes) -> None:
        """Hand the payload to a provider."""
        await provider.broadcast(payload)


class Disconnect(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Close one socket, or all those of a user."""

    socketId: str | None = None  # noqa: N815 - the wire's name
    user: Annotated[str, Meta(min_length=1)] | None = None
    code: int = 1000
    reason: str = ""


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    messages: Annotated[list[Raw], Meta(min_length=1)]


class _Peek(msgspec.Struct):
    messages: Raw | UnsetType = UNSET


def decode(body: bytes, type_: type[T]) -> T:
    """The body, decoded.

    Raises:
        InvalidMessage: it is not UTF-8, not JSON, or does not fit, with the path.
    """
    return _decode(_text(body), type_, "$")


def prepare(body: bytes, kind: type[Content]) -> list[tuple[Content, str | bytes]]:
    """The messages of a body, one or ``{"messages": […]}``, all seen to be right, with their payloads.

    Raises:
        InvalidMessage: with the path of what is wrong.
    """
    text = _text(body)
    if _decode(text, _Peek, "$").messages is UNSET:
        return [prepare_one(_decode(text, kind, "$"), "$")]
    # One by one: of a list, msgspec does not say which element it was.
    paths = ((raw, f"$.messages[{i}]") for i, raw in enumerate(_decode(text, _Batch, "$").messages))
    return [prepare_one(_decode(raw, kind, path), path) for raw, path in paths]


def _text(body: bytes) -> str:
    try:
        return body.decode()  # as text: what is taken over raw would not be seen to be UTF-8
    except UnicodeDecodeError:
        raise _invalid("not UTF-8") from None


def _decode(text: str | Raw, type_: type[T], path: str) -> T:
    try:
        return msgspec.json.decode(text, type=type_)
    except RecursionError:
        raise _invalid("nested too deeply", path) from None
    except msgspec.DecodeError as exc:
        # Of which msgspec says that the input is truncated, or malformed.
        is_syntax = not isinstance(exc, msgspec.ValidationError)
        if is_syntax and isinstance(text, str) and any(found[1] for found in _find_surrogates(text)):
            raise _invalid(_LONE_SURROGATE, path) from None
        message, _, where = str(exc).partition(" - at `$")
        raise _invalid(message, path + where.rstrip("`")) from None


def prepare_one(message: Content, path: str = "$") -> tuple[Content, str | bytes]:
    """The message and its payload, after it was seen to be right.

    Raises:
        InvalidMessage: with the path of what is wrong, which begins with ``path``.
    """
    try:
        message.check()
        payload = message.payload()
    except InvalidTopic as exc:
        raise _invalid(exc.rule, f"{path}.topic") from None
    except InvalidSocketId as exc:
        raise _invalid(str(exc), f"{path}.socketId") from None
    except InvalidMessage as exc:
        raise _invalid(str(exc), path) from None
    if not isinstance(message.name, UnsetType) and message.name.startswith(RESERVED_PREFIX):
        raise _invalid(_RESERVED, f"{path}.name")
    if not isinstance(message.text, UnsetType) and _looks_reserved(message.text):
        raise _invalid(_LOOKS_RESERVED, f"{path}.text")
    return message, payload


def _looks_reserved(text: str) -> bool:
    """Whether a client may take a text for an event of the server's own.

    Clients read JSON each in its own way, so the most lenient reader decides: an unpaired surrogate, NaN, a number
    of any length and a byte order mark are let pass, and of a key that comes twice the last counts, as in
    JavaScript. What is nested deeper than Python reads, others may read.
    """
    if (
        f'"{RESERVED_PREFIX}' not in text and "\\" not in text
    ):  # nearly all; neither it, nor an escape to hide it in
        return False
    try:
        found = json.loads(text.lstrip("\ufeff"), parse_int=str, parse_float=str)
    except RecursionError:
        return True
    except ValueError:
        return False
    name = found.get("name") if isinstance(found, dict) else None
    return isinstance(name, str) and name.startswith(RESERVED_PREFIX)


def _invalid(message: str, path: str = "$") -> InvalidMessage:
    return InvalidMessage(message, [{"path": path, "message": message}])
