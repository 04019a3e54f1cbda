"""``wigwag serve``: what is refused before anything listens, and what the banner names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from command import Wigwag
from wigwag.service.banner import banner
from wigwag.service.loading import load_app
from wigwag.settings import Listen


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    return Wigwag(monkeypatch, capsys)


@pytest.mark.parametrize(("public", "internal"), [("127.0.0.1:81", "127.0.0.1:81"), ("[::1]:81", "[::1]:81")])
def test_one_address_for_both_ports_is_refused(wigwag: Wigwag, public: str, internal: str) -> None:
    ended = wigwag("serve", "--listen", public, "--internal-listen", internal)
    assert ended.code == 2
    assert ended.err == (
        f"wigwag: --listen and --internal-listen are both {public}: the public port and the internal one "
        "(WIGWAG_LISTEN, WIGWAG_INTERNAL_LISTEN) must differ\n"
    )


@pytest.mark.parametrize("option", ["--listen", "--internal-listen"])
def test_a_port_out_of_range_is_told_the_range(wigwag: Wigwag, option: str) -> None:
    ended = wigwag("serve", option, "127.0.0.1:99999")
    assert ended.code == 2
    assert "a port from 0 to 65535" in ended.err


@pytest.mark.parametrize("arguments", [("--workers", "2"), ("--workers", "1")])
def test_workers_with_memory_are_refused(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]
) -> None:
    monkeypatch.setenv("WIGWAG_PROVIDER", "memory")
    ended = wigwag("serve", *arguments)
    assert ended.code == 2
    assert ended.err == (
        "wigwag: WIGWAG_PROVIDER=memory reaches the sockets of one process only, and there are to be several "
        "(--workers, WIGWAG_WORKERS): leave WIGWAG_PROVIDER unset, for local, or name a broker\n"
    )


def test_workers_with_a_provider_that_is_not_installed_are_told_how_to_get_it(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_PROVIDER", "redis")
    monkeypatch.setenv("WIGWAG_WORKERS", "2")
    ended = wigwag("serve")
    assert ended.code == 2
    assert "pip install wigwag-redis" in ended.err


def test_no_workers_are_none(wigwag: Wigwag) -> None:
    assert wigwag("serve", "--workers", "0").code == 2


def test_a_place_for_the_hub_that_cannot_be_is_one_line(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_LOCAL_PATH", "/nowhere/hub")
    ended = wigwag("serve", "--workers", "1", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0")
    assert ended.code == 1
    assert ended.err.endswith(
        "wigwag: the hub can't listen at /nowhere/hub: No such file or directory (/nowhere/hub.lock)\n"
    )


def test_the_help_names_nothing_that_is_not_released(wigwag: Wigwag) -> None:
    assert "redis" not in wigwag("serve", "--help").out


NO_APPS = {
    "a_message": (
        "from wigwag import SocketMessage\nclass app(SocketMessage, name='said'):\n    text: str",
        "the class app",
    ),
    "a_class": ("class app:\n    def __init__(self, scope): ...", "the class app"),
    "a_factory": ("def app(): ...", "app, which does not take scope, receive and send"),
    "a_wsgi_app": ("def app(environ, start_response): ...", "app, which does not take scope"),
    "an_object": ("app = {}", "dict"),
}


@pytest.mark.parametrize("name", NO_APPS)
def test_what_is_no_asgi_application_is_one_line(
    wigwag: Wigwag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source, what = NO_APPS[name]
    (tmp_path / f"no_{name}.py").write_text(source)
    monkeypatch.setattr(sys, "path", sys.path[:])
    ended = wigwag("serve", f"no_{name}:app", "--app-dir", str(tmp_path))
    assert ended.code == 2
    assert ended.err.startswith(f"wigwag: no_{name}:app is no ASGI application, but {what}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "source",
    [
        "async def app(scope, receive, send): ...",
        "async def app(*args): ...",
        "from starlette.endpoints import HTTPEndpoint as app",
        "class App:\n    async def __call__(self, scope, receive, send): ...\napp = App()",
    ],
)
def test_what_is_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (tmp_path / "is_an_app.py").write_text(source)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "is_an_app", raising=False)
    assert callable(load_app("is_an_app:app", str(tmp_path)))


# The banner


async def page(request: Any) -> Any:
    raise AssertionError("nobody asks")


WS = WebSocketRoute("/ws", WebSocketEndpoint)


def said(served: Any, app: str | None = "main:app") -> list[str]:
    text = banner(
        Listen("127.0.0.1", 80),
        Listen("127.0.0.1", 90),
        [],
        app=app,
        served=served,
        has_key=False,
        is_local=True,
    )
    return text.splitlines()[1:]


@pytest.mark.parametrize(
    ("routes", "rows"),
    [
        ([WS], ["  app       main:app", "  sockets   ws://127.0.0.1:80/ws"]),
        (
            [Route("/", page), WebSocketRoute("/rooms/{id:int}", WebSocketEndpoint)],
            [
                "  app       http://127.0.0.1:80/  (main:app)",
                "  sockets   ws://127.0.0.1:80/rooms/{id:int}",
            ],
        ),
        (
            [Mount("/{tenant}", routes=[Mount("/live", Starlette(routes=[WS])), WS])],
            [
                "  app       main:app",
                "  sockets   ws://127.0.0.1:80/{tenant}/live/ws",
                "  sockets   ws://127.0.0.1:80/{tenant}/ws",
            ],
        ),
        ([Route("/other", page)], ["  app       http://127.0.0.1:80/  (main:app)"]),
    ],
)
def test_the_sockets_of_an_application_are_named(routes: Sequence[BaseRoute], rows: list[str]) -> None:
    lines = said(Starlette(routes=routes))
    assert lines[: len(rows)] == rows
    assert lines[len(rows)].startswith("  internal ")


def test_no_topic_is_said_to_be_an_applications() -> None:
    assert (
        """curl -d '{"topic":"TOPIC","text":"hello"}' http://127.0.0.1:90/api/publish""" in said(object())[-1]
    )
    assert """curl -d '{"topic":"lobby","text":"hello"}'""" in said(None, app=None)[-2]
