"""``wigwag publish`` and ``wigwag listen``: what goes out, and what is printed."""

from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import msgspec
import pytest

from command import Wigwag
from wigwag.cli.listen import line_of
from wigwag.client import Event, Raw, Reply


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    return Wigwag(monkeypatch, capsys)


class Internal(BaseHTTPRequestHandler):
    """Stands for the internal port: keeps what it is sent, and answers as it is told."""

    seen: ClassVar[list[tuple[str, str | None, Any]]] = []
    answer: ClassVar[tuple[int, bytes]] = (202, b'{"accepted":1}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, self.headers["authorization"], msgspec.json.decode(body)))
        self.send_response(self.answer[0])
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def internal(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    monkeypatch.setattr(Internal, "seen", [])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # which must not be asked
    with HTTPServer(("127.0.0.1", 0), Internal) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_publish_sends_a_text(wigwag: Wigwag, internal: str) -> None:
    ended = wigwag("publish", "lobby", "hello", "--url", f"{internal}/")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert Internal.seen == [("/api/publish", None, {"topic": "lobby", "text": "hello"})]


def test_publish_sends_an_event_and_the_key(
    wigwag: Wigwag, internal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_API_KEY", "s3cret")
    wigwag("publish", "lobby", '{"id": 7}', "--name", "created", "--url", internal)
    wigwag("publish", "lobby", "hello", "--key", "other", "--url", internal)
    event = {"topic": "lobby", "name": "created", "data": {"id": 7}}
    assert Internal.seen == [
        ("/api/publish", "Bearer s3cret", event),
        ("/api/publish", "Bearer other", {"topic": "lobby", "text": "hello"}),
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, b'{"error":"not accepted"}'), "answered 503: not accepted"),
        (
            (400, b'{"error":"e","details":[{"path":"$.topic","message":"reserved"}]}'),
            "answered 400: $.topic: reserved",
        ),
        ((502, b"<html>"), "answered 502: <html>"),
    ],
)
def test_publish_says_what_the_service_said(
    wigwag: Wigwag,
    internal: str,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, bytes],
    said: str,
) -> None:
    monkeypatch.setattr(Internal, "answer", answer)
    ended = wigwag("publish", "lobby", "hello", "--url", internal)
    assert (ended.code, ended.err) == (1, f"wigwag: {internal} {said}\n")


def test_publish_says_when_nobody_answers(wigwag: Wigwag) -> None:
    ended = wigwag("publish", "lobby", "hello", "--url", "http://127.0.0.1:1")
    expected = "wigwag: can't reach http://127.0.0.1:1: Connection refused; is `wigwag serve` running?\n"
    assert (ended.code, ended.err) == (1, expected)


def test_publish_says_what_is_no_url(wigwag: Wigwag) -> None:
    ended = wigwag("publish", "lobby", "hello", "--url", "http://127.0.0.1:1/a b")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "URL can't contain control characters" in ended.err


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Event("said", {"text": "é\n"}, 12), '{"name":"said","data":{"text":"é\\n"},"timestamp":12}'),
        (Raw("hello"), '{"text":"hello"}'),
        (Raw(b"\0\xff"), '{"base64":"AP8="}'),
        (Reply("x", error="Forbidden"), '{"type":"x","data":null,"error":"Forbidden"}'),
    ],
)
def test_a_message_is_one_line_of_json(message: Any, line: str) -> None:
    assert line_of(message) == line
