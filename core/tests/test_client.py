"""The client against a real server that does as the test says: connecting, reconnecting, ending."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

import anyio
import pytest
from websockets.asyncio.server import ServerConnection

from scripted_server import ScriptedServer, closes, scripted_server
from wigwag.client import (
    ClientError,
    ClientState,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    SocketClient,
)
from wigwag.client.session import Session
from wigwag.errors import NotRunning

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncGenerator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncGenerator[None]:
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if "wigwag" in task.get_name()]
    assert not left


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the client made; they take no time."""
    made: list[float] = []

    async def pause(session: Session, delay_s: float) -> None:
        made.append(delay_s)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(Session, "pause", pause)
    return made


class States:
    """Waits until a client has been in a state so many times."""

    def __init__(self, client: SocketClient) -> None:
        self.seen: list[ClientState] = []
        self._changed = asyncio.Event()
        client.on_state_change(self._enter)

    def _enter(self, state: ClientState) -> None:
        self.seen.append(state)
        self._changed.set()

    async def reach(self, state: ClientState, times: int = 1) -> None:
        while self.seen.count(state) < times:
            self._changed.clear()
            await self._changed.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_async_with_connects_and_closes(server: ScriptedServer) -> None:
    client = SocketClient(server.url)
    states = States(client)
    async with client:
        assert client.state == "connected"
    assert states.seen == ["connecting", "connected", "disconnected"]
    await server.last.wait_closed()
    assert server.last.protocol.close_code == 1000
    with pytest.raises(NotRunning, match="closed"):
        await client.connect()


@pytest.mark.parametrize("url", ["http://x", "nonsense", ""])
async def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="ws://"):
        SocketClient(url)


async def test_without_reconnect_a_first_failure_is_raised() -> None:
    client = SocketClient(f"ws://127.0.0.1:{free_port()}", reconnect=False)
    with pytest.raises(ConnectFailed, match="no connection") as failure:
        await client.connect()
    assert isinstance(failure.value.__cause__, OSError)
    assert client.state == "failed"


async def test_attempts_are_limited_and_pauses_grow(delays: list[float]) -> None:
    client = SocketClient(f"ws://127.0.0.1:{free_port()}", max_reconnect_attempts=3, random=lambda: 1.0)
    errors: list[ClientError] = []
    client.on_error(errors.append)
    with pytest.raises(ConnectFailed):
        await client.connect()
    assert delays == [1.0, 1.5, 2.5]
    assert [type(error) for error in errors] == [ConnectFailed] * 4


async def test_connect_waits_for_a_server_that_comes_late(delays: list[float]) -> None:
    server = ScriptedServer()
    server.port = free_port()
    client = SocketClient(server.url)
    first_failure = asyncio.Event()
    client.on_error(lambda _: first_failure.set())
    async with asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(client.connect())
        await first_failure.wait()
        await server.start()
        await connecting
    assert client.state == "connected"
    await client.close()
    await server.stop()


async def test_connect_waits_for_a_connection_that_is_being_made_again(
    server: ScriptedServer, delays: list[float]
) -> None:
    client = SocketClient(server.url)
    states = States(client)
    async with client:
        await server.last.close(1012)
        await states.reach("reconnecting")
        await client.connect()
        assert client.state == "connected"


async def test_connect_raises_where_the_connection_will_not_be_made_again(
    server: ScriptedServer, delays: list[float]
) -> None:
    client = SocketClient(server.url)
    states = States(client)
    async with client:
        server.http_status = HTTPStatus.FORBIDDEN
        await server.last.close(1012)
        await states.reach("reconnecting")
        with pytest.raises(ConnectionRefused, match="403"):
            await client.connect()


async def test_a_handshake_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        client = SocketClient(url, reconnect=False, connection_timeout_s=0.05)
        with pytest.raises(ConnectFailed, match="timed out"):
            await client.connect()


async def test_connect_that_is_cancelled_leaves_nothing(delays: list[float]) -> None:
    client = SocketClient(f"ws://127.0.0.1:{free_port()}")
    with anyio.move_on_after(0.05) as scope:
        await client.connect()
    assert scope.cancelled_caught
    assert client.state == "disconnected"


async def test_the_url_is_asked_for_before_each_attempt(server: ScriptedServer, delays: list[float]) -> None:
    server.scripts = [closes(1012)]
    tokens = iter("abc")

    async def url() -> str:
        return f"{server.url}?token={next(tokens)}"

    async with SocketClient(url):
        assert server.paths == ["/ws?token=a", "/ws?token=b"]


async def test_a_url_function_that_fails_is_a_failed_attempt() -> None:
    def url() -> str:
        raise KeyError("token")

    with pytest.raises(ConnectFailed, match="token"):
        await SocketClient(url, reconnect=False).connect()


async def test_headers_and_subprotocols_are_sent(server: ScriptedServer) -> None:
    headers = {"Authorization": "Bearer t"}
    async with SocketClient(server.url, headers=headers, subprotocols=["p"]):
        request = server.last.request
        assert request is not None
        assert request.headers["Authorization"] == "Bearer t"
        assert request.headers["Sec-WebSocket-Protocol"] == "p"
        assert "Sec-WebSocket-Extensions" not in request.headers


async def test_close_code_1008_ends_it(server: ScriptedServer, delays: list[float]) -> None:
    server.scripts = [closes(1008, "bad token")]
    client = SocketClient(server.url)
    states = States(client)
    with pytest.raises(ConnectionRefused, match="bad token") as refusal:
        await client.connect()
    assert refusal.value.code == 1008
    assert "refused" in states.seen
    assert not delays
    assert len(server.connections) == 1


