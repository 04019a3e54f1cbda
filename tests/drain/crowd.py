"""Thousands of clients in one event loop, each of which notes what it is told, and when."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import anyio

from wigwag.frames.encoding import CLOSE, FIN, PING, TEXT
from wigwag.service.capacity import raise_file_limit

LIMIT_S = 30.0
#: How many connect at once: a listening socket's queue is not endless.
_AT_ONCE = 100
_PONG = 10


class Member(asyncio.Protocol):
    """One client: it joins a topic, answers pings, and answers a close once it has said its last words."""

    def __init__(self, url: str, topic: str, last_words: str | None = None) -> None:
        self._url = urlsplit(url)
        self._topic = topic
        self._last_words = last_words
        self._read = b""
        self._loop = asyncio.get_running_loop()
        self._is_open = False
        #: Set when it has joined, or is not let in.
        self.joined = self._loop.create_future()
        #: Set when the connection is no more.
        self.gone = self._loop.create_future()
        self.status = 0
        self.heard: list[str] = []
        self.code: int | None = None
        self.closed_at: float | None = None
        self.transport: asyncio.Transport

    async def connect(self) -> None:
        url = self._url
        assert url.hostname is not None
        assert url.port is not None
        await self._loop.create_connection(lambda: self, url.hostname, url.port)

    def say(self, type_: str, **data: Any) -> None:
        self._send(TEXT, json.dumps({"type": type_, "data": data, "correlationId": 1}).encode())

    def leave(self) -> None:
        self.transport.abort()

    # asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._is_open:
            head, end, rest = self._read.partition(b"\r\n\r\n")
            if not end:
                return
            self.status = int(head.split()[1])
            self._is_open, self._read = True, rest
            if self.status != 101:
                self._settle()
                return
            self.say("room.join", room=self._topic)
        while self._take_frame():
            pass

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed_at = self.closed_at or self._loop.time()
        self._settle()
        if not self.gone.done():
            self.gone.set_result(None)

    def _settle(self) -> None:
        if not self.joined.done():
            self.joined.set_result(None)

    # Frames

    def _take_frame(self) -> bool:
        read = self._read
        if len(read) < 2:
            return False
        size, at = read[1], 2
        if size == 126:
            size, at = int.from_bytes(read[2:4], "big"), 4
        if len(read) < at + size:
            return False
        payload, self._read = read[at : at + size], read[at + size :]
        self._took(read[0] & 0x0F, payload)
        return True

    def _took(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._send(_PONG, payload)
        elif opcode == CLOSE:
            self.closed_at = self._loop.time()
            self.code = int.from_bytes(payload[:2], "big")
            if self._last_words is not None:
                self.say("publish", topic=self._last_words, text="last words")
            self._send(CLOSE, payload[:2])
        elif payload.startswith(b'{"type":"room.join"'):
            self._settle()
        else:
            self.heard.append(payload.decode())

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        head = (
            bytes([FIN | opcode, 0x80 | size])
            if size < 126
            else bytes([FIN | opcode, 0xFE]) + size.to_bytes(2, "big")
        )
        self.transport.write(head + bytes(4) + payload)


async def gather(url: str, topic: str, count: int, last_words: str | None = None) -> list[Member]:
    """So many members that have joined."""
    raise_file_limit()
    members = [Member(url, topic, last_words) for _ in range(count)]
    with anyio.fail_after(LIMIT_S):
        for at in range(0, count, _AT_ONCE):
            some = members[at : at + _AT_ONCE]
            await asyncio.gather(*(member.connect() for member in some))
            await asyncio.gather(*(member.joined for member in some))
    assert {member.status for member in members} == {101}
    return members


async def all_gone(members: Sequence[Member]) -> None:
    """Return when none is connected any more."""
    with anyio.fail_after(LIMIT_S):
        await asyncio.gather(*(member.gone for member in members))


def ahead(moments: Sequence[float], since: float, per_s: float) -> float:
    """How many came too early, at the most, for a pace from that moment on; who looks late counts fewer, never more."""
    return max(count - per_s * (moment - since) for count, moment in enumerate(sorted(moments), 1))


def histogram(moments: Sequence[float], width_s: float) -> list[int]:
    """How many fall into each stretch of that length, from the first on."""
    began = min(moments)
    counts = [0] * (int((max(moments) - began) / width_s) + 1)
    for moment in moments:
        counts[int((moment - began) / width_s)] += 1
    return counts
