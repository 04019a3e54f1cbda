"""The internal port: who may use it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clocks import backend
from internal_api import LOBBY, Api, connected
from wigwag.errors import SettingsError
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service.access import ApiKeys, api_keys_of
from wigwag.settings import SecretFile, Secrets, ServiceSettings

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


async def test_of_several_keys_each_counts() -> None:
    keys = ApiKeys(Secrets.parse("first,second"))
    async with (
        Provider(MemoryBroker()) as provider,
        connected(provider, api_keys=keys, peer="10.1.2.3") as client,
    ):
        for key, status in (("first", 202), ("second", 202), ("first,second", 401), ("", 401), ("firs", 401)):
            headers = {"authorization": f"Bearer {key}"}
            assert (await client.post("/api/publish", json=LOBBY, headers=headers)).status_code == status


async def test_keys_are_exchanged_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(function: Any, *args: Any, **_: Any) -> Any:
        return function(*args)

    monkeypatch.setattr("wigwag.tokens.files.to_thread.run_sync", at_once)
    path = tmp_path / "keys"
    write(path, "old\n")
    keys = api_keys_of(ServiceSettings(api_key_file=SecretFile(path)))
    assert keys is not None
    assert keys.file is not None

    async def statuses(client: httpx.AsyncClient) -> list[int]:
        headers = [{"authorization": f"Bearer {key}"} for key in ("old", "new")]
        return [(await client.post("/api/publish", json=LOBBY, headers=each)).status_code for each in headers]

    async with Provider(MemoryBroker()) as provider, connected(provider, api_keys=keys) as client:
        assert await statuses(client) == [202, 401]
        for content, expected in (("old\nnew\n", [202, 202]), ("new\n", [401, 202]), ("", [401, 202])):
            write(path, content)
            await keys.file.look()
            assert await statuses(client) == expected
    assert keys.first.reveal() == "new"


def write(path: Path, content: str) -> None:
    path.write_text(content)


def test_keys_are_said_in_one_way(tmp_path: Path) -> None:
    settings = ServiceSettings(api_key=Secrets.parse("a"), api_key_file=SecretFile(tmp_path / "keys"))
    with pytest.raises(SettingsError, match=r"^WIGWAG_API_KEY and WIGWAG_API_KEY_FILE are both set"):
        api_keys_of(settings)
    with pytest.raises(SettingsError, match=r"^WIGWAG_API_KEY_FILE=.*/keys: no such file or directory$"):
        api_keys_of(ServiceSettings(api_key_file=SecretFile(tmp_path / "keys")))
    assert api_keys_of(ServiceSettings()) is None


async def test_who_is_refused_is_counted_by_why() -> None:
    async with Provider(MemoryBroker(), name="memory") as provider:
        async with connected(provider, peer="10.0.0.7") as client:
            await client.post("/api/publish", json=LOBBY)
            page = (await client.get("/metrics")).text
            assert 'wigwag_api_refused_total{reason="not local"} 1.0' in page
        async with connected(provider, api_key="s3cret") as client:
            await client.post("/api/publish", json=LOBBY)
            page = (await client.get("/metrics")).text
            assert 'wigwag_api_refused_total{reason="key"} 1.0' in page


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
        ({"host": "[::1].evil.example"}, "must be to localhost"),
        ({"host": "[::1]evil.example:9000"}, "must be to localhost"),
        ({"host": "localhost:9000@evil.example"}, "must be to localhost"),
        ({"host": "evil.example/localhost"}, "must be to localhost"),
        ({"via": "1.1 proxy"}, "no request that came through a proxy"),
        ({"x-real-ip": "127.0.0.1"}, "no request that came through a proxy"),
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
