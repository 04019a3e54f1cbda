"""A server that hands its transport over, scripted: what the client gets is read by `websockets`' parser."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.abc
from websockets.frames import Close, Opcode
from websockets.frames import Frame as ParsedFrame
from websockets.streams import StreamReader

from clocks import settle
from sockets.scripted_asgi import Peer, World
from wigwag import Sockets
from wigwag.frames import encode_close
from wigwag.frames.deflate import Deflater
from wigwag.sockets.connection import Cancel
from wigwag.sockets.session import Session
from wigwag.sockets.transport import EXTENSION, Receiver, TransportConnection


class FakeTransport:
    """Takes bytes; while ``is_stuck`` it takes none, and so pauses its writer inside the write."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.is_stuck = False
        self.buffered_bytes = 0
        self.written: list[bytes] = []
        self.rests: list[bytes] = []
        self.calls: list[str] = []
        self.is_reading = True
        self.is_over = False
        self.receiver: Receiver | None = None
        self.on_close: Callable[[int, str], None] = lambda code, reason: None
        self.tasks = tasks
        self.max_message_bytes = 0
        self.close_timeout_s = 0.0
        self.deflater: Deflater | None = None
        self.send_now: Callable[[bytes], int] | None = self._send_now

    def _send_now(self, data: bytes) -> int:
        assert not self.is_over
        if self.is_stuck:
            raise BlockingIOError
        self.written.append(data)
        return len(data)

    def write(self, data: bytes) -> None:
        assert "close" not in self.calls
        assert type(data) is bytes
        self.written.append(data)
        if self.is_stuck and self.receiver is not None:
            self.receiver.pause_writing()

    def send_rest(self, data: bytes) -> None:
        self.rests.append(data)
        self.write(data)

    def sent(self) -> None:
        """The client has read all."""
        assert self.receiver is not None
        self.receiver.resume_writing()

    def close(self, code: int, reason: str, timeout_s: float) -> None:
        self.written.append(encode_close(code, reason))
        self.calls.append("close")
        self.close_timeout_s = timeout_s
        self.on_close(code, reason)

    def limit(self, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes

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

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Cancel:
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                await work()

        self.tasks.start_soon(run)
        return scope.cancel


class TakingServer:
    """``scope["extensions"]["wigwag.connection"]``, and the client behind it."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.transport = FakeTransport(tasks)
        self.transport.on_close = self._closed
        self.connection: TransportConnection
        #: Whether it has begun to stop when the WebSocket is taken over.
        self.is_stopping = False
        #: Whether its client answers a close frame only by :meth:`leave`.
        self.waits_for_close = False
        self._is_lost = False
        self._taken = 0

    @property
    def session(self) -> Session:
        return self.connection._session

    def take_over(self, receiver: Receiver) -> None:
        assert isinstance(receiver, TransportConnection)
        self.connection = self.transport.receiver = receiver
        if self.is_stopping:
            receiver.go_away()
        receiver.begin()
        if self._is_lost:  # closed by whoever took it over, before
            receiver.lost(1006, "")

    # The client

    async def say(self, *messages: Any) -> None:
        """The client sends these, in one piece, and all that they cause happens."""
        for message in messages:
            self.connection.received(message if isinstance(message, str | bytes) else json.dumps(message))
        await settle()

    async def leave(self, code: int = 1000, reason: str = "") -> None:
        self._lose(code, reason)
        await settle()

    def _closed(self, code: int, reason: str) -> None:
        if not self.waits_for_close:
            self._lose(code, reason)

    def _lose(self, code: int, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.transport.is_over = True
            if self.transport.receiver is not None:
                self.transport.receiver.lost(code, reason)

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
