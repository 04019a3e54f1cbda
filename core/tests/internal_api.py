"""A node with its internal port, for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from clocks import settle
from wigwag.provider import Provider, ProviderSettings
from wigwag.service.access import ApiKeys
from wigwag.service.internal import create_internal_app
from wigwag.settings import Secret
from wigwag.testing import FakeBroker, FakeSocket

URL = "http://127.0.0.1:9000"
LOBBY = {"topic": "lobby", "text": "hello"}
#: For a broker in trouble: a publish gives up soon, a reconnection does not wait.
LIMITS = ProviderSettings(publish_timeout_s=0.05, backoff_base_s=0.001, backoff_cap_s=0.001)


class Api:
    """A node with one socket, and a client of its internal port."""

    def __init__(self, provider: Provider, client: httpx.AsyncClient) -> None:
        self.provider = provider
        self.client = client

    def attach(self, user_id: str | None = None) -> FakeSocket:
        socket = FakeSocket(self.provider.new_socket_id(), user_id)
        socket.on_close = lambda: self.provider.detach(socket.id)
        self.provider.attach(socket)
        return socket

    async def join(self, *topics: str) -> FakeSocket:
        socket = self.attach()
        await self.provider.subscribe(socket.id, *topics)
        return socket

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.post(path, content=content, headers=sent)
        await settle()  # what a turn publishes is written when it ends
        return response


@asynccontextmanager
async def connected(
    *providers: Provider, api_key: str | None = None, api_keys: ApiKeys | None = None, peer: str = "127.0.0.1"
) -> AsyncGenerator[httpx.AsyncClient]:
    keys = api_keys if api_key is None else ApiKeys([Secret(api_key)])
    app = create_internal_app(providers, keys)
    transport = httpx.ASGITransport(app, client=(peer, 50000), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


@asynccontextmanager
async def over_a_broker() -> AsyncGenerator[tuple[Api, FakeBroker]]:
    broker = FakeBroker()
    async with Provider(broker, name="fake", settings=LIMITS) as provider, connected(provider) as client:
        await settle()  # connected, and heard
        yield Api(provider, client), broker
