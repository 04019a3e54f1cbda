"""The AsyncAPI documents: right for the official parser, and true of what the server says."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from typegen.test_compiles import FOLDERS, TARGETS
from wigwag.typegen import asyncapi, describe, find

HERE = Path(__file__).parent


Documents = Callable[[str], dict[str, Any]]


@pytest.fixture
def document_of(monkeypatch: pytest.MonkeyPatch) -> Documents:
    """The document of an application, found as the command finds it: in a process that has loaded no other."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    places = tuple(str(folder) for folder in FOLDERS.values())

    def document_of(name: str) -> dict[str, Any]:
        for key, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(places):
                monkeypatch.delitem(sys.modules, key)
        return asyncapi(describe(find([TARGETS[name]], app_dir=str(FOLDERS[name]))))

    return document_of


def parse(*files: Path) -> list[dict[str, Any]]:
    """What the parser finds, beside that there is a version 3.1."""
    ended = subprocess.run(
        ["node", str(HERE / "validate.mjs"), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    return [finding for finding in found if finding["code"] != "asyncapi-latest-version"]


@pytest.mark.needs("node")
@pytest.mark.timeout(120)
def test_the_official_parser_finds_nothing_wrong(document_of: Documents, tmp_path: Path) -> None:
    for name in TARGETS:
        (tmp_path / f"{name}.json").write_text(json.dumps(document_of(name)))
    broken = document_of("smallest")
    broken["operations"]["ws.receive.ping"]["messages"] = [{"$ref": "#/channels/ws/messages/nothing"}]
    broken["components"]["schemas"]["Said"]["type"] = "file"
    (tmp_path / "zz-broken.json").write_text(json.dumps(broken))
    findings = parse(*sorted(tmp_path.iterdir()))
    assert {Path(finding["file"]).stem for finding in findings} == {"zz-broken"}, findings


def test_channels_are_the_endpoints(document_of: Documents) -> None:
    document = document_of("mounted")
    channels = document["channels"]
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "realtime_admin": "/realtime/admin",
        "realtime_ws": "/realtime/ws",
    }
    assert "request.kick" in channels["realtime_admin"]["messages"]
    assert "request.kick" not in channels["realtime_ws"]["messages"]
    assert document_of("incidents_fastapi")["channels"]["incidents_fastapi.sockets"]["address"] is None
    everything = document_of("everything")["channels"]["ws_room_int_"]
    assert (everything["address"], everything["parameters"]) == ("/ws/{room}", {"room": {}})


def test_a_fastapi_application_gives_its_title_and_version(document_of: Documents) -> None:
    assert document_of("incidents_fastapi")["info"] == {"title": "FastAPI", "version": "0.1.0"}
    assert document_of("chat")["info"] == {"title": "chat:app", "version": "0.1.0"}


def test_operations_are_the_applications(document_of: Documents) -> None:
    operations = document_of("dashboard")["operations"]
    assert operations["ws.receive.request.subscribe.project"] == {
        "action": "receive",
        "channel": {"$ref": "#/channels/ws"},
        "messages": [{"$ref": "#/channels/ws/messages/request.subscribe.project"}],
        "reply": {
            "channel": {"$ref": "#/channels/ws"},
            "messages": [
                {"$ref": "#/channels/ws/messages/reply.subscribe.project"},
                {"$ref": "#/channels/ws/messages/error"},
            ],
        },
    }
    assert operations["ws.send.event.incident.created"]["action"] == "send"
    assert "ws.receive.raw" in document_of("smallest")["operations"]


def test_an_application_that_only_emits_has_a_channel_without_an_address(document_of: Documents) -> None:
    assert document_of("worker")["channels"]["sockets"]["address"] is None


def test_names_that_no_key_may_hold_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = "from wigwag import SocketMessage\n"
    for number, name in enumerate(["a/b", "a b", "a_b"]):
        source += f"class M{number}(SocketMessage, name={name!r}): ...\n"
    (tmp_path / "odd_names.py").write_text(source)
    messages = asyncapi(describe(find(["odd_names"], app_dir=str(tmp_path))))["components"]["messages"]
    assert {message["name"] for key, message in messages.items() if key.startswith("event.a")} == {
        "a/b",
        "a b",
        "a_b",
    }
    assert len([key for key in messages if key.startswith("event.a")]) == 3


def test_a_conversation_is_as_the_document_says(document_of: Documents) -> None:
    document = document_of("registry")
    app = importlib.import_module("registry").app

    def is_a(message: str, frame: Any) -> None:
        schema = {"$ref": f"#/components/messages/{message}/payload", "components": document["components"]}
        jsonschema.Draft7Validator(schema).validate(frame)

    with TestClient(app) as client, client.websocket_connect("/ws?user=ann") as socket:
        for type_, data, reply in [
            ("room.join", {"room": "document:1"}, "reply.room.join"),
            ("heartbeat", {"timestamp": 1}, "reply.heartbeat"),
            ("heartbeat", {}, "reply.heartbeat"),
            ("room.join", {"room": "secret"}, "error"),
            ("room.leave", {"room": "document:1"}, "reply.room.leave"),
        ]:
            request = {"type": type_, "data": data, "correlationId": 1}
            is_a(f"request.{type_}", request)
            socket.send_json(request)
            is_a(reply, socket.receive_json())
        socket.send_json({"type": "room.join", "data": {"room": "document:1"}})
        socket.send_json(
            {"type": "cursor.move", "data": {"x": 1, "y": 2, "document": "1"}, "correlationId": "a"}
        )
        frames = sorted((socket.receive_json() for _ in range(2)), key=lambda frame: "name" in frame)
        is_a("reply.cursor.move", frames[0])
        is_a("event.cursor.moved", frames[1])
        socket.send_text("2")
        is_a("pong", socket.receive_text())
    with pytest.raises(jsonschema.ValidationError):
        is_a("event.cursor.moved", frames[0])
