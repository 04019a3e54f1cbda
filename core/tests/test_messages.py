"""Message types: their names, their data, and what they look like on the wire."""

from __future__ import annotations

import dataclasses
import time
from types import SimpleNamespace
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from wigwag.errors import InvalidMessage
from wigwag.messages import (
    BoundMessage,
    Heartbeat,
    JoinRoom,
    LeaveRoom,
    ServerMessage,
    SocketMessage,
    encode_message,
    encode_named,
    frame_of,
)


class Said(SocketMessage, name="chat.said"):
    room: str
    text: str = ""


class Camel(SocketMessage, name="camel", rename="camel"):
    some_field: int


@dataclasses.dataclass
class Incident:
    id: int


class Typed(TypedDict):
    id: int


class Model(pydantic.BaseModel):
    id: int


class Plain(msgspec.Struct):
    id: int


def data_of(event: bytes) -> Any:
    return msgspec.json.decode(event)["data"]


def test_an_event_has_a_name_data_and_the_time() -> None:
    before = int(time.time() * 1000)
    event = msgspec.json.decode(encode_message(Said(room="a", text="hi")))
    assert list(event) == ["name", "data", "timestamp"]
    assert event["name"] == "chat.said"
    assert event["data"] == {"room": "a", "text": "hi"}
    assert before <= event["timestamp"] <= int(time.time() * 1000)
    assert list(msgspec.json.decode(encode_named("any", b"[1]"))) == ["name", "data", "timestamp"]


@pytest.mark.parametrize("data", [Said(room="a"), {"room": "a"}, {"room": "a", "more": 1}])
def test_a_class_with_its_data(data: Any) -> None:
    assert data_of(encode_message(Said, data)) == {"room": "a", "text": ""}


@pytest.mark.parametrize("data", [None, 7, "x", [], Camel(some_field=1), {}, {"room": 7}])
def test_a_class_with_what_is_not_its_data(data: Any) -> None:
    with pytest.raises(InvalidMessage):
        encode_message(Said, data)


def test_a_message_is_validated_when_it_is_emitted() -> None:
    with pytest.raises(InvalidMessage, match=r"\$\.room") as got:
        encode_message(Said(room=7))  # type: ignore[arg-type]
    assert got.value.details == [{"path": "$.room", "message": "Expected `str`, got `int`"}]


def test_fields_are_renamed_for_the_wire() -> None:
    assert data_of(encode_message(Camel(some_field=1))) == {"someField": 1}


@pytest.mark.parametrize(
    ("type_", "value"), [(Incident, Incident(1)), (Typed, {"id": 1}), (Model, Model(id=1)), (Plain, Plain(1))]
)
def test_a_defined_message_takes_any_kind_of_model(type_: Any, value: Any) -> None:
    message = SocketMessage.define("incident", type_)
    for event in (encode_message(message(value)), encode_message(message, value)):
        assert msgspec.json.decode(event)["name"] == "incident"
        assert data_of(event) == {"id": 1}
    assert data_of(encode_message(message, {"id": 2})) == {"id": 2}
    for bad in ({"id": "no"}, None, 7):
        with pytest.raises(InvalidMessage):
            encode_message(message, bad)
    with pytest.raises(InvalidMessage):
        encode_message(message(None))


def test_of_copies_fields_from_any_object_or_mapping() -> None:
    assert Said.of(SimpleNamespace(room="a", text="b", more=1)) == Said(room="a", text="b")
    assert Said.of({"room": "a"}) == Said(room="a")
    assert Said.of(SimpleNamespace(room="a")) == Said(room="a", text="")
    assert Camel.of(SimpleNamespace(some_field=1)) == Camel(some_field=1)
    nothing: dict[str, str] = {}
    for lacking in (nothing, SimpleNamespace(text="a"), None):
        with pytest.raises(InvalidMessage, match="'room'") as got:
            Said.of(lacking)
        assert got.value.details[0]["path"] == "$.room"


def test_names_are_not_inherited() -> None:
    class Whispered(Said):
        to: str = ""

    class Shouted(Said, name="chat.shouted"):
        pass

    with pytest.raises(TypeError, match="Whispered has no name of its own"):
        encode_message(Whispered(room="a"))
    assert msgspec.json.decode(encode_message(Shouted(room="a")))["name"] == "chat.shouted"
    encode_message(Said(room="a"))
    with pytest.raises(TypeError, match="Whispered has no name of its own"):
        encode_message(Whispered(room="a"))


@pytest.mark.parametrize("name", ["", "x" * 257, 7, b"x"])
def test_a_name_is_a_short_string(name: Any) -> None:
    with pytest.raises(TypeError, match="1 to 256 characters"):

        class Named(SocketMessage, name=name):
            pass

    with pytest.raises(TypeError, match="1 to 256 characters"):
        SocketMessage.define(name, Incident)


def test_a_name_is_written_as_json() -> None:
    class Odd(SocketMessage, name='a"b\\ü\n'):
        pass

    assert msgspec.json.decode(encode_message(Odd()))["name"] == 'a"b\\ü\n'


@pytest.mark.parametrize("thing", [None, 7, "text", object(), Plain(1), {"name": "x"}, JoinRoom(room="a")])
def test_what_can_not_be_emitted(thing: Any) -> None:
    with pytest.raises(TypeError, match="can't emit"):
        encode_message(thing)


def test_data_is_not_given_twice() -> None:
    message = SocketMessage.define("incident", Incident)
    for bound in (Said(room="a"), message(Incident(1))):
        with pytest.raises(TypeError, match="has its data already"):
            encode_message(bound, {"room": "b"})


def test_a_message_with_no_name_can_not_be_emitted() -> None:
    class Base(SocketMessage):
        pass

    with pytest.raises(TypeError, match="has no name of its own"):
        encode_message(Base())


def test_bound_messages_are_equal_by_value_and_readable() -> None:
    message = SocketMessage.define("incident", Incident)
    assert message(Incident(1)) == message(Incident(1)) != message(Incident(2))
    assert message(Incident(1)) != SocketMessage.define("incident", Incident)(Incident(1))
    seven: object = 7
    assert message(Incident(1)) != seven
    with pytest.raises(TypeError):
        hash(message(Incident(1)))
    assert repr(message(Incident(1))) == "incident(Incident(id=1))"
    assert repr(message).startswith("<MessageType 'incident' of ")
    assert isinstance(message(Incident(1)), BoundMessage)
    assert message.__payload__(Incident(1)) == Incident(1)
    assert Said.__payload__(Said(room="a")) == Said(room="a")


def test_frames_of_text_bytes_and_messages() -> None:
    assert (frame_of("x", "room").payload, frame_of("x").is_text) == (b"x", True)
    assert (frame_of(b"x").payload, frame_of(b"x").is_text) == (b"x", False)
    assert frame_of(memoryview(b"x")).payload == b"x"  # type: ignore[arg-type]
    assert frame_of(Said(room="a"), "room").topic == "room"
    with pytest.raises(InvalidMessage, match="UTF-8"):
        frame_of("\ud800")
    with pytest.raises(TypeError):
        frame_of(7)  # type: ignore[arg-type]


def test_the_built_in_client_messages() -> None:
    named = {cls.__message_name__: cls for cls in (JoinRoom, LeaveRoom, Heartbeat)}
    assert set(named) == {"room.join", "room.leave", "heartbeat"}
    assert all(issubclass(cls, ServerMessage) for cls in named.values())
    assert Heartbeat().timestamp is None
