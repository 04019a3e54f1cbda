"""What a client sends, read as RFC 6455 wants it (section 5).  Sans-I/O.

:meth:`Parser.feed` takes bytes as they come, :meth:`Parser.next` gives what they make: it is asked once a message,
so that whoever reads decides how many are handled now.
"""

from __future__ import annotations

import codecs
from typing import Final, NamedTuple

from wigwag.frames.closing import NOT_UTF8, PROTOCOL_ERROR, ProtocolError, too_big
from wigwag.frames.deflate import inflate, most_compressed_bytes
from wigwag.frames.encoding import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MAX_CONTROL_BYTES,
    PING,
    PONG,
    RSV1,
    TEXT,
)

try:
    from websockets.speedups import apply_mask
except ImportError:  # a Python that websockets has no C for
    from websockets.utils import apply_mask

_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_MASK_BYTES: Final = 4
_WHOLE_BINARY: Final = FIN | BINARY
_WHOLE_MESSAGES: Final = (FIN | TEXT, _WHOLE_BINARY)
_new_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")


class Control(NamedTuple):
    """A ping, a pong or a close frame."""

    opcode: int
    payload: bytes


#: Stands for a fragment of a message: nothing to be handled, but counted, for a message may have any number of them.
PART: Final = Control(CONTINUATION, b"")


class _Message:
    """A message of which not all has come: its frames' payloads so far, unmasked."""

    __slots__ = ("data", "is_compressed", "is_text", "utf8")

    def __init__(self, *, is_text: bool, is_compressed: bool) -> None:
        self.is_text = is_text
        self.is_compressed = is_compressed
        self.data = bytearray()
        # Text is to be refused at its first wrong byte, not at its end (section 8.1); of what is compressed that
        # can't be said before the end.
        self.utf8 = _new_utf8_decoder() if is_text and not is_compressed else None


