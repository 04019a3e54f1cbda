"""Message types: what the server emits, and what clients send it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Protocol,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

import msgspec
import typing_extensions

from wigwag.errors import InvalidMessage
from wigwag.frames import Frame
from wigwag.schema import Schema, schema_of
from wigwag.wire.client import encode_event, event_prefix

T = TypeVar("T")
M = TypeVar("M", bound="SocketMessage")
R = typing_extensions.TypeVar("R", default=Any)


class SocketMessageLike(Protocol[T]):
    """What ``emit`` takes beside data of type ``T``: a :class:`SocketMessage` class, or a
    :class:`MessageType`.  ``T`` is invariant, so that a type checker notices another message's data."""

    def __payload__(self, data: T, /) -> T: ...


@dataclass_transform(field_specifiers=(msgspec.field,))
class _NamedMeta(msgspec.StructMeta):
    """Takes ``name=``, the message's name on the wire, which subclasses do not inherit."""

    __message_name__: str
    __wire__: _Wire | None

    def __new__(
        mcls,
        clsname: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        name: str | None = None,
        **config: Any,
    ) -> _NamedMeta:
        if name is not None:
            check_message_name(name)
        cls = super().__new__(mcls, clsname, bases, namespace, **config)
        cls.__message_name__ = cast("str", name)  # None: not to be emitted
        cls.__wire__ = None
        return cls


class _EmittableMeta(_NamedMeta):
    def __payload__(cls: type[M], data: M, /) -> M:  # type: ignore[misc]  # noqa: N805 - a metaclass's
        return data


def check_message_name(name: object) -> None:
    """Raises TypeError unless ``name`` is a non-empty string of at most 256 characters."""
    if not isinstance(name, str) or not 0 < len(name) <= 256:
        raise TypeError(f"a message's name is a string of 1 to 256 characters, not {name!r}")


class SocketMessage(msgspec.Struct, metaclass=_EmittableMeta):
    """A message that the server emits; its fields are its data.

    ::

        class Said(SocketMessage, name="chat.said"):
            room: str
            text: str

        await emitter.emit(Said(room="x", text="hi"), "room:x")

    ``name`` is what clients know it by.  Other keywords go to msgspec (``rename="camel"``).
    """

    __message_name__: ClassVar[str]

    if TYPE_CHECKING:  # for mypy, which asks this of a class rather than its metaclass

        def __init_subclass__(cls, *, name: str | None = None, **config: Any) -> None: ...

    @classmethod
    def of(cls: type[M], source: object) -> M:
        """A message whose fields are copied from any object's attributes, or from a mapping.

        Raises:
            InvalidMessage: the source lacks a field that has no default.
        """
        return cls(**_fields_from(cls, source))

    @classmethod
    def define(cls, name: str, data: type[T]) -> MessageType[T]:
        """A message type whose data is any model: a dataclass, TypedDict, Struct or pydantic model."""
        return MessageType(name, data)


class ServerMessage(msgspec.Struct, Generic[R], metaclass=_NamedMeta):
    """A message that clients send us; handled by a :class:`~wigwag.MessageRegistry`.

    It may say what it is answered with, for a client that shares the class::

        class Say(ServerMessage[Said], name="say"):
            room: str

        said = await client.request(Say(room="x"))  # a Said

    A sibling of :class:`SocketMessage`, not one of it: emitting it is a type error.
    """

    __message_name__: ClassVar[str]

    if TYPE_CHECKING:  # likewise

        def __init_subclass__(cls, *, name: str | None = None, **config: Any) -> None: ...


class MessageType(Generic[T]):
    """A message of a given name, with data of a type that stands elsewhere.

    Called with its data it is a message to emit: ``await emitter.emit(IncidentCreated(incident), topic)``.
    Made by :meth:`SocketMessage.define`.
    """

    __slots__ = ("_wire", "name")

    def __init__(self, name: str, data: type[T]) -> None:
        """Raises TypeError where ``data`` is no type that can be validated."""
        check_message_name(name)
        self.name: str = name
        self._wire = _Wire(name, schema_of(data))

    def __call__(self, data: T) -> BoundMessage[T]:
        """A message with this data, to emit."""
        return BoundMessage(self, data)

    def __payload__(self, data: T, /) -> T:
        """For type checkers: see :class:`SocketMessageLike`."""
        return data

    def __repr__(self) -> str:
        return f"<MessageType {self.name!r} of {self._wire.schema.type!r}>"


@dataclasses.dataclass(slots=True, repr=False)
class BoundMessage(Generic[T]):
    """A message type together with its data."""

    type: MessageType[T]
    data: T

    def __repr__(self) -> str:
        return f"{self.type.name}({self.data!r})"


#: A message with its data.
Emittable = SocketMessage | BoundMessage[Any]


class _Wire:
    """How one message type is written: its name's prefix, and the schema of its data."""

    __slots__ = ("_encode", "prefix", "schema")

    def __init__(self, name: str, schema: Schema[Any]) -> None:
        self.prefix: bytes = event_prefix(name)
        self.schema: Schema[Any] = schema
        self._encode: Callable[[Any], bytes] = schema.encode

    def event(self, data: Any) -> bytes:
        """The event of this data.  Raises InvalidMessage."""
        return encode_event(self.prefix, self._encode(data), int(time.time() * 1000))


