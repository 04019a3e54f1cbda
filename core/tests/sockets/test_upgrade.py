"""Who is let in: the upgrade hook, subprotocols, refusals, and endpoints of the application's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from clocks import settle
from sockets.scripted_asgi import Peer, World, pass_time
from wigwag import Limits, NotRunning, SocketContext, Sockets

pytestmark = pytest.mark.anyio

DENIAL: dict[str, Any] = {"websocket.http.response": {}}


@pytest.fixture
def nothing_runs() -> Iterator[dict[str, Any]]:
    """Handlers and guards of which none is called."""
    ran: list[str] = []

    def guard(ctx: SocketContext[Any, Any]) -> bool:
        ran.append("guard")
        return True

    yield {
        "open": lambda ctx: ran.append("open"),
        "message": lambda ctx, message: ran.append("message"),
        "close": lambda ctx, code, reason: ran.append("close"),
        "connection_guards": [guard],
    }
    assert ran == []


async def test_what_the_hook_returns_is_the_user(world: World) -> None:
    users: list[Any] = []

    async def by_name(connection: HTTPConnection) -> str | None:
        return connection.query_params.get("name")

    sockets = Sockets(upgrade=by_name, open=lambda ctx: users.append(ctx.user))
    await world.connect(sockets, "/ws?name=ann")
    await world.connect(sockets, "/ws?name=")  # an empty name is a name all the same
    assert users == ["ann", ""]


async def test_the_hook_sees_the_request(world: World) -> None:
    seen: list[Any] = []

    async def look(connection: HTTPConnection) -> bool:
        seen.append((connection.headers["x-token"], connection.cookies, connection.url.path))
        return True

    await world.connect(Sockets(upgrade=look), headers={"X-Token": "t", "Cookie": "a=b"})
    assert seen == [("t", {"a": "b"}, "/ws")]


async def test_without_a_hook_everybody_may_connect(world: World) -> None:
    users: list[Any] = []
    await world.connect(Sockets(open=lambda ctx: users.append(ctx.user)))
    assert users == [None]


@pytest.mark.parametrize("error", [None, RuntimeError("secret"), LookupError("secret")], ids=repr)
async def test_none_or_an_exception_is_accepted_and_closed_with_1008(
    world: World, error: Exception | None, caplog: pytest.LogCaptureFixture, nothing_runs: dict[str, Any]
) -> None:
    async def refuse(connection: HTTPConnection) -> None:
        if error is not None:
            raise error

    sockets = Sockets(upgrade=refuse, subprotocols=["v1"], **nothing_runs)
    await world.start(sockets)
    peer = world.open(sockets, subprotocols=["v1"])
    peer.sends("too early")
    await settle()
    assert peer.accepted["subprotocol"] == "v1"  # else a browser would see a failed handshake
    assert peer.closed == (1008, "refused")
    assert not peer.is_served
    assert peer.take() == []
    assert sockets._app.counters.refused == {"upgrade": 1}
    assert ("the upgrade hook failed" in caplog.text) is (error is not None)


async def test_a_hook_that_is_not_async_lets_nobody_in(
    world: World, caplog: pytest.LogCaptureFixture, nothing_runs: dict[str, Any]
) -> None:
    hook: Any = lambda connection: "user"  # noqa: E731
    peer = await world.connect(Sockets(upgrade=hook, **nothing_runs))
    assert peer.closed == (1008, "refused")
    assert "the upgrade hook failed" in caplog.text


async def test_a_hook_that_hangs_is_closed_with_1013_after_its_limit(
    world: World, caplog: pytest.LogCaptureFixture, nothing_runs: dict[str, Any]
) -> None:
    async def hang(connection: HTTPConnection) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    sockets = Sockets(upgrade=hang, limits=Limits(upgrade_timeout_s=3), **nothing_runs)
    peer = await world.connect(sockets)
    await pass_time(2.9)
    assert not peer.is_accepted
    await pass_time(0.2)
    assert peer.closed == (1013, "try again later")
    assert not peer.is_served
    assert sockets._app.counters.refused == {"upgrade timeout": 1}
    assert "took longer than its limit" in caplog.text


class TestHTTPException:
    """The hook may refuse with a true HTTP answer, for those who are no browsers."""

    @pytest.fixture(autouse=True)
    def handlers(self, nothing_runs: dict[str, Any]) -> None:
        self.nothing_runs = nothing_runs

    async def connect(self, world: World, error: HTTPException, extensions: Any) -> Peer:
        async def refuse(connection: HTTPConnection) -> str:
            raise error

        self.sockets = Sockets(upgrade=refuse, **self.nothing_runs)
        return await world.connect(self.sockets, extensions=extensions)

    async def test_it_is_sent_where_the_server_can(self, world: World) -> None:
        error = HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})
        peer = await self.connect(world, error, DENIAL)
        start, body = peer.events
        assert start["type"] == "websocket.http.response.start"
        assert start["status"] == 401
        assert (b"www-authenticate", b"Bearer") in start["headers"]
        assert body["body"] == b"who are you?"
        assert self.sockets._app.counters.refused == {"upgrade": 1}

    async def test_else_the_server_makes_it_403(self, world: World) -> None:
        peer = await self.connect(world, HTTPException(401), {})
        assert [event["type"] for event in peer.events] == ["websocket.close"]
        assert not peer.is_accepted

    async def test_its_detail_may_be_anything(self, world: World) -> None:
        detail: Any = {"code": 7}  # as FastAPI's takes
        peer = await self.connect(world, HTTPException(429, detail), DENIAL)
        start, body = peer.events
        assert start["status"] == 429
        assert body["body"] == b'{"detail":{"code":7}}'


async def test_the_first_subprotocol_of_the_clients_that_we_speak_is_chosen(world: World) -> None:
    sockets = Sockets(subprotocols=["v1", "v2"])
    for offered, chosen in ((["v3", "v2", "v1"], "v2"), (["v3"], None), ([], None)):
        assert (await world.connect(sockets, subprotocols=offered)).accepted["subprotocol"] == chosen
    assert (await world.connect(Sockets(), subprotocols=["v1"])).accepted["subprotocol"] is None


async def test_what_a_server_need_not_say_is_not_needed(world: World) -> None:
    """ASGI: subprotocols and extensions are optional."""
    sockets = Sockets(subprotocols=["v1"])
    await world.start(sockets)
    peers = [world.open(sockets) for _ in range(2)]
    del peers[0].scope["subprotocols"], peers[0].scope["extensions"]
    peers[1].scope["extensions"] = None
    await settle()
    assert [peer.accepted["subprotocol"] for peer in peers] == [None, None]
    foreign = world.open(sockets, headers={"origin": "https://evil.example"})
    foreign.scope["extensions"] = None
    await settle()
    assert [event["type"] for event in foreign.events] == ["websocket.close"]


async def test_before_start_the_hook_is_not_asked(world: World) -> None:
    asked: list[HTTPConnection] = []

    async def hook(connection: HTTPConnection) -> None:
        asked.append(connection)

    peer = world.open(Sockets(upgrade=hook))
    peer.error_is_expected = True
    await settle()
    assert isinstance(peer.error, NotRunning)
    assert asked == []


async def test_a_client_that_leaves_during_the_hook_is_no_error(
    world: World, nothing_runs: dict[str, Any]
) -> None:
    """ASGI: a server may raise OSError at what is sent to who has gone."""
    go_on = anyio.Event()

    async def slow(connection: HTTPConnection) -> str | None:
        await go_on.wait()
        return connection.query_params.get("name")

    sockets = Sockets(upgrade=slow, **nothing_runs)
    peers = [await world.connect(sockets, path) for path in ("/ws", "/ws?name=x")]
    for peer in peers:
        peer.sending.fail(OSError("gone"))
    go_on.set()
    await settle()
    assert [peer.error for peer in peers] == [None, None]
    assert not any(peer.is_served for peer in peers)
    assert not sockets._app.sessions


async def test_a_client_that_does_not_wait_to_be_closed_is_no_error(
    world: World, nothing_runs: dict[str, Any]
) -> None:
    sockets = Sockets(upgrade=nobody, **nothing_runs)
    await world.start(sockets)
    peer = world.open(sockets)
    peer.sending.shut()
    await settle()
    peer.sending.release()  # the accept
    await settle()
    peer.sending.fail(OSError("gone"))
    await settle()
    assert not peer.is_served
    assert peer.error is None


async def nobody(connection: HTTPConnection) -> str | None:
    return None


# An endpoint of the application's own


async def test_an_endpoint_of_ones_own_serves_whom_it_lets_in(world: World) -> None:
    users: list[str] = []

    def opened(ctx: SocketContext[str]) -> None:
        users.append(ctx.user)

    sockets = Sockets[str](open=opened)

    async def endpoint(websocket: WebSocket) -> None:
        match websocket.query_params.get("as"):
            case None:
                await sockets.refuse(websocket)
            case "late":
                await sockets.refuse(websocket, 4408, "é" * 100)
            case "accepted":
                await websocket.accept()
                await sockets.serve(websocket, "accepted")
            case "accepted and refused":
                await websocket.accept()
                await sockets.refuse(websocket)
            case name:
                await sockets.serve(websocket, name)

    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    await world.start(sockets)
    assert (await world.connect(app)).closed == (1008, "refused")
    assert (await world.connect(app, "/ws?as=late")).closed == (4408, "é" * 61)
    peers = [await world.connect(app, f"/ws?as={name}") for name in ("ann", "accepted")]
    assert users == ["ann", "accepted"]
    assert [peer.closed for peer in peers] == [None, None]
    assert all(peer.accepted for peer in peers)  # once
    assert (await world.connect(app, "/ws?as=accepted+and+refused")).closed == (1008, "refused")
    assert sockets._app.counters.refused == {"upgrade": 3}
    await peers[0].leave()
    assert not peers[0].is_served
    assert sockets.provider.connection_count() == 1


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
async def test_a_code_that_can_not_be_sent_is_refused(world: World, code: int) -> None:
    sockets = Sockets()
    caught: list[Exception] = []

    async def endpoint(websocket: WebSocket) -> None:
        try:
            await sockets.refuse(websocket, code)
        except ValueError as exc:
            caught.append(exc)
            await sockets.refuse(websocket)

    await world.start(sockets)
    peer = await world.connect(Starlette(routes=[WebSocketRoute("/ws", endpoint)]))
    assert peer.closed == (1008, "refused")
    assert "is no close code to send" in str(caught)
