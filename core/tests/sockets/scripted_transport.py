"""A server that hands its transport over, scripted: what the client gets is read by `websockets`' parser."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.abc
from websockets.frames import Close, Opcode
from websockets.frames import Frame as ParsedFrame
from websockets.streams import StreamReader

from clocks import settle
from sockets.scripted_asgi import Peer, World
from wigwag import Sockets
from wigwag.sockets.session import Session
from wigwag.sockets.transport import EXTENSION, Spawn, Transport, TransportConnection


class FakeTransport:
    """Takes bytes; above ``high_water`` of them it pauses its writer, inside the write, as asyncio's do."""

    def __init__(self) -> None:
        self.high_water: int | None = None
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.is_reading = True
        self.is_over = False
        self.connection: TransportConnection | None = None
        self.on_close: Callable[[], None] = lambda: None
        self._buffered = 0

    def write(self, data: bytes) -> None:
        assert "close" not in self.calls
        assert type(data) is bytes
        self.written.append(data)
        self._buffered += len(data)
        if self.high_water is not None and self._buffered > self.high_water and self.connection is not None:
            self.connection.pause_writing()

    def sent(self) -> None:
        """The client has read all."""
        self._buffered = 0
        assert self.connection is not None
        self.connection.resume_writing()

    def close(self) -> None:
        self.calls.append("close")
        self.is_over = True
        self.on_close()

    def abort(self) -> None:
        self.calls.append("abort")
        self.is_over = True
        self.on_close()

    def pause_reading(self) -> None:
        self._reads(False, "pause_reading")

    def resume_reading(self) -> None:
        self._reads(True, "resume_reading")

    def _reads(self, reads: bool, call: str) -> None:
        # Not every transport bears the same twice, or anything after its end.
        assert self.is_reading is not reads
        assert not self.is_over
        self.is_reading = reads
        self.calls.append(call)


class TakingServer:
    """``scope["extensions"]["wigwag.connection"]``, and the client behind it."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.transport = FakeTransport()
        self.transport.on_close = self._is_closed
        self.session: Session
        self.connection: TransportConnection
        self.tasks = tasks
        self._is_lost = False
        self._taken = 0

    def take_over(
        self, session: Session, make: Callable[[Transport, Spawn], TransportConnection]
    ) -> TransportConnection:
        self.session = session
        self.connection = self.transport.connection = make(self.transport, self.spawn)
        return self.connection

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.tasks.start_soon(work)

    # The client

    async def say(self, *messages: Any) -> None:
        """The client sends these, in one piece, and all that they cause happens."""
        for message in messages:
            self.session.received(message if isinstance(message, str | bytes) else json.dumps(message))
        await settle()

    async def leave(self, code: int = 1000, reason: str = "") -> None:
        self._lose(code, reason)
        await settle()

    def _is_closed(self) -> None:
        self._lose(1006, "")

    def _lose(self, code: int, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.transport.is_over = True
            self.connection.lost(code, reason)

    def take(self) -> list[Any]:
        """What the client has received since it last looked: texts, binaries, and a close as its code and reason."""
        frames = parsed(b"".join(self.transport.written))
        new, self._taken = frames[self._taken :], len(frames)
        return [_shown(frame) for frame in new]


def parsed(data: bytes) -> list[ParsedFrame]:
    """The frames of a server's bytes, and nothing beside them."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames: list[ParsedFrame] = []
    while True:
        at_end = reader.at_eof()
        try:
            next(at_end)
        except StopIteration as stop:
            if stop.value:
                return frames
        parser = ParsedFrame.parse(reader.read_exact, mask=False)
        try:
            next(parser)
        except StopIteration as stop:
            stop.value.check()
            frames.append(stop.value)
        else:
            raise AssertionError("half a frame")


def _shown(frame: ParsedFrame) -> Any:
    assert frame.fin
    if frame.opcode is Opcode.TEXT:
        return bytes(frame.data).decode()
    if frame.opcode is Opcode.CLOSE:
        close = Close.parse(bytes(frame.data))
        return close.code, close.reason
    assert frame.opcode is Opcode.BINARY
    return bytes(frame.data)


async def connect(
    world: World, sockets: Sockets[Any, Any], tasks: anyio.abc.TaskGroup | None = None, **more: Any
) -> tuple[TakingServer, Peer]:
    """A client connects; the server hands its connection over."""
    server = TakingServer(tasks or world.tasks)
    peer = await world.connect(sockets, extensions={EXTENSION: server}, **more)
    return server, peer
