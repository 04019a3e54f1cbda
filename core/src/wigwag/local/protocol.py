"""What processes and their hub say to each other, sans-I/O: bytes in, frames out.

A frame is a header (the size of what follows it, the kind, the size of the topic), the topic and the body.

====================== ==================================================== ===========================
kind                   from a process                                       from the hub
====================== ==================================================== ===========================
``HELLO``              its own name as topic, its version, and who it is    the hub's version
``SUBSCRIBE``          topics, one a line                                   --
``UNSUBSCRIBE``        topics, one a line                                   --
``MESSAGE``            topic and payload                                    the same bytes
``SYNC``               a number                                             the same bytes
====================== ==================================================== ===========================

The hub does what it is told in order, and answers in order.  So a ``SYNC`` that has come back says that all before it
was done: topics are live, messages are on their way to everybody who wants them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

#: Raised with each change of the above: a process and a hub of two versions do not talk.
VERSION: Final = 1
#: The largest payload: room for the largest message of an application, 16 MiB, and its envelope.
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024 + 64 * 1024

HELLO: Final = 1
SUBSCRIBE: Final = 2
UNSUBSCRIBE: Final = 3
MESSAGE: Final = 4
SYNC: Final = 5

_HEADER: Final = struct.Struct("!IBH")
_HEADER_BYTES: Final = _HEADER.size
#: A payload with its topic.  Lists of topics are far below: core names at most 500 in a call.
_MAX_FRAME_BYTES: Final = MAX_PAYLOAD_BYTES + 0xFFFF

#: Called with each frame: its kind, its topic, and where in the bytes it begins, its body begins, and it ends.
OnFrame = Callable[[int, bytes, bytes, int, int, int], object]


class ProtocolError(Exception):
    """What came is no frame.  The parser must not be fed again."""


def encode(kind: int, body: bytes = b"", topic: bytes = b"") -> bytes:
    """A frame."""
    return b"%b%b%b" % (_HEADER.pack(len(topic) + len(body), kind, len(topic)), topic, body)


def encode_messages(messages: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """The frames of messages, in pieces, to be joined."""
    pack, pieces = _HEADER.pack, []
    for name, payload in messages:
        topic = name.encode()
        pieces.append(pack(len(topic) + len(payload), MESSAGE, len(topic)))
        pieces.append(topic)
        pieces.append(payload)
    return pieces


def encode_topics(kind: int, topics: Iterable[str]) -> bytes:
    """A frame whose body is topics; none of them holds a line's end."""
    return encode(kind, "\n".join(topics).encode())


class Parser:
    """Calls back for each frame.  Holds at most one that is incomplete, within the limits above."""

    def __init__(self, on_frame: OnFrame) -> None:
        self._on_frame = on_frame
        self._kept: list[bytes] = []  # of what is incomplete
        self._missing = 0  # bytes, at least, before it is worth looking again

    @property
    def held_bytes(self) -> int:
        """How much of an incomplete frame is held."""
        return sum(map(len, self._kept))

    def feed(self, data: bytes) -> None:
        """Take what was received, in any pieces.

        Raises:
            ProtocolError: see there.
        """
        at = self._complete(data) if self._kept else 0
        on_frame, unpack, length = self._on_frame, _HEADER.unpack_from, len(data)
        while length - at >= _HEADER_BYTES:
            size, kind, topic_bytes = unpack(data, at)
            topic_at = at + _HEADER_BYTES
            body_at, end = topic_at + topic_bytes, topic_at + size
            if body_at > end or size > _MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes, with a topic of {topic_bytes}")
            if end > length:
                self._keep(data[at:], end - length)
                return
            on_frame(kind, data[topic_at:body_at], data, at, body_at, end)
            at = end
        if at < length:
            self._keep(data[at:], _HEADER_BYTES - (length - at))

    def _complete(self, data: bytes) -> int:
        """Add to what is held no more than it lacks: what follows is not copied.  Where that begins is returned."""
        at = 0
        while self._kept and at < len(data):
            piece = data[at : at + self._missing]
            at += len(piece)
            self._kept.append(piece)
            self._missing -= len(piece)
            if not self._missing:  # a header, or a frame, which then are fed as though they had come alone
                whole, self._kept = b"".join(self._kept), []
                self.feed(whole)
        return at

    def _keep(self, piece: bytes, missing: int) -> None:
        self._kept.append(piece)
        self._missing = missing
