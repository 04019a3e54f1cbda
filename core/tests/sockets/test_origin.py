"""Which web pages may open a socket."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from sockets.scripted_asgi import World, application
from wigwag import Sockets
from wigwag.errors import SettingsError
from wigwag.sockets.origin import check_origins, is_allowed

HERE = "https://app.example.com"


def allowed(origin: str | None, host: str = "app.example.com", *origins: str) -> bool:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode("latin-1")))
    scope: dict[str, Any] = {"type": "websocket", "headers": headers}
    return is_allowed(HTTPConnection(scope), check_origins(origins))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://app.example.com", "app.example.com"),
        ("http://app.example.com", "app.example.com"),
        ("https://app.example.com", "app.example.com:443"),
        ("http://app.example.com", "app.example.com:80"),
        ("https://app.example.com:443", "app.example.com"),
        ("http://localhost:8000", "localhost:8000"),
        ("https://APP.example.com", "app.EXAMPLE.com"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[::1]", "[::1]"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ],
)
def test_a_page_of_the_same_host_may_connect(origin: str, host: str) -> None:
    assert allowed(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "app.example.com"),
        ("https://app.example.com.evil.example", "app.example.com"),
        ("https://evil.example/app.example.com", "app.example.com"),
        ("https://app.example.com@evil.example", "app.example.com"),
        ("https://sub.app.example.com", "app.example.com"),
        ("http://localhost:3000", "localhost:8000"),
        ("https://app.example.com:8443", "app.example.com"),
        ("http://app.example.com", "app.example.com:443"),
        ("http://[::1]:80", "[::1:80]"),
        ("http://[::1]", "[::1:80]"),
        ("null", "app.example.com"),
        ("null", "none:none"),
        ("", "app.example.com"),
        ("", ""),
        ("file://", "app.example.com"),
        ("app.example.com", "app.example.com"),
        ("chrome-extension://app", "app"),
        ("http://[::1", "[::1"),
        ("http://a:99999", "a:99999"),
        ("http://a:b", "a:b"),
        ("\xff\xfe", "app.example.com"),
        ("https://app.example.com", "[broken"),
        ("https://app.example.com", ""),
    ],
)
def test_no_other_may(origin: str, host: str) -> None:
    assert not allowed(origin, host)


def test_who_sends_no_origin_is_no_browser() -> None:
    assert allowed(None)


@pytest.mark.parametrize(
    "listed",
    ["https://www.example.com", "https://WWW.example.com/", "https://www.example.com:443", "*"],
)
def test_a_page_of_a_listed_origin_may_connect(listed: str) -> None:
    assert allowed("https://www.example.com", "api.example.com", "https://other.example", listed)


def test_the_scheme_and_port_of_a_listed_origin_count() -> None:
    listed = "https://www.example.com"
    assert not allowed("http://www.example.com", "api.example.com", listed)
    assert not allowed("https://www.example.com:8443", "api.example.com", listed)
    assert allowed("https://www.example.com:8443", "api.example.com", f"{listed}:8443")
    assert allowed("chrome-extension://abcdef", "api.example.com", "chrome-extension://abcdef")
    assert allowed("http://[::1]:3000", "api.example.com", "http://[::1]:3000")


def test_any_is_really_any() -> None:
    assert allowed("null", "app.example.com", "*")
    assert allowed("http://[::1", "app.example.com", "*")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "www.example.com",
        "//www.example.com",
        "https://",
        "https://www.example.com/app",
        "https://www.example.com?x",
        "https://www.example.com#x",
        "https://me@www.example.com",
        "https://*.example.com",
        "http://[::1",
        "http://a:b",
    ],
)
def test_what_no_browser_would_send_is_no_origin(origin: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Sockets(allowed_origins=[origin])


def test_origins_are_a_list() -> None:
    with pytest.raises(ValueError, match=r"origins are a list: \['https://a.example'\]"):
        Sockets(allowed_origins="https://a.example")


async def connect(world: World, sockets: Sockets[Any, Any], origin: str, **more: Any) -> bool:
    """Whether a page of this origin was let in; if not, it got no more than that."""
    peer = await world.connect(sockets, headers={"origin": origin}, **more)
    if not peer.is_accepted:
        assert not peer.is_served
    return peer.is_accepted


@pytest.mark.anyio
async def test_a_wrong_origin_gets_403_before_the_hook_is_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def hook(connection: HTTPConnection) -> str:
        raise AssertionError("not asked")

    sockets = Sockets(upgrade=hook)
    headers = {"origin": "https://evil.example"}
    peer = await world.connect(sockets, headers=headers)
    assert [event["type"] for event in peer.events] == ["websocket.close"]
    peer = await world.connect(sockets, headers=headers, extensions={"websocket.http.response": {}})
    assert [event.get("status") for event in peer.events] == [403, None]
    assert sockets._app.counters.refused == {"origin": 2}
    assert caplog.text.count("'https://evil.example' may not connect to 'app.test'") == 1
    assert "WIGWAG_ALLOWED_ORIGINS" in caplog.text


@pytest.mark.anyio
async def test_strangers_can_not_fill_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    sockets = Sockets()
    for number in range(100):
        assert not await connect(world, sockets, f"https://{number}.example/{'x' * 8000}")
    assert sockets._app.counters.refused == {"origin": 100}
    assert len(caplog.records) == 20
    assert len(caplog.text) < 20 * 600


@pytest.mark.anyio
async def test_the_environment_lists_origins_where_the_code_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset, given = Sockets(), Sockets(allowed_origins=["https://c.example"])
    monkeypatch.setenv("WIGWAG_ALLOWED_ORIGINS", "https://a.example, https://b.example:443")
    assert await connect(world, unset, "https://a.example")
    assert await connect(world, unset, "https://b.example")
    assert not await connect(world, unset, "https://c.example")
    assert not await connect(world, given, "https://a.example")
    assert await connect(world, given, "https://c.example")
    assert not await connect(world, Sockets(allowed_origins=[]), "https://a.example")


@pytest.mark.anyio
async def test_so_it_does_for_sockets_that_only_share_a_started_provider(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_ALLOWED_ORIGINS", "https://a.example")
    started = Sockets()
    await world.start(started)
    second = Sockets(started.provider)
    peer = await world.connect(application(second), headers={"origin": "https://a.example"})
    assert peer.is_accepted


@pytest.mark.anyio
@pytest.mark.parametrize("value", ["example.com", "https://a.example/path", "https://*.example"])
async def test_a_wrong_variable_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WIGWAG_ALLOWED_ORIGINS", value)
    with pytest.raises(SettingsError, match="WIGWAG_ALLOWED_ORIGINS"):
        async with Sockets():
            pass
