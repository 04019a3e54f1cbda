"""Whatever a type is, and whatever is sent of it: it fits what was written down of the type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from typegen import random_types
from typegen.compiler import compile_folder
from wigwag.errors import InvalidMessage
from wigwag.messages import MessageType, encode_message
from wigwag.schema import schema_of
from wigwag.typegen import Api, Found, asyncapi, describe, typescript
from wigwag.typegen.finding import Endpoint, Event, Request

EXAMPLES = 60


def api_of(type_: Any) -> Api:
    """An application that emits the type, and takes it."""
    request = Request("taken", type_, type_, "", "test")
    endpoint = Endpoint("test", "/ws", (request,))
    return describe(Found(("test",), endpoints=[endpoint], events=[Event("emitted", type_, "test")]))


def validator(document: dict[str, Any], message: str) -> Any:
    """For what stands in the document of the payload of a message."""
    schema = {"$ref": f"#/components/messages/{message}/payload", "components": document["components"]}
    return jsonschema.Draft7Validator(schema)


@pytest.mark.needs("node")
@pytest.mark.timeout(120)
def test_what_is_sent_fits_what_is_written_down(tmp_path: Path) -> None:
    seen: list[tuple[str, str, str | None]] = []

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(random_types.values, st.data())
    def holds(typed: tuple[Any, Any], more: st.DataObject) -> None:
        type_, value = typed
        api = api_of(type_)
        document = asyncapi(api)
        source = typescript(api)
        note(source)
        event = json.loads(encode_message(MessageType("emitted", type_)(value)))
        validator(document, "event.emitted").validate(event)
        # What is accepted is what is said to be: with members left out, too.
        data = more.draw(random_types.pruned(event["data"]))
        try:
            schema_of(type_).decode(json.dumps(data).encode())
            accepted = True
        except InvalidMessage:
            accepted = False
        assert validator(document, "request.taken").is_valid({"type": "taken", "data": data}) == accepted
        seen.append((source, json.dumps(event["data"]), json.dumps(data) if accepted else None))

    holds()
    for number, (source, emitted, taken) in enumerate(seen):
        lines = [source, f'export const emitted: Events["emitted"] = {emitted};']
        if taken is not None:
            lines.append(f'export const taken: Requests["taken"]["data"] = {taken};')
        (tmp_path / f"example{number}.ts").write_text("\n".join(lines))
    assert compile_folder(tmp_path) == ""
