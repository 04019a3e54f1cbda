"""The public side of the stock service, as far as HTTP goes; its sockets are in tests/test_serve.py."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from wigwag.service.app import STATIC, create_app, url_of
from wigwag.settings import Listen, Secrets, ServiceSettings

pytestmark = pytest.mark.anyio

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000")


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(create_app()) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html"),
        ("/static/page.js", "text/javascript"),
        ("/static/page.css", "text/css"),
        ("/static/favicon.svg", "image/svg+xml"),
        ("/info", "application/json"),
        ("/nothing", "text/plain"),
    ],
)
async def test_every_answer_is_strict(client: httpx.AsyncClient, path: str, content_type: str) -> None:
    response = await client.get(path)
    assert response.headers["content-type"].startswith(content_type)
    assert response.headers["content-security-policy"] == CSP
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_the_page_has_no_inline_code_and_nothing_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text()
    assert "<style" not in page
    assert "style=" not in page
    assert " onclick" not in page
    assert "<script>" not in page
    scripts = "".join(path.read_text() for path in STATIC.glob("*.js") if path.name != "wigwag-client.js")
    for address in ("http://", "https://", "//"):
        assert address not in page + (STATIC / "page.css").read_text(), address
    for address in ("http://127", "https://", "ws://"):
        assert address not in scripts, address
    for way_to_markup in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert way_to_markup not in scripts, way_to_markup


@pytest.mark.parametrize(
    ("settings", "info"),
    [
        (
            ServiceSettings(),
            {"publishUrl": "http://127.0.0.1:9000/api/publish", "needsKey": False, "needsToken": False},
        ),
        (
            ServiceSettings(internal_listen=Listen("::1", 7), api_key=Secrets.parse("s3cret")),
            {"publishUrl": "http://[::1]:7/api/publish", "needsKey": True, "needsToken": False},
        ),
        (
            ServiceSettings(internal_listen=Listen("", 7)),
            {"publishUrl": "http://127.0.0.1:7/api/publish", "needsKey": False, "needsToken": False},
        ),
    ],
)
async def test_the_page_is_told_where_to_publish_and_never_the_key(
    settings: ServiceSettings, info: dict[str, object]
) -> None:
    async with client_of(create_app(settings)) as client:
        response = await client.get("/info")
    assert response.json() == info


@pytest.mark.parametrize("host", ["evil.example:8000", "192.168.1.7:8000", "", "[fe80::1]:8000"])
async def test_a_name_that_is_not_this_machines_is_refused(client: httpx.AsyncClient, host: str) -> None:
    response = await client.get("/", headers={"host": host})
    assert response.status_code == 403
    assert "DNS rebinding" in response.json()["error"]


async def test_with_insecure_any_name_will_do() -> None:
    async with client_of(create_app(only_local=False)) as client:
        assert (await client.get("/", headers={"host": "chat.example"})).status_code == 200


@pytest.mark.parametrize(
    ("extensions", "types"),
    [
        ({}, ["websocket.close"]),
        (
            {"websocket.http.response": {}},
            ["websocket.http.response.start", "websocket.http.response.body"],
        ),
    ],
)
async def test_a_socket_by_another_name_is_refused_too(extensions: dict[str, Any], types: list[str]) -> None:
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "path": "/ws",
        "headers": [(b"host", b"evil.example"), (b"origin", b"http://evil.example")],
        "extensions": extensions,
    }
    await create_app()(scope, receive, send)
    assert sent == types


async def test_the_internal_api_is_not_on_the_public_port(client: httpx.AsyncClient) -> None:
    for path in ("/api/publish", "/livez", "/readyz", "/metrics"):
        assert (await client.post(path)).status_code == 404


def test_an_address_is_shown_as_this_machine_reaches_it() -> None:
    assert url_of(Listen("0.0.0.0", 80)) == "http://127.0.0.1:80"
    assert url_of(Listen("::1", 80), "ws") == "ws://[::1]:80"
    assert url_of(Listen("10.0.0.7", 80)) == "http://10.0.0.7:80"
