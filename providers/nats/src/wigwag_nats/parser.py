"""The server's side of the NATS protocol, sans-I/O: bytes in, messages and other lines out.

https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

#: The longest line; the longest that servers send is INFO, with the addresses of a cluster.
MAX_LINE_BYTES: Final = 64 * 1024
#: The largest message, headers included: what a server's ``max_payload`` can be set to at most.
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
#: The line of a message as servers write it: subject, subscription, size; with it all is known in one step.
_find_message = re.compile(rb"MSG ([^ \t\r]+) [^ \t\r]+ ([0-9]{1,8})\r\n").match


class ProtocolError(Exception):
    """What came is not the NATS protocol.  The parser must not be fed again."""


class Parser:
    """Calls back for each message, with its subject and payload, and for each other line.

    It holds at most one incomplete line or message, within the limits above.
    """

    def __init__(
        self, on_message: Callable[[bytes, bytes], object], on_line: Callable[[bytes], object]
    ) -> None:
        self._on_message = on_message
        self._on_line = on_line
        self._kept: list[bytes] = []  # of what is incomplete
        self._missing = 0  # bytes, at least, before it is worth looking again

    @property
    def held_bytes(self) -> int:
        """How much of an incomplete line or message is held."""
        return sum(map(len, self._kept))

    def feed(self, data: bytes) -> None:
        """Take what was received, in any pieces.

        Raises:
            ProtocolError: see there.
        """
        if self._kept:
            self._kept.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._kept)
            self._kept = []
        on_message = self._on_message
        at, length = 0, len(data)
        while at < length:
            found = _find_message(data, at)
            if found is not None:
                start = found.end()
                after = start + int(found[2])
                if after + 2 <= length and data.startswith(b"\r\n", after):
                    on_message(found[1], data[start:after])
                    at = after + 2
                    continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if length - at > MAX_LINE_BYTES:
                    raise ProtocolError(f"a line of more than {MAX_LINE_BYTES} bytes")
                self._keep(data, at, 1)
                return
            if data.startswith((b"MSG ", b"HMSG "), at):
                words = data[at:end].split()
                header_bytes, size = _sizes(words)
                start = end + 2
                after = start + size
                if after + 2 > length:
                    self._keep(data, at, after + 2 - length)
                    return
                if data[after : after + 2] != b"\r\n":
                    raise ProtocolError("a message that does not end where it should")
                on_message(words[1], data[start + header_bytes : after])
                at = after + 2
            else:
                if end - at > MAX_LINE_BYTES:
                    raise ProtocolError(f"a line of more than {MAX_LINE_BYTES} bytes")
                self._on_line(data[at:end])
                at = end + 2

    def _keep(self, data: bytes, at: int, missing: int) -> None:
        self._kept.append(data[at:])
        self._missing = missing


def _sizes(words: list[bytes]) -> tuple[int, int]:
    """The sizes of headers and of the whole: ``MSG subject sid [reply] size``, ``HMSG … headers size``."""
    with_headers = words[0] == b"HMSG"
    if not 4 + with_headers <= len(words) <= 5 + with_headers:
        raise ProtocolError("a message line with another number of words")
    headers, size = (words[-2] if with_headers else b"0"), words[-1]
    if not (size.isdigit() and headers.isdigit() and len(size) <= 8 and len(headers) <= 8):
        raise ProtocolError("a message line without its size")
    if int(size) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
    if int(headers) > int(size):
        raise ProtocolError("a message whose headers are longer than itself")
    return int(headers), int(size)
