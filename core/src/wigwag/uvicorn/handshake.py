"""The opening handshake, on the server's side (RFC 6455, section 4.2).  Sans-I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from hashlib import sha1
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import httptools

Headers = Sequence[tuple[bytes, bytes]]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
#: More is refused with 431: room for cookies and tokens, and no more.
MAX_HEADERS: Final = 128
MAX_HEAD_BYTES: Final = 64 * 1024

_is_name: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_breaks_line: Final = re.compile(rb"[\r\n\0]").search


class Refused(Exception):
    """It is no handshake that can be answered with yes."""

    def __init__(self, status: HTTPStatus, why: str, headers: Headers = ()) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers


class Request:
    """A handshake: what is asked for, and by whom."""

    __slots__ = ("extensions", "headers", "key", "path", "query", "raw_path", "subprotocols")

    def __init__(self, head: bytes) -> None:
        """``head`` as uvicorn's HTTP protocols pass it on: read by them, and written anew.

        Raises:
            Refused: with what the client has to be told.
        """
        if len(head) > MAX_HEAD_BYTES:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEAD_BYTES} bytes")
        first, *lines = head[:-4].split(b"\r\n")
        if len(lines) > MAX_HEADERS:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEADERS} headers")
        method, target, _ = first.split(b" ", 2)
        if method != b"GET":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "a handshake is a GET", [(b"allow", b"GET")])
        fields = [line.partition(b": ") for line in lines]
        self.headers: list[tuple[bytes, bytes]] = [(name, value) for name, _, value in fields]
        ours: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            if name.startswith(b"sec-websocket-"):
                ours.setdefault(name[14:], []).append(value)
        if ours.get(b"version") != [b"13"]:
            supported = [(b"sec-websocket-version", b"13")]
            raise Refused(HTTPStatus.UPGRADE_REQUIRED, "this server speaks version 13", supported)
        keys = ours.get(b"key", [])
        if len(keys) != 1 or not _is_key(keys[0]):
            raise Refused(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64")
        self.key: bytes = keys[0]
        self.subprotocols: list[str] = _tokens(ours.get(b"protocol", ()))
        self.extensions: list[str] = [value.decode("latin-1") for value in ours.get(b"extensions", ())]
        self.raw_path: bytes
        self.query: bytes
        self.raw_path, self.query = _split_target(target)
        path = self.raw_path.decode("ascii")
        self.path: str = unquote(path) if "%" in path else path


def _tokens(values: Sequence[bytes]) -> list[str]:
    if not values:
        return []
    parts = b",".join(values).decode("latin-1").split(",")
    return [token for part in parts if (token := part.strip())]


def _is_key(value: bytes) -> bool:
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def _split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query.  A proxy may send the whole URL (RFC 9112, section 3.2.2)."""
    if not target.isascii():
        raise Refused(HTTPStatus.BAD_REQUEST, "the path is not ASCII")
    if not target.startswith(b"/"):
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the path can't be read") from None
        return url.path or b"/", url.query or b""
    path, _, query = target.partition(b"?")
    return path, query


def accept(key: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer that accepts, with these headers beside its own.

    Raises:
        ValueError: a header can't be sent: it would break its line.
    """
    digest = base64.b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n" + _fields(headers) + b"\r\n"
    )


def respond(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer that refuses, after which the connection is closed.  Raises ValueError, likewise."""
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is no status for an answer that refuses")
    try:
        phrase = HTTPStatus(status).phrase.encode()
    except ValueError:
        phrase = b""
    fields = _fields([*headers, (b"connection", b"close")])
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, phrase, fields)


def refuse(refused: Refused, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The whole of an answer to what is no handshake."""
    body = f"{refused.why}\n".encode()
    own = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    return respond(refused.status, [*headers, *refused.headers, *own]) + body


def _fields(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines: list[bytes] = []
    for name, value in headers:
        if not _is_name(name) or _breaks_line(value):
            raise ValueError(f"{name!r}: {value!r} can't be sent as a header")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)
