"""Sockets in an application, through Starlette's own test client: lifespan, routes, mounts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from wigwag import Emitter, NotRunning, SocketContext, SocketMessage, Sockets, SocketState


class Tick(SocketMessage, name="tick"):
    n: int


async def join(ctx: SocketContext[Any, Any]) -> None:
    await ctx.subscribe("t")


def test_the_lifespan_gives_the_emitter_to_routes() -> None:
    class AppEmitter(Emitter):
        async def tick(self, n: int) -> None:
            await self.emit(Tick(n=n), "t")

    sockets = Sockets[None, AppEmitter](open=join, emitter=AppEmitter)

    async def tick(request: Request[SocketState[AppEmitter]]) -> PlainTextResponse:
        await request.state.emitter.tick(7)
        return PlainTextResponse("ok")

    app = Starlette(routes=[sockets.route("/ws"), Route("/tick", tick)], lifespan=sockets.lifespan)
    for _ in range(2):  # an application may be started again
        with TestClient(app) as client, client.websocket_connect("/ws") as ws:
            ws.send_text("2")
            assert ws.receive_text() == "3"
            assert client.get("/tick").text == "ok"
            assert ws.receive_json()["data"] == {"n": 7}


def test_a_mounted_application_is_started_in_the_outermost_lifespan() -> None:
    sockets = Sockets(open=join)
    inner = Starlette(routes=[sockets.route("/ws", name="live")], lifespan=sockets.lifespan)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        async with sockets.lifespan(app) as state:
            yield {**state, "mine": 1}

    with (
        TestClient(Starlette(routes=[Mount("/in", inner)], lifespan=lifespan)) as client,
        client.websocket_connect("/in/ws") as ws,
    ):
        ws.send_text("2")
        assert ws.receive_text() == "3"
        assert client.app_state["mine"] == 1
        assert client.app_state["emitter"] is sockets.emitter

    with (
        TestClient(Starlette(routes=[Mount("/in", inner)])) as client,
        pytest.raises(NotRunning, match="do it in the outermost one"),
        client.websocket_connect("/in/ws"),
    ):
        pass
    assert inner.url_path_for("live") == "/ws"