async def test_a_refusal_later_ends_events_and_calls(server: ScriptedServer, delays: list[float]) -> None:
    async with SocketClient(server.url) as client:
        await server.last.close(1008, "expired")
        with pytest.raises(ConnectionRefused, match="expired"):
            await anext(client.events())
        assert isinstance(client.error, ConnectionRefused)
        with pytest.raises(ConnectionRefused):
            await client.send("x")
        with pytest.raises(ConnectionRefused):
            await client.join_room("x")
        await client.connect()  # with a better token, say
        assert client.state == "connected"


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_an_http_refusal_ends_it(
    server: ScriptedServer, status: HTTPStatus, delays: list[float]
) -> None:
    server.http_status = status
    with pytest.raises(ConnectionRefused, match=str(status.value)):
        await SocketClient(server.url).connect()
    assert not delays


async def test_another_http_error_is_a_failed_attempt(server: ScriptedServer) -> None:
    server.http_status = HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(ConnectFailed, match="503"):
        await SocketClient(server.url, reconnect=False).connect()


@pytest.mark.parametrize("code", [1009, 1011, 1012, 1013, 4000])
async def test_other_close_codes_reconnect_after_a_jittered_pause(
    server: ScriptedServer, delays: list[float], code: int
) -> None:
    client = SocketClient(server.url, random=lambda: 0.5)
    states = States(client)
    async with client:
        await server.last.close(code)
        await states.reach("connected", 2)
        assert states.seen == ["connecting", "connected", "reconnecting", "connected"]
        assert delays == [0.75]


async def test_close_code_1000_ends_it(server: ScriptedServer, delays: list[float]) -> None:
    async with SocketClient(server.url) as client:
        await server.last.close(1000, "signed out elsewhere")
        for call in (lambda: anext(client.events()), lambda: client.request("a"), lambda: client.send("a")):
            with pytest.raises(ConnectionClosed, match="signed out") as closed:
                await call()
            assert (closed.value.code, closed.value.reason) == (1000, "signed out elsewhere")
        assert client.state == "failed"
    assert not delays


async def test_connect_raises_where_the_server_is_done_with_this_client_at_once(
    server: ScriptedServer, delays: list[float]
) -> None:
    server.scripts = [closes(1000, "nothing for you")]
    client = SocketClient(server.url)
    with pytest.raises(ConnectionClosed, match="nothing for you"):
        await client.connect()
    assert not delays


async def test_connections_that_end_at_once_do_not_reset_the_backoff(
    server: ScriptedServer, delays: list[float]
) -> None:
    server.scripts = [closes(1013)] * 4
    async with SocketClient(server.url, random=lambda: 1.0):
        assert delays == [1.0, 1.5, 2.5, 4.5]


async def test_without_reconnect_a_lost_connection_is_the_end(server: ScriptedServer) -> None:
    async with SocketClient(server.url, reconnect=False) as client:
        await server.last.close(1012)
        with pytest.raises(ConnectionClosed) as closed:
            await anext(client.events())
        assert closed.value.code == 1012
        assert client.state == "failed"


async def test_a_server_that_answers_no_heartbeat_is_left(
    server: ScriptedServer, delays: list[float]
) -> None:
    client = SocketClient(server.url, heartbeat_interval_s=0.02, heartbeat_timeout_s=0.1)
    states = States(client)
    async with client:
        server.beats = False
        await states.reach("reconnecting")
        assert "silent for 0.1 s" in str(client.error)
        server.beats = True
        await states.reach("connected", 2)


async def test_a_server_that_answers_heartbeats_is_kept(server: ScriptedServer) -> None:
    beats = asyncio.Event()

    async def count(connection: ServerConnection) -> None:
        for _ in range(4):
            assert await connection.recv() == "2"
            await connection.send("3")
        beats.set()

    server.scripts = [count]
    async with SocketClient(server.url, heartbeat_interval_s=0.01):
        await beats.wait()
        assert len(server.connections) == 1


async def test_heartbeats_can_be_off(server: ScriptedServer) -> None:
    server.beats = False
    async with SocketClient(server.url, heartbeat_interval_s=None) as client:
        assert client.state == "connected"


async def test_connect_and_disconnect_in_any_order(server: ScriptedServer) -> None:
    client = SocketClient(server.url)
    await client.disconnect()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(client.connect())
    await client.connect()
    assert len(server.connections) == 1
    await asyncio.gather(client.disconnect(), client.disconnect())
    assert client.state == "disconnected"
    await client.connect()
    assert len(server.connections) == 2
    await client.close()
    await client.close()
    for connection in server.connections:
        await connection.wait_closed()


async def test_disconnect_ends_a_connect_that_waits(delays: list[float]) -> None:
    client = SocketClient(f"ws://127.0.0.1:{free_port()}")
    failed = asyncio.Event()
    client.on_error(lambda _: failed.set())
    connecting = asyncio.create_task(client.connect())
    await failed.wait()
    await client.disconnect()
    with pytest.raises(ConnectionClosed, match="disconnected"):
        await connecting


async def test_disconnect_ends_what_waits_for_an_answer(server: ScriptedServer) -> None:
    asked = asyncio.Event()

    async def stay_silent(connection: ServerConnection, message: Any) -> None:
        asked.set()

    server.answer = stay_silent
    async with SocketClient(server.url) as client:
        request = asyncio.create_task(client.request("a"))
        join = asyncio.create_task(client.join_room("x"))
        await asked.wait()
        await client.disconnect()
        for waiting in (request, join):
            with pytest.raises(ConnectionClosed, match="disconnected"):
                await waiting
