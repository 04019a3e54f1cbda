"""One command to a Redis server, over a socket of its own, without a client library."""

from __future__ import annotations

import socket
from typing import BinaryIO


class RedisRefused(Exception):
    """The server's error reply."""


def ask(link: socket.socket, replies: BinaryIO, *words: str | int | bytes) -> str:
    """Send a command and return its reply as text: the parts of an array are lines, nothing is ""."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    return _reply(replies)


def _reply(replies: BinaryIO) -> str:
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise RedisRefused(text)
    if kind == b"$":
        # Minus one is Redis's nothing.
        return "" if text == "-1" else replies.read(int(text) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return "\n".join([_reply(replies) for _ in range(int(text))])
    return text
