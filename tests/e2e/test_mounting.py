"""Sockets within a larger application: under prefixes, several endpoints, one provider, own endpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from websockets.exceptions import InvalidStatus

from e2e.servers import SERVERS, Server, serving
from e2e.wire import connecting, wait_until
from wigwag import SocketContext, SocketMessage, SocketRouter, Sockets, create_provider


class Tick(SocketMessage, name="tick"):
    by: str


def endpoint(provider: Any, name: str) -> Sockets[None, Any]:
    """Sockets whose handlers say by their name which they are."""
    router = SocketRouter[None]()

    @router.on("join")
    async def join(ctx: SocketContext[None], data: str) -> str:
        await ctx.subscribe(data)
        return name

    @router.on("tick")
    async def tick(ctx: SocketContext[None], data: str) -> None:
        await ctx.emitter.emit(Tick(by=name), data)

    @router.on("kick")
    async def kick(ctx: SocketContext[None], data: str) -> None:
        await provider.disconnect(data, 4000, f"by {name}")

    @router.on("id")
    def own_id(ctx: SocketContext[None]) -> str:
        return ctx.id

    return Sockets(provider, routers=[router])


class Larger:
    """An application that mounts two endpoints deep down, and has one of its own."""

    def __init__(self) -> None:
        self.provider = create_provider("memory")
        self.first = endpoint(self.provider, "first")
        self.second = endpoint(self.provider, "second")
        self.began = False
        inner = Starlette(routes=[self.first.route("/ws", name="first")])
        api = FastAPI()
        router = APIRouter(prefix="/v2")
        router.add_api_websocket_route("/ws", self.own)
        api.include_router(router)
        self.app = Starlette(
            routes=[
                Mount("/realtime", routes=[Mount("/deep", app=inner, name="deep")]),
                Mount("/api", app=api),
                WebSocketRoute("/closed", self.closed),
            ],
            lifespan=self.lifespan,
        )

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        async with self.first.lifespan(app) as state, self.second:
            yield {**state, "mine": True}

    async def own(self, websocket: WebSocket) -> None:
        await self.second.serve(websocket, None)

    async def closed(self, websocket: WebSocket) -> None:
        await self.second.refuse(websocket)


@pytest.fixture(scope="module", params=SERVERS)
def place(request: pytest.FixtureRequest) -> Generator[tuple[Server, Larger]]:
    larger = Larger()
    with serving(request.param, larger.app) as server:
        yield server, larger
    assert not larger.provider.is_running


@pytest.fixture
def server(place: tuple[Server, Larger]) -> Server:
    return place[0]


def test_two_endpoints_hear_each_other_through_one_provider(
    server: Server, place: tuple[Server, Larger]
) -> None:
    with (
        connecting(f"{server.ws}/realtime/deep/ws") as first,
        connecting(f"{server.ws}/api/v2/ws") as second,
    ):
        assert first.ask("join", "ticks")["data"] == "first"
        assert second.ask("join", "ticks")["data"] == "second"
        assert place[1].provider.topic_subscriber_count("ticks") == 2
        first.say("tick", "ticks")
        assert [one.hear()["data"] for one in (first, second)] == [{"by": "first"}] * 2
        second.say("kick", first.ask("id")["data"])
        assert first.closed() == (4000, "by second")
    wait_until(lambda: place[1].provider.connection_count() == 0, "both have gone")


def test_an_endpoint_of_ones_own_may_refuse(server: Server) -> None:
    with connecting(f"{server.ws}/closed") as client:
        assert client.closed() == (1008, "refused")


@pytest.mark.parametrize("path", ["/ws", "/realtime/ws", "/realtime/deep", "/realtime/deep/ws/more"])
def test_elsewhere_there_is_no_socket(server: Server, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught, connecting(server.ws + path):
        pass
    assert caught.value.response.status_code in (403, 404)


@pytest.mark.parametrize("name", SERVERS)
def test_a_sub_application_whose_lifespan_never_runs_is_told_what_to_write(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sockets = endpoint(None, "mounted")
    inner = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)
    outer = Starlette(routes=[Mount("/inner", app=inner)])
    with (
        serving(name, outer) as server,
        pytest.raises(InvalidStatus) as caught,
        connecting(f"{server.ws}/inner/ws"),
    ):
        pass
    assert caught.value.response.status_code == 500
    logged = "\n".join(str(record.exc_info) + record.getMessage() for record in caplog.records)
    assert "do it in the outermost one" in logged


def test_a_prefix_by_the_server_is_a_prefix() -> None:
    larger = Larger()
    with (
        serving("uvicorn-sansio", larger.app, root_path="/behind/a/proxy") as server,
        connecting(f"{server.ws}/realtime/deep/ws") as client,
    ):
        assert client.ask("join", "ticks")["data"] == "first"
