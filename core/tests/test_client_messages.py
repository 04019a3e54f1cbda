"""The client against a real server that does as the test says: rooms, messages, answers, events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.frames import Opcode

from scripted_server import ScriptedServer, closes, emit, reply, scripted_server
from wigwag.client import (
    ClientError,
    ClientState,
    ConnectionClosed,
    Event,
    Raw,
    Reply,
    RequestFailed,
    RequestTimeout,
    SendBufferFull,
    SocketClient,
)
from wigwag.client.rooms import Rooms
from wigwag.client.session import Session
from wigwag.errors import NotRunning, Unsubscribed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncGenerator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


def client_of(server: ScriptedServer, **options: Any) -> SocketClient:
    """A client that comes back at once."""
    return SocketClient(server.url, reconnect_delay_s=0.001, max_reconnect_delay_s=0.001, **options)


async def connected_again(client: SocketClient, server: ScriptedServer, code: int = 1012) -> None:
    """End the connection, and return when there is another one, on which all has been said."""
    again = asyncio.Event()
    off = client.on_state_change(lambda state: again.set() if state == "connected" else None)
    await server.last.close(code)
    await again.wait()
    off()
    await client.request("settled")


async def silence(connection: ServerConnection, message: Any) -> None:
    """Answer nothing."""


# Requests


async def test_answers_reach_who_asked_in_whatever_order(server: ScriptedServer) -> None:
    asked: list[Any] = []

    async def answer_both_backwards(connection: ServerConnection, message: Any) -> None:
        asked.append(message)
        if len(asked) == 2:
            for one in reversed(asked):
                await reply(connection, one, data=one["data"])

    server.answer = answer_both_backwards
    async with client_of(server) as client:
        answers = await asyncio.gather(client.request("a", 1), client.request("b", 2))
    assert answers[0] == 1
    assert answers[1] == 2


async def test_an_error_is_raised_with_its_details(server: ScriptedServer) -> None:
    details = [{"path": "$.x", "message": "Expected `int`"}]

    async def refuse(connection: ServerConnection, message: Any) -> None:
        await reply(connection, message, error="Validation failed", details=details)

    server.answer = refuse
    async with client_of(server) as client:
        with pytest.raises(
            RequestFailed, match=r"^a: Validation failed \(\$\.x: Expected `int`\)$"
        ) as failure:
            await client.request("a", {"x": "y"})
    assert failure.value.error == "Validation failed"
    assert failure.value.details == details


async def test_an_answer_that_comes_too_late_is_nobody_elses(server: ScriptedServer) -> None:
    late: list[Any] = []

    async def answer_the_first_late(connection: ServerConnection, message: Any) -> None:
        late.append(message)
        if len(late) == 2:
            await reply(connection, late[0], data="late")
            await reply(connection, late[1], data="in time")

    server.answer = answer_the_first_late
    async with client_of(server) as client:
        with pytest.raises(RequestTimeout, match=r"'a' within 0\.05 s") as timeout:
            await client.request("a", timeout_s=0.05)
        assert isinstance(timeout.value, TimeoutError)
        assert await client.request("b") == "in time"


async def test_a_request_fails_when_its_connection_is_lost(server: ScriptedServer) -> None:
    async def leave(connection: ServerConnection, message: Any) -> None:
        await connection.close(1012)

    server.answer = leave
    async with client_of(server) as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.request("a")
    assert closed.value.code == 1012


async def test_a_request_waits_for_a_connection(server: ScriptedServer) -> None:
    server.scripts = [closes(1012)] * 2
    client = client_of(server)
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    assert await client.request("a", 7) == 7
    await connecting
    await client.close()


async def test_a_request_that_timed_out_unsent_is_not_sent_later(server: ScriptedServer) -> None:
    arrived = asyncio.Event()

    async def arrive(connection: ServerConnection) -> None:
        arrived.set()

    server.scripts = [arrive]
    server.beats = False
    client = client_of(server, heartbeat_timeout_s=60)
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    with pytest.raises(RequestTimeout, match="not connected"):
        await client.request("a", timeout_s=0.05)
    await arrived.wait()
    await server.last.send("3")
    await connecting
    await client.request("b")
    assert server.types(0) == ["b"]
    await client.close()


async def test_a_request_without_connect_says_so() -> None:
    with pytest.raises(NotRunning, match="connect"):
        await SocketClient("ws://127.0.0.1:1").request("a")


# Rooms


async def test_rooms_are_joined_once_on_each_connection(server: ScriptedServer) -> None:
    async with client_of(server) as client:
        await client.join_room("x")
        await asyncio.gather(client.join_room("x"), client.join_room("y"))
        for _ in range(2):
            await connected_again(client, server)
    for number in range(3):
        joined = [m["data"]["room"] for n, m in server.received if n == number and "data" in m]
        assert sorted(joined) == ["x", "y"]


async def test_a_room_wanted_before_connecting_is_joined_then(server: ScriptedServer) -> None:
    client = client_of(server)
    await client.join_room("x")
    async with client:
        await client.join_room("x")
        assert server.types(0) == ["room.join"]


async def test_a_room_that_is_refused_is_forgotten(server: ScriptedServer) -> None:
    async def refuse(connection: ServerConnection, message: Any) -> None:
        await reply(connection, message, **({"error": "Forbidden"} if message.get("data") else {}))

    server.answer = refuse
    async with client_of(server) as client:
        with pytest.raises(RequestFailed, match="Forbidden"):
            await client.join_room("x")
        assert not client.rooms
        await connected_again(client, server)
    assert server.types(1) == ["settled"]


async def test_a_room_that_is_refused_while_nobody_waits_is_told(server: ScriptedServer) -> None:
    async def refuse(connection: ServerConnection, message: Any) -> None:
        await reply(connection, message, **({"error": "Forbidden"} if message["type"] == "room.join" else {}))

    server.answer = refuse
    client = client_of(server)
    errors: list[str] = []
    client.on_error(lambda error: errors.append(str(error)))
    await client.join_room("x")
    async with client:
        await client.request("settled")
    assert errors == ["room.join: Forbidden"]
    assert not client.rooms


async def test_a_room_that_is_unavailable_stays_wanted(server: ScriptedServer) -> None:
    async def lose_the_broker(connection: ServerConnection, message: Any) -> None:
        is_first = message["type"] == "room.join" and len(server.connections) == 1
        await reply(connection, message, **({"error": "Unavailable"} if is_first else {}))

    server.answer = lose_the_broker
    async with client_of(server) as client:
        with pytest.raises(RequestFailed, match="Unavailable"):
            await client.join_room("x")
        assert client.rooms == {"x"}
        await connected_again(client, server)
    assert server.types(1) == ["room.join", "settled"]


class Impatience:
    """A server that refuses joins as too early, and the pauses after which the client asks again: it takes none
    until it is let."""

    def __init__(self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.error = "Too many joins"
        #: How many joins more are refused.
        self.refusals = 0
        self.pauses: list[float] = []
        self._has_asked = asyncio.Condition()
        self._begun = asyncio.Semaphore(0)
        self._may_end = asyncio.Semaphore(0)
        server.answer = self._answer
        monkeypatch.setattr(Session, "pause", self._pause)

    async def _answer(self, connection: ServerConnection, message: Any) -> None:
        is_refused = message["type"] == "room.join" and self.refusals > 0
        self.refusals -= is_refused
        async with self._has_asked:
            self._has_asked.notify_all()
        await reply(connection, message, **({"error": self.error} if is_refused else {}))

    async def _pause(self, delay_s: float) -> None:
        if delay_s < 1:  # before an attempt to connect
            return
        self.pauses.append(delay_s)
        self._begun.release()
        await self._may_end.acquire()

    async def let_one_pass(self) -> None:
        """Let one pause end, when it has begun."""
        async with asyncio.timeout(10):
            await self._begun.acquire()
        self._may_end.release()

    async def asked(self, count: int) -> None:
        """Return when so many joins have come."""
        async with asyncio.timeout(10), self._has_asked:
            await self._has_asked.wait_for(lambda: len(self.joins()) >= count)

    def joins(self, connection: int = 0) -> list[str]:
        """The rooms that were asked for."""
        of_it = (message for number, message in self.server.received if number == connection)
        return [message["data"]["room"] for message in of_it if message["type"] == "room.join"]


@pytest.fixture
def impatience(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Impatience:
    return Impatience(server, monkeypatch)


@pytest.mark.parametrize("error", ["Too many messages", "Too many joins"])
async def test_a_join_that_came_too_early_is_asked_again_while_its_caller_waits(
    server: ScriptedServer, impatience: Impatience, error: str
) -> None:
    impatience.error, impatience.refusals = error, 2
    errors: list[str] = []
    async with client_of(server) as client:
        client.on_error(lambda error: errors.append(str(error)))
        joining = asyncio.create_task(client.join_room("x"))
        await impatience.let_one_pass()
        assert client.rooms == {"x"}
        with pytest.raises(RequestTimeout):
            await client.join_room("x", timeout_s=0.01)  # does not ask before the pause is over
        await impatience.let_one_pass()
        await joining
        assert client.rooms == {"x"}
        await client.request("settled")
    assert impatience.joins() == ["x", "x", "x"]
    assert all(1 <= pause <= limit for pause, limit in zip(impatience.pauses, (2, 3), strict=True))
    assert len(set(impatience.pauses)) == 2
    assert errors[:2] == [f"room.join: {error}"] * 2


def test_pauses_grow_with_a_random_part_up_to_20_s_and_are_short_again_after_a_success() -> None:
    rooms = Rooms()
    room = rooms.add("x")
    assert [rooms.pause_s(lambda: 1.0) for _ in range(7)] == [2, 3, 5, 9, 17, 20, 20]
    assert rooms.pause_s(lambda: 0.0) == 1
    rooms.settle(room, None)
    assert rooms.pause_s(lambda: 1.0) == 2


async def test_joins_that_came_too_early_are_asked_again_one_by_one(
    server: ScriptedServer, impatience: Impatience
) -> None:
    impatience.refusals = 5
    client = client_of(server)
    for room in "abcd":
        await client.join_room(room)
    async with client:
        await client.request("settled")
        await client.leave_room("b")
        for count in range(5, 9):
            await impatience.let_one_pass()
            await impatience.asked(count)
            await client.request("settled")
            assert len(impatience.joins()) == count
        assert impatience.joins()[4:] == ["a", "c", "d", "a"]
        assert len(impatience.pauses) == 4


async def test_a_join_that_came_too_early_is_asked_once_on_the_next_connection(
    server: ScriptedServer, impatience: Impatience
) -> None:
    impatience.refusals = 2
    client = client_of(server)
    for room in "ab":
        await client.join_room(room)
    async with client:
        await client.request("settled")
        await connected_again(client, server)
        await client.request("settled")
    assert impatience.joins(1) == ["a", "b"]
    assert len(impatience.pauses) == 1


async def test_a_room_that_cannot_be_joined_again_is_told_and_tried_next_time(
    server: ScriptedServer,
) -> None:
    async def refuse_on_the_second(connection: ServerConnection, message: Any) -> None:
        is_refused = message["type"] == "room.join" and len(server.connections) == 2
        await reply(connection, message, **({"error": "Forbidden"} if is_refused else {}))

    server.answer = refuse_on_the_second
    errors: list[ClientError] = []
    async with client_of(server) as client:
        await client.join_room("x")
        client.on_error(errors.append)
        await connected_again(client, server)
        assert [str(error) for error in errors[1:]] == ["room.join: Forbidden"]
        await connected_again(client, server)
    assert server.types(2) == ["room.join", "settled"]


async def test_a_room_that_was_left_is_not_joined_again(server: ScriptedServer) -> None:
    async with client_of(server) as client:
        await client.join_room("x")
        await client.leave_room("x")
        await client.leave_room("never joined")
        await connected_again(client, server)
    assert server.types(0) == ["room.join", "room.leave"]
    assert server.types(1) == ["settled"]


async def test_a_join_outlives_a_lost_connection(server: ScriptedServer) -> None:
    async def leave_the_first(connection: ServerConnection, message: Any) -> None:
        if len(server.connections) == 1:
            await connection.close(1012)
        else:
            await reply(connection, message)

    server.answer = leave_the_first
    async with client_of(server) as client:
        await client.join_room("x")
    assert server.types(1) == ["room.join"]


async def test_a_join_that_times_out_stands_until_the_room_is_left(server: ScriptedServer) -> None:
    server.answer = silence
    async with client_of(server) as client:
        with pytest.raises(RequestTimeout, match="'x'"):
            await client.join_room("x", timeout_s=0.05)
        assert client.rooms == {"x"}
        waiting = asyncio.create_task(client.join_room("x"))
        await asyncio.sleep(0)
        with pytest.raises(RequestTimeout):
            await client.leave_room("x", timeout_s=0.05)
        with pytest.raises(Unsubscribed):
            await waiting


# Sending


async def test_what_is_sent_while_not_connected_follows_the_rooms_in_order(
    server: ScriptedServer,
) -> None:
    client = client_of(server)
    for number in range(3):
        await client.send(f"n{number}")
    await client.send_raw(b"\x00\xff")
    await client.join_room("x")
    async with client:
        await client.request("last")
    sent = [m if isinstance(m, bytes) else m["type"] for _, m in server.received]
    assert sent == ["room.join", "n0", "n1", "n2", b"\x00\xff", "last"]


@pytest.mark.parametrize("limit", [{"send_buffer_messages": 2}, {"send_buffer_bytes": 30}])
async def test_what_does_not_fit_is_refused_and_the_rest_is_sent(
    server: ScriptedServer, limit: dict[str, int]
) -> None:
    client = client_of(server, **limit)
    await client.send("a")
    await client.send("b")
    with pytest.raises(SendBufferFull):
        await client.send("c")
    async with client:
        await client.request("last")
    assert server.types(0) == ["a", "b", "last"]


async def test_what_waits_is_dropped_by_disconnect_and_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(server)
    await client.send("of somebody else")
    await client.disconnect()
    async with client:
        await client.request("last")
    assert server.types(0) == ["last"]
    assert "disconnected before 1 messages could be sent" in caplog.text


async def test_what_is_sent_between_two_connections_goes_to_the_second(
    server: ScriptedServer,
) -> None:
    async with client_of(server) as client:
        sending: list[asyncio.Task[None]] = []

        def send(state: ClientState) -> None:
            if state == "reconnecting":
                sending.append(asyncio.create_task(client.send("meanwhile")))

        client.on_state_change(send)
        await connected_again(client, server)
        await sending[0]
    assert server.types(0) == []
    assert server.types(1) == ["meanwhile", "settled"]


async def stop_reading(connection: ServerConnection) -> None:
    """Answer the first heartbeat, and read nothing more."""
    assert await connection.recv() == "2"
    await connection.send("3")
    connection.transport.pause_reading()


async def test_a_send_whose_connection_is_lost_meanwhile_says_so(server: ScriptedServer) -> None:
    server.scripts = [stop_reading]
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_raw(b"x" * 2**25))
        with anyio.move_on_after(0.05):  # it waits for a server that reads slowly
            await asyncio.shield(sending)
        assert not sending.done()
        server.last.transport.abort()
        with pytest.raises(ConnectionClosed, match="may have been received"):
            await sending
        assert await client.request("q", 1) == 1


async def test_what_waited_and_was_lost_while_it_was_sent_is_told(server: ScriptedServer) -> None:
    server.scripts = [stop_reading]
    client = client_of(server, send_buffer_bytes=2**26)
    errors: list[str] = []
    client.on_error(lambda error: errors.append(str(error)))
    await client.send_raw(b"x" * 2**25)
    await client.send("kept")
    async with client:
        server.last.transport.abort()
        await client.request("last")
    assert [error for error in errors if "may have been received" in error]
    assert server.types(1) == ["kept", "last"]


async def test_what_waited_and_was_being_sent_at_the_end_is_told(server: ScriptedServer) -> None:
    server.scripts = [stop_reading]
    client = client_of(server, send_buffer_bytes=2**26)
    errors: list[str] = []
    client.on_error(lambda error: errors.append(str(error)))
    await client.send_raw(b"x" * 2**25)
    async with client:
        ending = asyncio.create_task(client.disconnect())
        await asyncio.sleep(0)
        server.last.transport.abort()
        await ending
    assert ["may have been received" in error for error in errors] == [True]


async def test_what_is_sent_on_a_closing_connection_goes_to_the_next(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(server)
    closing = asyncio.Event()
    process = ClientConnection.process_event

    def notice(self: ClientConnection, event: Any) -> None:
        process(self, event)
        if event.opcode is Opcode.CLOSE:
            closing.set()

    async with client:
        monkeypatch.setattr(ClientConnection, "process_event", notice)
        server.last.transport.pause_reading()  # it will not see the client's half of the handshake
        ending = asyncio.create_task(server.last.close(1012))
        await closing.wait()
        monkeypatch.undo()
        await client.send("a")
        request = asyncio.create_task(client.request("b", 7))
        join = asyncio.create_task(client.join_room("x"))
        await asyncio.sleep(0)
        server.last.transport.abort()
        assert await request == 7
        await join
        await ending
    assert server.types(0) == []
    assert server.types(1) == ["room.join", "a", "b"]


async def test_closing_before_all_was_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    client = SocketClient("ws://127.0.0.1:1")
    await client.send("a")
    await client.close()
    assert "1 messages could be sent" in caplog.text


# Receiving


async def test_events_yields_events_raw_messages_and_unasked_replies(
    server: ScriptedServer,
) -> None:
    async def speak(connection: ServerConnection) -> None:
        await emit(connection, "wigwag.resync", {"topics": ["x"]})
        await connection.send("hello")
        await connection.send(b"\x00")
        await connection.send(json.dumps({"type": "a", "error": "Validation failed"}))

    server.scripts = [speak]
    async with client_of(server) as client:
        events = client.events()
        assert [await anext(events) for _ in range(4)] == [
            Event("wigwag.resync", {"topics": ["x"]}, 1),
            Raw("hello"),
            Raw(b"\x00"),
            Reply("a", error="Validation failed"),
        ]
        await connected_again(client, server)
        await emit(server.last, "later", None)
        assert await anext(events) == Event("later", None, 1)
        await client.disconnect()
        assert [event async for event in events] == []


async def test_handlers_take_their_events_in_order_and_one_that_raises_hurts_no_other(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []
    done = asyncio.Event()

    def fail(event: Event) -> None:
        raise ValueError("mine")

    async def slowly(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(("async", event.data))

    def at_once(event: Event) -> None:
        heard.append(("sync", event.data))
        if event.data == 2:
            done.set()

    client = client_of(server)
    for handler in (fail, slowly, at_once):
        client.on("a", handler)
    async with client:
        for number in range(3):
            await emit(server.last, "a", number)
        await done.wait()
    assert heard == [(kind, number) for number in range(3) for kind in ("async", "sync")]
    assert caplog.text.count("ValueError: mine") == 3


async def test_a_handler_that_was_taken_back_hears_no_more(server: ScriptedServer) -> None:
    heard: list[Event] = []
    async with client_of(server) as client:
        off = client.on("a", heard.append)
        off()
        off()
        await emit(server.last, "a", 1)
        assert await anext(client.events()) == Event("a", 1, 1)
    assert not heard


async def test_a_handler_may_ask_and_disconnect(server: ScriptedServer) -> None:
    answers: list[Any] = []
    ended = asyncio.Event()
    client = client_of(server)

    async def ask(event: Event) -> None:
        answers.append(await client.request("q", event.data))
        await client.disconnect()
        answers.append("went on")
        with pytest.raises(ClientError, match="can't connect again"):
            await client.connect()

    client.on("a", ask)
    client.on_state_change(lambda state: ended.set() if state == "disconnected" else None)
    async with client:
        await emit(server.last, "a", 7)
        await ended.wait()
        await client.connect()
    assert answers == [7, "went on"]
    assert len(server.connections) == 2


async def test_disconnect_cancels_a_handler_that_hangs(server: ScriptedServer) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(event: Event) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with client_of(server) as client:
        client.on("a", hang)
        await emit(server.last, "a", 1)
        await started.wait()
    assert cancelled.is_set()


async def test_a_handler_of_states_or_errors_that_raises_hurts_nothing(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(what: object) -> None:
        raise ValueError("mine")

    client = client_of(server)
    client.on_state_change(fail)
    client.on_error(fail)
    async with client:
        await connected_again(client, server)
    assert "ValueError: mine" in caplog.text


async def test_a_slow_reader_loses_nothing_and_keeps_its_connection(
    server: ScriptedServer,
) -> None:
    async def flood(connection: ServerConnection) -> None:
        for number in range(300):
            await emit(connection, "a", number)

    client = client_of(server, receive_buffer_messages=2, heartbeat_interval_s=0.01, heartbeat_timeout_s=0.15)
    numbers: list[int] = []
    async with client:
        events = client.events()
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        flooding = asyncio.create_task(flood(server.last))
        first = await reading
        with pytest.raises(RequestTimeout, match="lag behind"):
            await client.request("q", timeout_s=0.4)
        assert isinstance(first, Event)
        numbers.append(first.data)
        async for event in events:
            if isinstance(event, Event):
                numbers.append(event.data)
            if len(numbers) == 300:
                break
        await flooding
        assert numbers == list(range(300))
        assert await client.request("q", 1) == 1
        assert len(server.connections) == 1


async def test_an_answer_that_waits_behind_a_slow_reader_is_no_silence(
    server: ScriptedServer,
) -> None:
    async def answer_the_second_late(connection: ServerConnection) -> None:
        assert await connection.recv() == "2"
        await connection.send("3")
        assert await connection.recv() == "2"
        for number in range(6):
            await emit(connection, "a", number)
        await connection.send("3")

    server.scripts = [answer_the_second_late]
    client = client_of(server, receive_buffer_messages=2, heartbeat_interval_s=0.01, heartbeat_timeout_s=0.1)
    lost = asyncio.Event()
    client.on_error(lambda _: lost.set())
    async with client:
        events = client.events()
        assert await anext(events) == Event("a", 0, 1)
        with anyio.move_on_after(0.25):
            await lost.wait()
        assert [await anext(events) for _ in range(5)][-1] == Event("a", 5, 1)
        assert await client.request("q", 1) == 1
    assert not lost.is_set()


async def test_without_a_reader_the_oldest_is_dropped_and_counted(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(server, receive_buffer_messages=2) as client:
        for number in range(5):
            await emit(server.last, "a", number)
        await client.request("q")
        assert client.dropped_count == 3
        events = client.events()
        assert [await anext(events), await anext(events)] == [Event("a", 3, 1), Event("a", 4, 1)]
    assert caplog.text.count("nobody reads events()") == 1
