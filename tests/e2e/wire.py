"""Clients in the tests: the websockets library's, a raw TCP one, and what waits for a condition."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

#: How long anything that is due may take, on a machine that is busy.
LIMIT_S = 10.0

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def wait_until(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Return when the condition holds; for what tells nobody."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.005)


class Client:
    """A WebSocket of the websockets library, speaking our JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, message: str | bytes) -> None:
        self.connection.send(message)

    def say(self, type_: str, data: Any = None, **fields: Any) -> None:
        """Send a message."""
        content = {"type": type_, **({} if data is None else {"data": data}), **fields}
        self.connection.send(json.dumps(content))

    def receive(self) -> str | bytes:
        return self.connection.recv(LIMIT_S)

    def hear(self) -> Any:
        """Return the next message, read as JSON."""
        return json.loads(self.receive())

    def ask(self, type_: str, data: Any = None, correlation_id: str | int = "1") -> Any:
        """Send a request, and return the next message, which is the reply."""
        self.say(type_, data, correlationId=correlation_id)
        reply = self.hear()
        assert reply.get("correlationId") == correlation_id, reply
        return reply

    def closed(self) -> tuple[int, str]:
        """Read until the server closes; return the code and reason it gave, 1006 for none."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as exc:
            received = exc.rcvd
            return (1006, "") if received is None else (received.code, received.reason)


@contextmanager
def connecting(url: str, **options: Any) -> Generator[Client]:
    """Connect, without pings or compression of the library's own."""
    given = {"compression": None, "ping_interval": None, "max_size": None, "proxy": None} | options
    with connect(url, open_timeout=LIMIT_S, close_timeout=LIMIT_S, **given) as connection:
        yield Client(connection)


class RawClient:
    """A WebSocket client that does what no library would: over TCP, frame by frame."""

    def __init__(self, address: tuple[str, int], receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:  # before connecting: the window is agreed on there
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(address)
        self._read = bytearray()

    def handshake(self, path: str = "/ws", headers: dict[str, str] | None = None) -> str:
        """Ask for the upgrade; return the head of the answer."""
        self.ask_to_upgrade(path, headers)
        while b"\r\n\r\n" not in self._read:
            self._fill()
        answer, _, rest = bytes(self._read).partition(b"\r\n\r\n")
        self._read = bytearray(rest)
        return answer.decode("latin-1")

    def ask_to_upgrade(self, path: str, headers: dict[str, str] | None = None) -> None:
        """Send a handshake; the answer is not waited for."""
        key = base64.b64encode(os.urandom(16)).decode()
        host, port = self.socket.getpeername()
        lines = {
            "Host": f"{host}:{port}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())

    def send_frame(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        self.socket.sendall(frame(opcode, payload, fin=fin))

    def say(self, type_: str, data: Any = None, **fields: Any) -> None:
        content = {"type": type_, "data": data, **fields}
        self.send_frame(TEXT, json.dumps(content).encode())

    def receive_frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame; EOFError at the end."""
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        return first & 0x0F, self._take(size)

    def receive_message(self) -> bytes:
        """Return the payload of the next frame but pings: a busy machine may take longer than their interval."""
        while True:
            opcode, payload = self.receive_frame()
            if opcode != PING:
                return payload

    def hear(self) -> Any:
        """Return the next text frame, read as JSON."""
        opcode, payload = self.receive_frame()
        assert opcode == TEXT, (opcode, payload[:200])
        return json.loads(payload)

    def closed(self) -> int:
        """Read until the server closes; return the code, 1006 for none."""
        try:
            while True:
                opcode, payload = self.receive_frame()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        except (EOFError, ConnectionError):
            return 1006

    def vanish(self) -> None:
        """Reset the connection: what a dying process or a lost network leaves."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            self._fill()
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken

    def _fill(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self._read += data


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One masked frame, as a client sends it; masked with zeros, so that tests can read it."""
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    return head + bytes(4) + payload


@contextmanager
def raw_client(address: tuple[str, int], receive_buffer_bytes: int | None = None) -> Generator[RawClient]:
    client = RawClient(address, receive_buffer_bytes)
    try:
        yield client
    finally:
        client.close()
