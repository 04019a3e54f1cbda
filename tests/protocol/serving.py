"""uvicorn with our protocol class, in the test's own loop, and a client that speaks in bytes."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import socket
import struct
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self

import uvicorn
from websockets.frames import Close, Frame, Opcode

from wigwag.uvicorn import WebSocketProtocol
from wigwag.uvicorn.hub import Hub, _hubs

#: How long anything that is due may take, on a machine that is busy.
LIMIT_S = 10.0


class _Quiet(uvicorn.Server):
    """uvicorn's server without signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Serving:
    """A server that runs."""

    def __init__(self, server: uvicorn.Server, address: tuple[str, int]) -> None:
        self.server = server
        self.address = address
        self._clients: list[Client] = []
        self.task: asyncio.Task[None]

    async def connect(self, receive_bytes: int | None = None) -> Client:
        """A client, connected, that has said nothing; ``receive_bytes``: what its kernel takes ahead of it."""
        client = Client()
        if receive_bytes is not None:
            client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await client.connect(self.address)
        self._clients.append(client)
        return client

    async def open(self, path: str = "/", **headers: str) -> Client:
        """A client whose handshake is accepted."""
        client = await self.connect()
        client.ask(path, **headers)
        status, client.headers, _ = await client.answer()
        assert status == 101, status
        return client

    async def stop(self) -> None:
        """Stop as a signal would, and return when the server has ended."""
        self.server.should_exit = True
        await asyncio.wait_for(asyncio.shield(self.task), LIMIT_S)

    @property
    def hub(self) -> Hub | None:
        return _hubs.get(self.server.server_state)

    @property
    def connections(self) -> list[Any]:
        """The protocols of this server."""
        return list(self.server.server_state.connections)

    def close_clients(self) -> None:
        for client in self._clients:
            client.vanish()


@asynccontextmanager
async def serving(app: Any, *, ws: Any = WebSocketProtocol, **options: Any) -> AsyncIterator[Serving]:
    """Serve the application; at the end the server is stopped, and nothing of it is left."""
    given = {"lifespan": "off", "timeout_graceful_shutdown": 5, "log_config": None, **options}
    server = _Quiet(uvicorn.Config(app, ws=ws, **given))
    listener = socket.create_server(("127.0.0.1", 0))
    running = Serving(server, listener.getsockname())
    running.task = asyncio.create_task(server.serve([listener]))
    while not server.started:
        assert not running.task.done(), running.task
        await asyncio.sleep(0.001)
    try:
        yield running
    finally:
        running.close_clients()
        await running.stop()


class Client:
    """Speaks WebSocket byte by byte, over a socket of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._read = b""
        self.headers: dict[str, str] = {}
        #: Of a frame that it has begun.
        self.rest = b""

    async def connect(self, address: tuple[str, int]) -> None:
        self._loop = asyncio.get_running_loop()
        await self._loop.sock_connect(self._socket, address)

    # Bytes

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(self._loop.sock_sendall(self._socket, data), LIMIT_S)

    def push(self, data: bytes) -> int:
        """Send what the kernel takes at once; return how much that was: 0 if the server has ended it, too."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, ConnectionError):
            return 0

    async def _more(self) -> None:
        data = await asyncio.wait_for(self._loop.sock_recv(self._socket, 1 << 16), LIMIT_S)
        if not data:
            raise EOFError
        self._read += data

    async def take(self, size: int) -> bytes:
        while len(self._read) < size:
            await self._more()
        data, self._read = self._read[:size], self._read[size:]
        return data

    async def ended(self) -> bytes:
        """Return what still comes, when the server has closed the connection."""
        with suppress(EOFError, ConnectionError):
            while True:
                await self._more()
        return self._read

    def vanish(self) -> None:
        """Reset the connection, unless it is closed."""
        if self._socket.fileno() >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()

    def end(self) -> None:
        """Send nothing more, without a word, unless the server has ended it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    # The handshake

    def ask(self, path: str = "/", **headers: str) -> None:
        """Send a request; the answer is not waited for."""
        request = asking(path, **headers)
        assert self.push(request) == len(request)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and, of a refusal, the body."""
        while b"\r\n\r\n" not in self._read:
            await self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in fields.items()}
        status = int(first.split()[1])
        return status, headers, b"" if status == 101 else await self.ended()

    # Frames

    async def say(self, *messages: str | bytes) -> None:
        for message in messages:
            opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
            await self.send(frame(opcode, message))

    async def hear(self) -> Frame:
        """The next frame."""
        first, second = await self.take(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self.take(2 if size == 126 else 8), "big")
        return Frame(Opcode(first & 0x0F), await self.take(size), bool(first & 0x80), bool(first & 0x40))

    async def hear_text(self) -> str:
        heard = await self.hear()
        assert heard.opcode is Opcode.TEXT, heard
        return bytes(heard.data).decode()

    async def hear_close(self) -> tuple[int, str]:
        """Code and reason of the next close frame; what comes before it is passed over."""
        while (heard := await self.hear()).opcode is not Opcode.CLOSE:
            pass
        close = Close.parse(bytes(heard.data))
        return close.code, close.reason

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame."""
        await self.send(frame(Opcode.CLOSE, Close(code, reason).serialize()))


def asking(path: str = "/", **headers: str) -> bytes:
    """A client's request."""
    fields = {
        "Host": "127.0.0.1",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


def frame(opcode: int, payload: str | bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame."""
    data = payload.encode() if isinstance(payload, str) else payload
    return Frame(Opcode(opcode), data, fin).serialize(mask=True)


async def until(condition: Any, what: object) -> None:
    """Return when the condition holds; for what tells nobody."""
    deadline = asyncio.get_running_loop().time() + LIMIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {LIMIT_S:g} s: {what}"
        await asyncio.sleep(0.001)


class Left:
    """What runs and is open, before and after."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._files = open_files()

    def nothing(self) -> bool:
        gc.collect()
        return not (asyncio.all_tasks() - self._tasks) and open_files() <= self._files

    def __repr__(self) -> str:
        return f"tasks {asyncio.all_tasks() - self._tasks}, files {open_files() - self._files}"

    @classmethod
    def now(cls) -> Self:
        return cls()


def open_files() -> set[str]:
    """The file descriptors of this process, with what they are."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    # uvloop keeps one open to have it when there are no more.
    return {each for each in found if "/proc/" not in each and "/dev/null" not in each}
