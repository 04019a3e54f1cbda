"""A provider that is not ours, behind a connection that has ended: the edges of the interfaces."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from clocks import settle
from sockets.scripted_asgi import World, noting
from sockets.scripted_transport import connect
from wigwag import Sockets, WebSocketProvider
from wigwag.errors import NotConnected
from wigwag.frames import Frame
from wigwag.interfaces import LocalSocket

pytestmark = pytest.mark.anyio


class Smallest:
    """What somebody else may write: one process, no broker, nothing checked."""

    def __init__(self) -> None:
        self.sockets: dict[str, LocalSocket] = {}
        self.topics: dict[str, set[str]] = {}
        self.entered = 0

    def __len__(self) -> int:
        return len(self.sockets)  # false, while it has none

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def __aenter__(self) -> object:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.entered -= 1

    async def publish(self, topic: str, message: str | bytes, *, exclude: str | None = None) -> None:
        for socket_id, topics in self.topics.items():
            if topic in topics and socket_id != exclude:
                self.sockets[socket_id].write(Frame.of(message, topic))

    async def send(self, socket_id: str, message: Any) -> None: ...
    async def broadcast(self, message: Any, *, exclude: str | None = None) -> None: ...
    async def emit(
        self, message: Any, topic: str, data: Any = None, *, exclude: str | None = None
    ) -> None: ...

    def new_socket_id(self) -> str:
        return "its own"

    def attach(self, socket: LocalSocket) -> None:
        self.sockets[socket.id], self.topics[socket.id] = socket, set()

    def detach(self, socket_id: str) -> None:
        del self.sockets[socket_id], self.topics[socket_id]

    async def subscribe(self, socket_id: str, *topics: str) -> None:
        if socket_id not in self.sockets:
            raise NotConnected(topics[0], "gone")
        self.topics[socket_id].update(topics)

    async def unsubscribe(self, socket_id: str, *topics: str) -> None:
        self.topics[socket_id].difference_update(topics)

    async def disconnect(self, socket_id: str, code: int = 1000, reason: str = "") -> None:
        self.sockets[socket_id].close(code, reason)

    async def disconnect_user(self, user_id: str, code: int = 1000, reason: str = "") -> None: ...

    def is_connected(self, socket_id: str) -> bool:
        return socket_id in self.sockets

    def connection_count(self) -> int:
        return len(self.sockets)

    def topic_subscriber_count(self, topic: str) -> int:
        return sum(topic in topics for topics in self.topics.values())

    def topics_of(self, socket_id: str) -> Collection[str]:
        return self.topics.get(socket_id, ())


async def test_a_provider_can_be_written_from_outside(world: World) -> None:
    notes: list[Any] = []
    provider = Smallest()
    given: WebSocketProvider = provider
    sockets = Sockets(given, open=noting(notes)._app.on_open, close=noting(notes)._app.on_close)
    assert sockets.provider is provider
    peer = await world.connect(sockets)
    assert provider.entered == 1
    assert notes[0].id == "its own"
    await sockets.emitter.publish("t", "hello")
    await settle()
    assert peer.take() == ["hello"]
    await provider.disconnect("its own", 4001, "kicked")
    await settle()
    assert peer.closed == (4001, "kicked")
    assert notes[1:] == [(4001, "kicked", ["t"])]
    assert sockets._app.counters.received == 0
    await world.stop()
    assert (provider.entered, provider.sockets) == (0, {})


async def test_a_provider_that_fails_costs_its_socket_and_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Smallest):
        def attach(self, socket: LocalSocket) -> None:
            if not self.sockets:
                super().attach(socket)
            else:
                raise LookupError("no room")

    sockets = Sockets(Failing())
    first, second = [await world.connect(sockets) for _ in range(2)]
    assert (first.closed, second.closed) == (None, (1011, "internal error"))
    assert "LookupError: no room" in caplog.text
    await first.say("2")
    assert first.take() == [3]


# After the end


@pytest.mark.parametrize("over_transport", [False, True])
async def test_a_connection_that_has_ended_does_nothing_more_and_raises_nothing(
    world: World, over_transport: bool
) -> None:
    notes: list[Any] = []
    ran: list[str] = []
    sockets = noting(notes)
    if over_transport:
        server, _ = await connect(world, sockets)
        await server.leave()
        sent: list[Any] = server.transport.written
    else:
        peer = await world.connect(sockets)
        await peer.leave()
        sent = peer.events
    before = list(sent)

    async def work() -> None:
        ran.append("ran")

    connection = notes[0].connection
    connection.write(Frame.of("x"))
    connection.pong()
    connection.pause_reading()
    connection.resume_reading()
    connection.close(4000)
    connection.spawn(work)
    await settle()
    assert sent == before
    assert connection.is_closing
    assert connection.buffered_bytes == 0
    assert (ran == ["ran"]) is over_transport  # the server's tasks are not ours to end
