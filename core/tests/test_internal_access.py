"""The internal port: who may use it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from clocks import backend
from internal_api import LOBBY, Api, connected
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")  # the server runs on nothing else


@pytest.fixture
async def api() -> AsyncGenerator[Api]:
    async with Provider(MemoryBroker(), name="memory") as provider, connected(provider) as client:
        yield Api(provider, client)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Bearer clé", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Bearer s3cret", 202),
        ("bearer s3cret", 202),
    ],
)
async def test_with_a_key_it_is_asked_of_everybody(header: str | None, status: int) -> None:
    async with (
        Provider(MemoryBroker()) as provider,
        connected(provider, api_key="s3cret", peer="10.1.2.3") as client,
    ):
        headers = [] if header is None else [(b"authorization", header.encode())]
        response = await client.post("/api/publish", json=LOBBY, headers=headers)
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        assert "WIGWAG_API_KEY" in response.json()["error"]
        assert "s3cret" not in response.text


async def test_a_key_need_not_be_ascii() -> None:
    async with Provider(MemoryBroker()) as provider, connected(provider, api_key="clé") as client:
        headers = [(b"authorization", "Bearer clé".encode())]
        assert (await client.post("/api/publish", json=LOBBY, headers=headers)).status_code == 202


async def test_with_a_key_a_wrong_path_tells_nothing_to_who_has_none() -> None:
    async with Provider(MemoryBroker()) as provider, connected(provider, api_key="s3cret") as client:
        assert (await client.get("/api/nothing")).status_code == 401


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 202),
        ("127.8.8.8", 202),
        ("::1", 202),
        ("::ffff:127.0.0.1", 202),
        ("10.0.0.7", 403),
        ("::ffff:10.0.0.7", 403),
        ("testclient", 403),
    ],
)
async def test_without_a_key_only_this_machine_is_served(peer: str, status: int) -> None:
    async with Provider(MemoryBroker()) as provider, connected(provider, peer=peer) as client:
        response = await client.post("/api/publish", json=LOBBY)
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"] == "without a key (WIGWAG_API_KEY) only this machine is served"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"origin": "https://evil.example"}, "web pages are not served"),
        ({"origin": "http://127.0.0.1:9000"}, "web pages are not served"),
        ({"origin": "null"}, "web pages are not served"),
        ({"sec-fetch-site": "cross-site"}, "web pages are not served"),
        ({"sec-fetch-site": "same-site"}, "web pages are not served"),
        ({"host": "evil.example:9000"}, "must be to localhost, 127.0.0.1 or [::1]"),
        ({"host": "127.0.0.1.evil.example"}, "must be to localhost"),
        ({"host": "localhost.evil.example"}, "must be to localhost"),
        ({"host": "10.0.0.7:9000"}, "must be to localhost"),
        ({"host": ""}, "must be to localhost"),
        ({"x-forwarded-for": "10.0.0.7"}, "no request that came through a proxy"),
        ({"forwarded": "for=10.0.0.7"}, "no request that came through a proxy"),
    ],
)
async def test_without_a_key_no_web_page_gets_through(api: Api, headers: dict[str, str], why: str) -> None:
    socket = await api.join("lobby")
    response = await api.client.post("/api/publish", json=LOBBY, headers=headers)
    assert response.status_code == 403
    assert why in response.json()["error"]
    assert socket.messages == []


@pytest.mark.parametrize(
    "host", ["localhost:9000", "LOCALHOST", "localhost.", "app.localhost:1", "[::1]:9000"]
)
async def test_without_a_key_every_name_of_this_machine_will_do(api: Api, host: str) -> None:
    response = await api.client.post("/api/publish", json=LOBBY, headers={"host": host})
    assert response.status_code == 202
