"""A proxy in the test's own event loop, over TCP or a Unix socket, which cuts, stalls, delays and swallows."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

from servers.process import HOST

Direction = Literal["up", "down"]
Target = int | str | Callable[[], int | str]

CHUNK_BYTES = 65_536
CHUNKS_AHEAD = 64  # what is under way with a delay; more waits in the kernel's buffers, as on a real link


class TcpProxy:
    """Passes bytes between clients and a target: a port of 127.0.0.1, a Unix path, or what returns one.

    "up" is from the client to the target, "down" the way back. All of its methods are for the event loop it
    was started in, which is asyncio's. ``delay_s`` is the latency each way, and may change at any time;
    while ``refuse`` is true, a new connection is reset at once.
    """

    def __init__(self, target: Target, port: int = 0, *, path: Path | None = None) -> None:
        """Where it listens: a port, any that is free unless given, or a Unix path."""
        self._target = target
        self._path = path
        self._links: set[asyncio.Task[None]] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self._dropped: set[Direction] = set()
        self._server: asyncio.Server | None = None
        self.port = port
        self.delay_s = 0.0
        self.refuse = False
        self.accepted = 0
        """How many connections it has taken so far; refused ones don't count."""

    @property
    def links(self) -> int:
        """How many connections it holds now."""
        return len(self._links)

    async def start(self) -> None:
        """Listen, on 127.0.0.1, or at the path."""
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
            return
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def cut(self, *, refuse: bool | None = None) -> None:
        """Reset all connections; ``refuse`` says from now on whether new ones are refused."""
        if refuse is not None:
            self.refuse = refuse
        for link in self._links:
            link.cancel()

    def stall(self) -> None:
        """Stop moving bytes, both ways; connections stay, new ones too, and nothing is lost."""
        self._moving.clear()

    def drop(self, direction: Direction) -> None:
        """Swallow what goes in this direction from now on: the sender sees nothing of it."""
        self._dropped.add(direction)

    def resume(self) -> None:
        """End ``stall`` and ``drop``; what was swallowed stays lost."""
        self._dropped.clear()
        self._moving.set()

    async def aclose(self) -> None:
        """Stop listening and reset all connections; returns when all is closed."""
        if self._server is not None:
            self._server.close()
        self.cut()
        if self._links:
            await asyncio.wait(self._links)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            _reset(writer)
            return
        self.accepted += 1
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        # One that is cut before its first step closes nothing by itself.
        link.add_done_callback(lambda _: writer.transport.abort())

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            target_reader, target_writer = await self._connect()
            writers.append(target_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump("up", reader, target_writer))
                pumps.create_task(self._pump("down", target_reader, writer))
            for each in writers:
                each.close()
                await each.wait_closed()
        except* OSError:
            pass  # one side went away, or the target is not there: the other is reset
        finally:
            for each in writers:
                _reset(each)
            for each in writers:
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._target() if callable(self._target) else self._target
        if isinstance(target, str):
            return await asyncio.open_unix_connection(target)
        return await asyncio.open_connection(HOST, target)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass on until the sender ends; its end is passed on too."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_AHEAD)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read(direction, reader, chunks))
            both.create_task(self._write(direction, writer, chunks))

    async def _read(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        chunks: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        data = b"-"
        while data:
            await self._moving.wait()
            data = await reader.read(CHUNK_BYTES)
            due = asyncio.get_running_loop().time() + self.delay_s
            await chunks.put((due, data))

    async def _write(
        self,
        direction: Direction,
        writer: asyncio.StreamWriter,
        chunks: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await self._moving.wait()
            if direction in self._dropped:
                continue
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close it at once, so that the other side sees a reset and not an end; nothing where it is closed."""
    if not writer.transport.is_closing():
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