def encode_message(message: Any, data: Any = None) -> bytes:
    """The event, as clients receive it, of a message with its data, or of a type and its data.

    Raises:
        InvalidMessage: the data does not fit the type.
        TypeError: it is nothing that can be emitted.
    """
    kind = type(message)
    if isinstance(kind, _EmittableMeta):  # an instance of a SocketMessage
        _refuse_data(data)
        return _wire_of(kind).event(message)
    if kind is BoundMessage:
        _refuse_data(data)
        return cast("_Wire", message.type._wire).event(message.data)
    if kind is _EmittableMeta:  # a SocketMessage class
        if not isinstance(data, message | Mapping):
            raise _wrong_data(message.__name__, data)
        return _wire_of(message).event(data)
    if kind is MessageType:
        if data is None:
            raise _wrong_data(message.name, data)
        return cast("_Wire", message._wire).event(data)
    raise TypeError(f"can't emit {message!r}: emit takes a SocketMessage, or a message type and its data")


def name_of(message: type[SocketMessage] | type[ServerMessage[Any]] | MessageType[Any]) -> str:
    """What clients and server know a message by.  Raises TypeError where it has no name of its own."""
    if isinstance(message, MessageType):
        return message.name
    _wire_of(message)
    return message.__message_name__


def data_schema_of(message: type[SocketMessage] | MessageType[Any]) -> Schema[Any]:
    """The schema of a message's data.  Raises TypeError where it has no name of its own."""
    return message._wire.schema if isinstance(message, MessageType) else _wire_of(message).schema


def encode_data(message: ServerMessage[Any]) -> bytes:
    """The data of a message to the server, as JSON, after it has been seen to fit its class.

    Raises:
        InvalidMessage: it does not fit.
        TypeError: its class has no name of its own.
    """
    return _wire_of(type(message)).schema.encode(message)


def reply_type_of(message: type[ServerMessage[Any]]) -> Any:
    """What a message says that it is answered with: ``Said`` of a ``ServerMessage[Said]``, else ``Any``."""
    for cls in message.__mro__:
        for base in cls.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is ServerMessage:
                (reply,) = get_args(base)
                return Any if isinstance(reply, TypeVar) else reply
    return Any


def frame_of(message: str | bytes | Emittable, topic: str | None = None) -> Frame:
    """A text (str), binary (bytes) or typed message, ready to be written to sockets.

    Raises as :func:`payload_of` does.
    """
    payload, is_text = payload_of(message)
    return Frame(payload, is_text, topic, message if isinstance(message, str) else None)


def payload_of(message: str | bytes | Emittable) -> tuple[bytes, bool]:
    """What a client receives for a text (str), binary (bytes) or typed message, and whether that is text.

    Raises:
        InvalidMessage: its data does not fit its type, or a text can't be written as UTF-8.
        TypeError: it is none of these.
    """
    if isinstance(message, str):
        try:
            return message.encode(), True
        except UnicodeEncodeError as exc:  # lone surrogates, as from json.loads
            text = f"the text can't be written as UTF-8: {exc.reason}"
            raise InvalidMessage(text, [{"path": "$", "message": text}]) from None
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message), False
    return encode_message(message), True


def name_and_data(message: object) -> tuple[str, Any] | None:
    """The name and the data's type of a SocketMessage class or a MessageType; None of anything else."""
    kind = type(message)
    given: Any = message
    if kind is MessageType:
        return given.name, given._wire.schema.type
    name = given.__dict__.get("__message_name__") if kind is _EmittableMeta else None
    return None if name is None else (name, given)


def encode_named(name: str, data: bytes) -> bytes:
    """The event of a name and of data that is JSON already."""
    return encode_event(event_prefix(name), data, int(time.time() * 1000))


def _wire_of(cls: Any) -> _Wire:
    wire: _Wire | None = cls.__dict__.get("__wire__")
    if wire is None:
        name = cls.__dict__.get("__message_name__")
        if name is None:
            raise TypeError(f'{cls.__name__} has no name of its own: class {cls.__name__}(…, name="…")')
        wire = cls.__wire__ = _Wire(name, schema_of(cls))
    return wire


def _refuse_data(data: Any) -> None:
    if data is not None:
        raise TypeError("the message has its data already: emit(message, topic)")


def _wrong_data(name: str, data: Any) -> InvalidMessage:
    text = f"{name} can't be made of {type(data).__name__}"
    return InvalidMessage(text, [{"path": "$", "message": text}])


def _fields_from(cls: Any, source: object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        if isinstance(source, Mapping):
            if field.name in source:
                found[field.name] = source[field.name]
        elif hasattr(source, field.name):
            found[field.name] = getattr(source, field.name)
        if field.name not in found and field.required:
            text = f"{type(source).__name__} has no {field.name!r}, which {cls.__name__} needs"
            raise InvalidMessage(text, [{"path": f"$.{field.name}", "message": text}])
    return found


class JoinRoom(ServerMessage[Any], name="room.join"):
    """A client asks to receive what is published to a room (a topic)."""

    room: str


class LeaveRoom(ServerMessage[Any], name="room.leave"):
    """A client asks to receive a room's messages no longer."""

    room: str


class Heartbeat(ServerMessage[Any], name="heartbeat"):
    """A client says, at the application's level, that it is there.  (``2``/``3`` is the protocol's.)"""

    timestamp: int | float | None = None


class Authenticate(ServerMessage, name="auth.authenticate"):
    """A client brings a token: to the stock service a newer one, before the one that it came with expires."""

    token: str