class Parser:
    """Reads one connection's bytes, as a server.

    After :class:`ProtocolError`, or a close frame, there is nothing more to be read.
    """

    __slots__ = (
        "_is_last",
        "_mask",
        "_message",
        "_position",
        "_remaining",
        "inflates",
        "max_message_bytes",
        "unread",
    )

    def __init__(self, max_message_bytes: int, *, inflates: bool = False) -> None:
        """``inflates``: permessage-deflate was agreed on (RFC 7692)."""
        self.max_message_bytes: int = max_message_bytes
        self.inflates: bool = inflates
        #: What was fed; empty when all of it has been read, so that an idle connection keeps nothing.
        self.unread: bytes = b""
        self._position = 0  # how much of it was read
        self._message: _Message | None = None
        # Of a frame of that message:
        self._remaining = 0
        self._mask = b""
        self._is_last = False

    def feed(self, data: bytes) -> None:
        """Take what came.  What was not read before stays ahead of it."""
        position = self._position
        if position < len(self.unread):
            data = self.unread[position:] + data
        self.unread = data
        self._position = 0

    def next(self) -> str | bytes | Control | None:
        """The next message (a text is a str) or control frame, :data:`PART`, or None until more is fed.

        Raises:
            ProtocolError: the client broke the protocol, or a limit.  A size is refused when it is announced,
                before anything of it is kept.
        """
        while True:
            if self._remaining:
                self._take()
                if self._remaining:
                    return None
                return self._finish() if self._is_last else PART
            data, position = self.unread, self._position
            end = len(data)
            if end - position < 2:
                self._await_more()
                return None
            first, size = data[position], data[position + 1] - _MASKED
            header = position + 2
            if size > 125:
                header += 2 if size == 126 else 8
                size = int.from_bytes(data[position + 2 : header], "big")
            start = header + _MASK_BYTES
            stop = start + size
            if first in _WHOLE_MESSAGES and self._message is None and 0 <= size <= self.max_message_bytes:
                if stop <= end:  # by far the most: a message in one frame, all here
                    payload = apply_mask(data[start:stop], data[header:start])
                    if stop == end:
                        self.unread = b""
                        stop = 0
                    self._position = stop
                    return payload if first == _WHOLE_BINARY else _text(payload)
            else:
                self._check(first, data[position + 1])
                if header <= end:
                    self._check_size(first, size)
            if start > end:
                self._await_more()
                return None
            mask = data[header:start]
            if first & _OPCODE >= CLOSE:
                if stop > end:
                    self._await_more()
                    return None
                self._position = stop
                return Control(first & _OPCODE, apply_mask(data[start:stop], mask))
            self._position = start
            self._begin(first, size, mask)
            if not size:
                return self._finish() if self._is_last else PART

    def _await_more(self) -> None:
        """Keep no more than what was not read."""
        if self._position:
            self.unread = self.unread[self._position :]
            self._position = 0

    def _check(self, first: int, second: int) -> None:
        """Raises ProtocolError where no frame may begin with these bytes, here."""
        if second < _MASKED:
            raise ProtocolError(PROTOCOL_ERROR, "a client's frames are masked")
        opcode = first & _OPCODE
        reserved = first & _RESERVED
        if reserved and not (reserved == RSV1 and self.inflates and opcode in (TEXT, BINARY)):
            raise ProtocolError(PROTOCOL_ERROR, "reserved bits are set")
        if opcode in (TEXT, BINARY):
            if self._message is not None:
                raise ProtocolError(PROTOCOL_ERROR, "a message begins inside another")
        elif opcode == CONTINUATION:
            if self._message is None:
                raise ProtocolError(PROTOCOL_ERROR, "nothing is there to be continued")
        elif opcode not in (CLOSE, PING, PONG):
            raise ProtocolError(PROTOCOL_ERROR, "an unknown opcode")
        elif not first & FIN:
            raise ProtocolError(PROTOCOL_ERROR, "a control frame is fragmented")
        elif second - _MASKED > MAX_CONTROL_BYTES:
            raise ProtocolError(PROTOCOL_ERROR, "a control frame is too long")

    def _check_size(self, first: int, size: int) -> None:
        """Raises ProtocolError where the message would be too large with this frame."""
        message = self._message
        if message is None:
            so_far, is_compressed = 0, bool(first & RSV1)
        else:
            so_far, is_compressed = len(message.data), message.is_compressed
        limit = most_compressed_bytes(self.max_message_bytes) if is_compressed else self.max_message_bytes
        if so_far + size > limit and first & _OPCODE < CLOSE:
            raise too_big(self.max_message_bytes)

    def _begin(self, first: int, size: int, mask: bytes) -> None:
        """The header of a data frame is here."""
        if self._message is None:
            self._message = _Message(is_text=first & _OPCODE == TEXT, is_compressed=bool(first & RSV1))
        self._remaining = size
        self._mask = mask
        self._is_last = bool(first & FIN)

    def _take(self) -> None:
        """Take what is there of the frame's payload."""
        message = self._message
        assert message is not None
        position = self._position
        chunk = self.unread[position : position + self._remaining]
        taken = len(chunk)
        self._position = position + taken
        if self._position == len(self.unread):
            self.unread = b""
            self._position = 0
        self._remaining -= taken
        mask = self._mask
        chunk = apply_mask(chunk, mask)
        turn = taken % _MASK_BYTES
        self._mask = mask[turn:] + mask[:turn]  # for the rest
        message.data += chunk
        if message.utf8 is not None:
            try:
                message.utf8.decode(chunk)
            except UnicodeDecodeError:
                raise _not_utf8() from None

    def _finish(self) -> str | bytes:
        message, self._message = self._message, None
        assert message is not None
        data = bytes(message.data)
        if message.is_compressed:
            data = inflate(data, self.max_message_bytes)
        return _text(data) if message.is_text else data


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _not_utf8() from None


def _not_utf8() -> ProtocolError:
    return ProtocolError(NOT_UTF8, "text is UTF-8")
