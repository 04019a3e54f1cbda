"""The Python client at a real `wigwag serve` that asks for tokens, with some that are good for seconds."""

from __future__ import annotations

from collections.abc import Generator

import anyio
import pytest

from e2e.browsing import post
from e2e.process import Service, service
from wigwag.client import ClientError, Connected, Disconnected, Raw, SocketClient
from wigwag.settings import Secret
from wigwag.tokens.making import make_token

pytestmark = pytest.mark.anyio

SECRET = "a secret of the tests that is long enough"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def strict() -> Generator[Service]:
    """Return a service that tolerates no clock."""
    with service(WIGWAG_JWT_SECRET=SECRET, WIGWAG_JWT_LEEWAY_S="0") as started:
        yield started


def token(ttl_s: float) -> str:
    return make_token(Secret(SECRET), "ann", topics=["a"], ttl_s=ttl_s)


async def hears(client: SocketClient, server: Service, text: str) -> None:
    """Return when a message that is published now has come."""
    await anyio.to_thread.run_sync(post, f"{server.api}/publish", {"topic": "a", "text": text})
    with anyio.fail_after(10):
        async for received in client.events():
            if isinstance(received, Raw) and received.data == text:
                return


async def test_a_newer_token_goes_over_the_open_connection(strict: Service) -> None:
    ttls_s = [3, 900]
    errors: list[ClientError] = []
    ends: list[Disconnected] = []
    client = SocketClient(f"{strict.ws}/ws", token=lambda: token(ttls_s.pop(0)))
    client.on_error(errors.append)
    client.on(Disconnected, ends.append)
    async with client:
        await client.join_room("a")
        await anyio.sleep(3.6)  # the end of the first
        await hears(client, strict, "still here")
        assert (ttls_s, errors, ends) == ([], [], [])


async def test_a_token_that_expired_is_followed_by_a_fresh_one(strict: Service) -> None:
    short = token(2)
    ends: list[Disconnected] = []
    client = SocketClient(f"{strict.ws}/ws", token=lambda: token(900) if ends else short)
    client.on(Disconnected, ends.append)
    is_back = anyio.Event()
    client.on(Connected, lambda event: is_back.set() if event.reconnected else None)
    async with client:
        await client.join_room("a")
        with anyio.fail_after(10):
            await is_back.wait()
        await client.join_room("a")
        await hears(client, strict, "back")
    assert [(end.code, end.reason, end.will_reconnect) for end in ends[:1]] == [(1008, "token expired", True)]
