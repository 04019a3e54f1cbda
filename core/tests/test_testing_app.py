"""The test kit for applications: it does what it says, and where a test fails it says what came instead."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from clocks import backend
from wigwag import (
    MessageRegistry,
    ServerMessage,
    SocketContext,
    SocketMessage,
    SocketRouter,
    Sockets,
    create_emitter,
    create_provider,
)
from wigwag.client import (
    ClientError,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    Raw,
    Reply,
    RequestFailed,
    RequestTimeout,
    Resync,
)
from wigwag.errors import NotRunning, SettingsError
from wigwag.testing import AppClient, AppConnection, FakeNetwork, FakeProvider

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WIGWAG_")]:
        monkeypatch.delenv(name)


class Said(SocketMessage, name="said"):
    text: str


class Named(msgspec.Struct):
    name: str


Left = SocketMessage.define("left", Named)


class Say(ServerMessage[int], name="say"):
    text: str


async def authenticate(connection: HTTPConnection) -> str | None:
    name = connection.query_params.get("name")
    if name == "hang":
        await anyio.sleep_forever()
    if name == "teapot":
        raise HTTPException(418, "short and stout")
    return name


def make_app() -> Starlette:
    """A room, to which each socket belongs."""
    routes = SocketRouter[str]()

    async def opened(ctx: SocketContext[str]) -> None:
        await ctx.subscribe("lobby")

    async def closed(ctx: SocketContext[str], code: int, reason: str) -> None:
        await ctx.emitter.emit(Left(Named(ctx.user)), "lobby")

    async def said(ctx: SocketContext[str], message: Say) -> int:
        await ctx.emitter.emit(Said(text=message.text), "lobby")
        return len(message.text)

    @routes.on("hang")
    async def hang(ctx: SocketContext[str]) -> None:
        await anyio.sleep_forever()

    @routes.on("leave")
    async def leave(ctx: SocketContext[str], code: int) -> None:
        await ctx.close(code, "as you say")

    async def raw(ctx: SocketContext[str], message: str | bytes) -> None:
        await ctx.send(message)

    registry = MessageRegistry[str]().rooms(authorize=lambda ctx, room: room != "secret").on(Say, said)
    sockets = Sockets[str](
        upgrade=authenticate,
        routers=[registry, routes],
        open=opened,
        close=closed,
        message=raw,
        subprotocols=["chat"],
    )

    async def say(request: Request) -> JSONResponse:
        await request.state.emitter.emit(Said(text=await request.json()), "lobby")
        return JSONResponse({"client": request.client.host if request.client else ""}, status_code=201)

    return Starlette(
        routes=[sockets.route("/ws"), Route("/say", say, methods=["POST"])], lifespan=sockets.lifespan
    )


@pytest.fixture
async def client() -> AsyncGenerator[AppClient]:
    async with AppClient(make_app()) as client:
        yield client


# Talking


async def test_two_clients_hear_each_other(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    bob = await client.connect("/ws?name=bob")
    assert await ann.request(Say(text="hi")) == 2
    assert await bob.expect(Said) == Said(text="hi")
    event = await ann.expect("said")
    assert (event.name, event.data) == ("said", {"text": "hi"})
    assert event.timestamp
    await bob.close()
    assert await ann.expect(Left) == Named("bob")
    await ann.expect_nothing()


async def test_what_is_asked_for_out_of_order_is_found_and_the_rest_stays(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    await ann.send_raw(b"\x00\xff")
    await ann.send_raw("text")
    await ann.send("leave", "soon")
    await ann.request(Say(text="hi"))
    assert await ann.expect(Said) == Said(text="hi")
    assert (await ann.expect(Reply)).error == "Validation failed"
    assert await ann.expect(Raw) == Raw(b"\x00\xff")
    assert await ann.receive() == Raw("text")
    await ann.expect_nothing(within_s=0)


async def test_handlers_and_rooms_are_those_of_the_client(client: AppClient) -> None:
    heard = anyio.Event()
    ann = client.socket("/ws?name=ann")
    ann.on(Said, lambda said: heard.set())
    await ann.connect()
    await ann.join_room("other")
    with pytest.raises(RequestFailed, match="Forbidden"):
        await ann.join_room("secret")
    assert ann.rooms == {"other"}
    await ann.request(Say(text="hi"))
    with pytest.raises(TypeError, match="has a handler"):
        await ann.expect(Said)
    await heard.wait()


async def test_a_client_that_may_reconnect_does(client: AppClient) -> None:
    names = iter(["ann", "ann"])
    ann = await client.connect(lambda: f"/ws?name={next(names)}", reconnect=True)
    again = anyio.Event()
    ann.on_state_change(lambda state: again.set() if state == "connected" else None)
    await ann.send("leave", 1012)
    await again.wait()
    assert await ann.request(Say(text="hi")) == 2


async def test_http_requests_meet_the_same_application(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    answer = await client.http.post("/say", json="hello")
    assert (answer.status_code, answer.json()) == (201, {"client": "127.0.0.1"})
    assert (await ann.expect(Said)).text == "hello"


async def test_headers_and_subprotocols_arrive() -> None:
    seen: dict[str, Any] = {}

    async def upgrade(connection: HTTPConnection) -> str:
        seen.update(connection.headers, scheme=connection.url.scheme, path=connection.url.path)
        return "ann"

    sockets = Sockets[str](upgrade=upgrade, subprotocols=["chat"])
    app = Starlette(routes=[sockets.route("/a b")], lifespan=sockets.lifespan)
    async with AppClient(app, base_url="wss://example.com") as client:
        ann = await client.connect("/a%20b?x=1", headers={"Cookie": "a=b"}, subprotocols=["other", "chat"])
        assert ann.subprotocol == "chat"
    assert seen == {
        "host": "example.com",
        "cookie": "a=b",
        "sec-websocket-protocol": "other, chat",
        "scheme": "wss",
        "path": "/a b",
    }


# Refusals and ends


async def test_a_refused_client_is_told_the_code(client: AppClient) -> None:
    with pytest.raises(ConnectionRefused, match="refused") as refused:
        await client.connect("/ws")
    assert refused.value.code == 1008


async def test_an_http_refusal_is_told_with_what_was_said(client: AppClient) -> None:
    with pytest.raises(ConnectFailed, match=r"HTTP 418 \(short and stout\)"):
        await client.connect("/ws?name=teapot")
    with pytest.raises(ConnectionRefused, match=r"HTTP 403 \(this origin may not connect\)") as refused:
        await client.connect("/ws?name=ann", headers={"origin": "https://elsewhere.example"})
    assert refused.value.code == 403


async def test_a_path_without_a_route_is_told(client: AppClient) -> None:
    with pytest.raises(ConnectionRefused, match="is there a WebSocket route at this path"):
        await client.connect("/wss")
    with pytest.raises(ValueError, match="slash"):
        await client.connect("ws")


async def test_a_hook_that_hangs_is_given_up(client: AppClient) -> None:
    with pytest.raises(ConnectFailed, match="within 2 s: does its upgrade hook wait"):
        await client.connect("/ws?name=hang")


async def test_the_end_of_a_connection_is_expected_with_its_code(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    await ann.send("leave", 4001)
    closed = await ann.expect_closed(4001)
    assert (closed.code, closed.reason) == (4001, "as you say")
    with pytest.raises(AssertionError, match="closed with 4001, not with 1008"):
        await ann.expect_closed(1008)
    with pytest.raises(ConnectionClosed):
        await ann.send("late")


async def test_stopping_the_application_closes_its_sockets(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    await client.stop()
    await ann.expect_closed(1012)
    with pytest.raises(NotRunning, match="async with"):
        await client.connect("/ws?name=bob")


async def test_what_a_request_waits_for_has_a_limit(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    with pytest.raises(RequestTimeout, match="'hang' within 2 s"):
        await ann.request("hang")


# What a failing test says


async def test_it_is_said_what_came_instead(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    await ann.send_raw("text")
    await ann.send("say", {"text": 7})
    await ann.request(Say(text="hi"))
    with pytest.raises(AssertionError) as failure:
        await ann.expect(Left)
    assert str(failure.value) == (
        "no 'left' came within 2 s; what came instead:\n"
        "  text 'text'\n"
        "  a reply to 'say': error 'Validation failed' "
        "[{'path': '$.text', 'message': 'Expected `str`, got `int`'}]\n"
        "  'said' {'text': 'hi'}"
    )
    with pytest.raises(AssertionError, match="nothing should have come, but what came instead:\n  text"):
        await ann.expect_nothing()
    with pytest.raises(AssertionError, match="was not closed within 2 s"):
        await ann.expect_closed()


async def test_it_is_said_that_nothing_came(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    with pytest.raises(AssertionError, match=r"no message came within 0\.5 s; nothing came$"):
        await ann.receive(timeout_s=0.5)
    await ann.send("leave", 1013)
    with pytest.raises(AssertionError) as failure:
        await ann.expect(Said)
    assert str(failure.value) == (
        "no 'said' came before the connection ended; nothing came\n"
        "  (the connection ended with code 1013 (as you say))"
    )
    with pytest.raises(AssertionError, match="there was no connection to close: disconnected"):
        await client.socket("/ws").expect_closed()


async def test_much_that_came_is_said_in_part(client: AppClient) -> None:
    ann = await client.connect("/ws?name=ann")
    for _ in range(25):
        await ann.send_raw("x" * 1000)
    await ann.send_raw(b"last")
    await ann.request(Say(text="hi"))
    with pytest.raises(AssertionError) as failure:
        await ann.expect(Left)
    lines = str(failure.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 7 more"
    assert max(map(len, lines)) <= 202


# The application's life


async def test_an_application_that_fails_to_start_raises_what_it_raised() -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        if app is not None:
            raise ZeroDivisionError("no database")
        yield

    client = AppClient(Starlette(lifespan=lifespan))
    with pytest.raises(ZeroDivisionError, match="no database"):
        await client.__aenter__()
    with pytest.raises(NotRunning):
        client.socket()


async def test_an_application_that_fails_to_stop_raises_what_it_raised() -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        yield
        raise ZeroDivisionError("no database")

    with pytest.raises(ZeroDivisionError, match="no database"):
        async with AppClient(Starlette(lifespan=lifespan)):
            pass


async def test_an_application_that_hangs_is_given_up() -> None:
    @asynccontextmanager
    async def starting(app: Any) -> AsyncGenerator[None]:
        await anyio.sleep_forever()
        yield

    @asynccontextmanager
    async def stopping(app: Any) -> AsyncGenerator[None]:
        yield
        await anyio.sleep_forever()

    with pytest.raises(TimeoutError, match="has not started within 10 s"):
        await AppClient(Starlette(lifespan=starting)).__aenter__()
    with pytest.raises(TimeoutError, match="has not stopped within 1 s"):
        async with AppClient(Starlette(lifespan=stopping), lifespan_timeout_s=1):
            pass


async def test_a_lifespan_that_says_failed_and_returns_is_an_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="startup failed: no database"):
        await AppClient(app).__aenter__()


async def test_an_application_without_a_lifespan_is_run() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        while True:
            text = await websocket.receive_text()
            await websocket.send_text("3" if text == "2" else text)

    async with AppClient(app) as client:
        ann = await client.connect("/")
        await ann.send_raw("hello")
        assert await ann.expect(Raw) == Raw("hello")


@pytest.mark.parametrize("accepts", [False, True])
async def test_what_the_application_raises_is_told(accepts: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        if accepts:
            await websocket.accept()
            await websocket.receive_text()
        raise ZeroDivisionError("mine")

    async with AppClient(Starlette(routes=[WebSocketRoute("/ws", endpoint)])) as client:
        with pytest.raises(ClientError, match="raised ZeroDivisionError") as failure:
            await client.connect()
    if accepts:
        assert isinstance(failure.value, ConnectionClosed)
        assert failure.value.code == 1011
        assert "ZeroDivisionError: mine" in caplog.text
    else:
        assert isinstance(failure.value, ConnectFailed)
        assert isinstance(failure.value.__cause__, ZeroDivisionError)


async def test_sockets_whose_lifespan_was_forgotten_are_told_of() -> None:
    sockets = Sockets[None]()
    async with AppClient(Starlette(routes=[sockets.route("/ws")])) as client:
        with pytest.raises(ConnectFailed, match=r"lifespan=sockets\.lifespan"):
            await client.connect()


async def test_a_client_is_entered_once() -> None:
    client = AppClient(make_app())
    with pytest.raises(NotRunning, match="async with AppClient"):
        client.socket()
    async with client:
        with pytest.raises(RuntimeError, match="in use"):
            await client.__aenter__()


async def test_handlers_that_hang_end_with_the_client() -> None:
    ended = anyio.Event()
    routes = SocketRouter[None]()

    @routes.on("hang")
    async def hang(ctx: SocketContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    sockets = Sockets[None](routers=[routes])
    async with AppClient(Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)) as client:
        await (await client.connect()).send("hang")
    assert ended.is_set()


async def test_it_may_be_left_in_another_task_than_it_was_entered_in() -> None:
    """As the fixtures of pytest-asyncio are."""
    client = AppClient(make_app())
    connections: list[AppConnection] = []

    async def enter() -> None:
        await client.__aenter__()
        connections.append(await client.connect("/ws?name=ann"))

    async def leave() -> None:
        await client.__aexit__(None, None, None)

    for step in (enter, leave):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step)
    assert connections[0].state == "disconnected"


# Another provider


async def test_a_provider_takes_the_place_of_the_environments() -> None:
    provider = FakeProvider()
    async with AppClient(make_app(), provider=provider) as client:
        ann = await client.connect("/ws?name=ann")
        await ann.request(Say(text="hi"))
        assert await ann.expect(Said) == Said(text="hi")
        assert provider.expect(Said, topic="lobby") == Said(text="hi")
    assert not provider.is_running


async def test_two_applications_on_one_network_are_two_replicas() -> None:
    network = FakeNetwork()
    async with (
        AppClient(make_app(), provider=FakeProvider(network)) as one,
        AppClient(make_app(), provider=FakeProvider(network)) as two,
    ):
        ann, bob = await one.connect("/ws?name=ann"), await two.connect("/ws?name=bob")
        await ann.request(Say(text="hi"))
        assert await bob.expect(Said) == Said(text="hi")


async def test_an_outage_of_the_broker_is_told_to_the_clients() -> None:
    provider = FakeProvider()
    async with AppClient(make_app(), provider=provider) as client:
        ann = await client.connect("/ws?name=ann")
        provider.network.stop()
        with pytest.raises(RequestFailed, match="Unavailable"):
            await ann.request(Say(text="lost"))
        with pytest.raises(RequestFailed, match="Unavailable"):
            await ann.join_room("other")
        provider.network.start()
        resync = await ann.expect(Resync)
        assert resync.topics == ["lobby", "other"]
        await ann.request(Say(text="hi"))
        assert await ann.expect(Said) == Said(text="hi")
        assert provider.emitted(Said) == [Said(text="hi")]


async def test_a_provider_that_nobody_asks_for_is_an_error() -> None:
    sockets = Sockets[None](create_provider("memory"))
    app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)
    with pytest.raises(SettingsError, match="did not ask for a provider"):
        await AppClient(app, provider=FakeProvider()).__aenter__()


async def test_an_emitter_of_the_environment_has_it_too() -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        async with create_emitter() as emitter:
            await emitter.emit(Said(text="started"), "lobby")
            yield

    provider = FakeProvider()
    async with AppClient(Starlette(lifespan=lifespan), provider=provider):
        assert provider.expect(Said).text == "started"
