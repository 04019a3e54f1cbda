"""Frames between a client and the server: whatever comes, parse answers or says what is wrong."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag.wire.client import (
    Incoming,
    MalformedMessage,
    encode_error,
    encode_event,
    encode_reply,
    event_prefix,
    parse,
)

BOMB = "[" * 100_000
MALFORMED: dict[str, str | bytes] = {
    "empty": "",
    "no JSON": "hello",
    "cut": '{"type":"a"',
    "trailing": '{"type":"a"} {"type":"b"}',
    "an array": '["type"]',
    "a number": "17",
    "null": "null",
    "no type": '{"data":1}',
    "a type that is a number": '{"type":1}',
    "a type that is null": '{"type":null}',
    "a type that is an object": '{"type":{}}',
    "a bomb": BOMB,
    "a bomb as data": '{"type":"a","data":' + BOMB,
    "a bomb as a field": '{"type":"a","x":' + BOMB,
    "a bomb as the type": '{"type":' + BOMB,
    "a closed bomb": '{"type":"a","x":' + BOMB + "]" * 100_000 + "}",
    "bad UTF-8": b'{"type":"\xff"}',
    "bad UTF-8 in the data": b'{"type":"a","data":"\xff"}',
    "bad UTF-8 in a field": b'{"type":"a","x":"\xff"}',
    "bytes that are no text": bytes(range(256)),
    "NaN": '{"type":"a","data":NaN}',
    "NaN within": '{"type":"a","data":{"x":NaN}}',
    "Infinity": '{"type":"a","data":-Infinity}',
    "a lone surrogate": '{"type":"a","data":"\\ud800"}',
    "a lone surrogate, raw": '{"type":"\ud800"}',
    "a correlationId that is an object": '{"type":"a","correlationId":{}}',
    "a correlationId that is true": '{"type":"a","correlationId":true}',
    "a correlationId that is a fraction": '{"type":"a","correlationId":1.5}',
    "a correlationId beyond all bounds": '{"type":"a","correlationId":' + "9" * 5000 + "}",
}


def answer(text: str | bytes) -> bytes:
    """What an endpoint does: a reply to everything."""
    try:
        incoming = parse(text)
    except MalformedMessage as exc:
        return encode_error(exc.type, exc.correlation_id, "Invalid message", [{"message": exc.why}])
    return encode_reply(incoming.type, incoming.correlation_id, incoming.data)


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_can_be_answered(text: str | bytes) -> None:
    with pytest.raises(MalformedMessage) as got:
        parse(text)
    assert got.value.why
    assert isinstance(got.value, ValueError)
    assert json.loads(answer(text))["error"] == "Invalid message"


def test_what_could_be_read_all_the_same_is_kept_for_the_answer() -> None:
    with pytest.raises(MalformedMessage) as got:
        parse('{"type":7,"correlationId":"c"}')
    assert (got.value.type, got.value.correlation_id) == (None, "c")
    with pytest.raises(MalformedMessage) as got:
        parse('{"type":"a","correlationId":[]}')
    assert (got.value.type, got.value.correlation_id) == ("a", None)


@pytest.mark.parametrize("id_", [0, -1, 2**31, 2**63, 2**64, 2**70, -(2**70), 10**400, "", "x", "é😀"])
def test_any_correlation_id_is_echoed(id_: int | str) -> None:
    reply = json.loads(answer(json.dumps({"type": "a", "data": 1, "correlationId": id_})))
    assert reply == {"type": "a", "data": 1, "correlationId": id_}
    reply = json.loads(answer(json.dumps({"correlationId": id_})))
    assert reply["correlationId"] == id_


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"type":"a","data":{"x":1}}', {"x": 1}),
        ('{"type":"a","data":null}', None),
        ('{"type":"a","data":[1,"b"],"x":2}', [1, "b"]),
        ('{"type":"a","x":1,"y":{"z":[]}}', {"x": 1, "y": {"z": []}}),
        ('{"type":"a"}', {}),
        ('{"type":"a","correlationId":"c","x":1}', {"x": 1}),
        ('{"x":1,"x":2,"type":"a","type":"b"}', {"x": 2}),
        ('{"type":"a","__proto__":1}', {"__proto__": 1}),
        ('  {"type" : "a", "data" : 1 }  ', 1),
    ],
)
def test_the_data_or_where_it_is_absent_the_other_fields(text: str, data: Any) -> None:
    for form in (text, text.encode()):
        incoming = parse(form)
        assert json.loads(incoming.data) == data
        assert incoming.data == incoming.data


def test_of_doubled_keys_the_last_counts() -> None:
    incoming = parse('{"type":"a","correlationId":1,"type":"b","data":1,"data":2,"correlationId":2}')
    assert (incoming.type, incoming.correlation_id, incoming.data) == ("b", 2, b"2")


def test_nesting_that_is_deep_and_not_beyond_reason_is_read() -> None:
    text = '{"type":"a","data":' + "[" * 200 + "]" * 200 + "}"
    assert parse(text).data == b"[" * 200 + b"]" * 200


def test_an_incoming_message_says_what_it_is_and_not_what_it_holds() -> None:
    assert repr(parse('{"type":"a","data":"secret"}')) == "<Incoming 'a' correlation_id=None>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"type": JSON | st.text(), "correlationId": JSON, "data": JSON, "x": JSON}
)


@given(st.one_of(st.text(), st.binary(), JSON.map(json.dumps), MESSAGES.map(json.dumps)))
def test_parse_raises_nothing_but_malformed_message_and_all_is_answered(text: str | bytes) -> None:
    reply = json.loads(answer(text))
    assert isinstance(reply["type"], str)


@given(st.dictionaries(st.text(), JSON), st.text())
def test_what_was_sent_is_what_is_read(fields: dict[str, Any], type_: str) -> None:
    try:
        json.dumps(fields, allow_nan=False)
    except ValueError:
        return
    fields = {key: value for key, value in fields.items() if key not in ("data", "correlationId")}
    incoming = parse(json.dumps({**fields, "type": type_}))
    assert isinstance(incoming, Incoming)
    assert incoming.type == type_
    assert json.loads(incoming.data) == {key: fields[key] for key in fields if key != "type"}


def test_the_form_of_a_reply() -> None:
    assert encode_reply("a", None, b'{"x":1}') == b'{"type":"a","data":{"x":1}}'
    assert encode_reply("a", "c", b"null") == b'{"type":"a","correlationId":"c","data":null}'
    assert encode_error("a", 7, "Forbidden") == b'{"type":"a","correlationId":7,"error":"Forbidden"}'
    assert encode_error(None, None, "x", []) == b'{"type":"error","error":"x"}'
    details = [{"path": "$", "message": "m"}]
    assert msgspec.json.decode(encode_error("a", None, "x", details))["details"] == details


def test_the_form_of_an_event() -> None:
    assert encode_event(event_prefix("n"), b"[1]", 12) == b'{"name":"n","data":[1],"timestamp":12}'
