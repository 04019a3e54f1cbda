"""The client with the classes that the server shares: typed events, typed requests, the connection's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Literal

import msgspec
import pydantic
import pytest
from websockets.asyncio.server import ServerConnection

from scripted_server import ScriptedServer, closes, emit, reply, scripted_server
from wigwag import JoinRoom, ServerMessage, SocketMessage
from wigwag.client import (
    ClientError,
    Connected,
    ConnectionEvent,
    ConnectionRefused,
    Disconnected,
    Dropped,
    Event,
    ReconnectAttempt,
    ReconnectFailed,
    Resync,
    SocketClient,
    UnexpectedData,
)
from wigwag.errors import InvalidMessage

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncGenerator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


class IncidentCreated(SocketMessage, name="incident.created", rename="camel"):
    uuid: str
    severity: Literal["minor", "major"]
    monitor_uuid: str | None = None


class Invoice(pydantic.BaseModel):
    number: int


InvoicePaid = SocketMessage.define("invoice.paid", Invoice)


class Project(msgspec.Struct):
    uuid: str
    is_open: bool = False


class OpenProject(ServerMessage[Project], name="project.open"):
    uuid: str


class Close(ServerMessage, name="project.close"):
    uuid: str


def client_of(server: ScriptedServer, **options: Any) -> SocketClient:
    return SocketClient(
        server.url, reconnect_delay_s=0.001, max_reconnect_delay_s=0.001, random=lambda: 0.0, **options
    )


# Events


async def test_a_handler_gets_the_class_that_the_server_emits(server: ScriptedServer) -> None:
    got: list[Any] = []
    async with client_of(server) as client:
        client.on(IncidentCreated, got.append)
        client.on(InvoicePaid, got.append)
        client.on("incident.created", got.append)
        data = {"uuid": "i", "severity": "minor", "monitorUuid": "m"}
        await emit(server.last, "incident.created", data)
        await emit(server.last, "invoice.paid", {"number": 7})
        await client.request("settled")
    assert got == [
        IncidentCreated(uuid="i", severity="minor", monitor_uuid="m"),
        Event("incident.created", data, 1),
        Invoice(number=7),
    ]


async def test_the_servers_own_events_have_classes(server: ScriptedServer) -> None:
    got: list[Any] = []
    async with client_of(server) as client:
        client.on(Resync, got.append)
        client.on(Dropped, got.append)
        await emit(server.last, "wigwag.resync", {"topics": ["a"], "spreadMs": 250})
        await emit(server.last, "wigwag.dropped", {"count": 17})
        await client.request("settled")
    assert got == [Resync(topics=["a"], spread_ms=250), Dropped(count=17)]


async def test_an_event_that_does_not_fit_is_told_and_the_next_arrives(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[IncidentCreated] = []
    errors: list[ClientError] = []
    async with client_of(server) as client:
        client.on(IncidentCreated, got.append)
        client.on_error(errors.append)
        await emit(server.last, "incident.created", {"uuid": "i", "severity": "small"})
        await emit(server.last, "incident.created", {"uuid": "j", "severity": "minor"})
        await client.request("settled")
    assert [incident.uuid for incident in got] == ["j"]
    (error,) = errors
    assert isinstance(error, UnexpectedData)
    assert error.name == "incident.created"
    assert error.details == [{"path": "$.severity", "message": "Invalid enum value 'small'"}]
    assert "no IncidentCreated" in caplog.text


async def test_a_handler_that_is_taken_back_gets_nothing_and_hurts_no_other(server: ScriptedServer) -> None:
    got: list[Any] = []
    async with client_of(server) as client:
        off = client.on(IncidentCreated, lambda _: got.append("taken back"))
        client.on(IncidentCreated, lambda _: got.append("there"))
        off()
        off()
        await emit(server.last, "incident.created", {"uuid": "i", "severity": "minor"})
        await client.request("settled")
    assert got == ["there"]


@pytest.mark.parametrize(
    "what", [7, int, ServerMessage, SocketMessage, Close, type("X", (SocketMessage,), {})]
)
async def test_what_is_no_event_is_refused(what: Any) -> None:
    with pytest.raises(TypeError, match=r"is no event|no name"):
        SocketClient("ws://127.0.0.1:1").on(what, print)


# Requests


async def test_a_request_is_answered_with_what_its_class_says(server: ScriptedServer) -> None:
    async def answer(connection: ServerConnection, message: Any) -> None:
        await reply(connection, message, data={"uuid": message["data"]["uuid"], "is_open": True})

    server.answer = answer
    async with client_of(server) as client:
        project = await client.request(OpenProject(uuid="p"))
        assert project == Project(uuid="p", is_open=True)
        assert await client.request("project.open", {"uuid": "q"}, reply=Project) == Project(
            "q", is_open=True
        )
        assert await client.request(Close(uuid="p"), reply=dict[str, Any]) == {"uuid": "p", "is_open": True}
        assert await client.request(Close(uuid="p")) == {"uuid": "p", "is_open": True}
    assert server.received[0][1]["type"] == "project.open"
    assert server.received[0][1]["data"] == {"uuid": "p"}


async def test_an_answer_that_does_not_fit_is_raised(server: ScriptedServer) -> None:
    async with client_of(server) as client:
        with pytest.raises(UnexpectedData, match=r"'project.open' is no Project: .* \(at \$.uuid\)"):
            await client.request("project.open", {"uuid": 7}, reply=Project)
        assert await client.request("alive", 1) == 1


async def test_a_message_that_does_not_fit_its_class_is_not_sent(server: ScriptedServer) -> None:
    wrong: Any = 7
    async with client_of(server) as client:
        for call in (client.request, client.send):
            with pytest.raises(InvalidMessage, match=r"\$.uuid"):
                await call(OpenProject(uuid=wrong))
            with pytest.raises(TypeError, match="its data already"):
                await call(OpenProject(uuid="p"), {"uuid": "q"})  # type: ignore[call-overload]
        await client.send(OpenProject(uuid="p"))
        await client.request(JoinRoom(room="x"))
    assert server.types(0) == ["project.open", "room.join"]


# Rooms


async def test_cleared_rooms_are_left_and_not_joined_again(server: ScriptedServer) -> None:
    again = asyncio.Event()
    async with client_of(server) as client:
        for room in ("x", "y"):
            await client.join_room(room)
        await client.clear_rooms()
        assert client.rooms == frozenset()
        client.on(Connected, lambda _: again.set())
        await server.last.close(1012)
        await again.wait()
        await client.request("settled")
    assert sorted(server.types(0)) == ["room.join", "room.join", "room.leave", "room.leave"]
    assert server.types(1) == ["settled"]


# The connection's life


class Life:
    """What happened to a connection, in order."""

    def __init__(self, client: SocketClient) -> None:
        self.events: list[ConnectionEvent] = []
        self._changed = asyncio.Event()
        for kind in (Connected, Disconnected, ReconnectAttempt, ReconnectFailed):
            client.on(kind, self._add)

    def _add(self, event: ConnectionEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def reach(self, count: int) -> None:
        while len(self.events) < count:
            self._changed.clear()
            await self._changed.wait()


async def test_a_lost_connection_and_the_next_are_told_in_order(server: ScriptedServer) -> None:
    client = client_of(server)
    life = Life(client)
    async with client:
        await server.last.close(1012, "going away")
        await life.reach(4)
    assert life.events == [
        Connected(reconnected=False),
        Disconnected(1012, "going away", will_reconnect=True),
        ReconnectAttempt(1, 0.001),
        Connected(reconnected=True),
    ]


async def test_used_up_attempts_are_told(server: ScriptedServer) -> None:
    client = client_of(server, max_reconnect_attempts=2)
    life = Life(client)
    async with client:
        await life.reach(1)
        server.scripts = [closes(1013)] * 4
        await server.last.close(1012)
        await life.reach(5)
    assert [type(event) for event in life.events] == [
        Connected,
        Disconnected,
        ReconnectAttempt,
        ReconnectAttempt,
        ReconnectFailed,
    ]
    failed = life.events[-1]
    assert isinstance(failed, ReconnectFailed)
    assert failed.attempts == 2
    assert failed.error is client.error


async def test_a_refusal_later_is_told_as_the_end(server: ScriptedServer) -> None:
    client = client_of(server)
    life = Life(client)
    async with client:
        await server.last.close(1008, "expired")
        await life.reach(2)
    assert life.events[-1] == Disconnected(1008, "expired", will_reconnect=False)


async def test_a_refused_client_was_never_connected(server: ScriptedServer) -> None:
    server.scripts = [closes(1008)]
    client = client_of(server)
    life = Life(client)
    with pytest.raises(ConnectionRefused):
        await client.connect()
    assert life.events == []


async def test_handlers_that_lag_behind_do_not_hold_up_the_connection(server: ScriptedServer) -> None:
    """What happened to it is bounded too: of each kind the newest remains."""
    held, second = asyncio.Event(), asyncio.Event()
    client = client_of(server, receive_buffer_messages=1)
    reconnected: list[Connected] = []

    async def hold(event: Connected) -> None:
        reconnected.append(event)
        if len(reconnected) == 2:
            second.set()
        await held.wait()

    client.on(Connected, hold)
    states = asyncio.Queue[str]()
    client.on_state_change(states.put_nowait)
    async with client:
        for _ in range(5):
            while await states.get() != "connected":
                pass
            await server.last.close(1012)
        while await states.get() != "connected":
            pass
        held.set()
        await second.wait()
        await client.request("settled")
    assert [event.reconnected for event in reconnected] == [False, True]
