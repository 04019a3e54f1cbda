"""What is written to a socket, encoded once for all of them.  Sans-I/O.

:class:`Frame` is one message, with its RFC 6455 encoding made when first asked for and shared from
then on: fan-out hands the same object, and in the end the same bytes, to every socket.
"""

from __future__ import annotations

from typing import Final

import msgspec

# RFC 6455, section 5.2: opcodes, with the FIN bit set.
_TEXT: Final = 0x81
_BINARY: Final = 0x82
_CLOSE: Final = 0x88
#: RFC 6455, section 5.5: a control frame's payload; a close frame's first two bytes are the code.
MAX_CONTROL_BYTES: Final = 125


def encode_frame(first_byte: int, payload: bytes) -> bytes:
    """One unfragmented, unmasked frame, as a server sends it (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((first_byte, size)) + payload
    if size < 65536:
        return bytes((first_byte, 126, size >> 8, size & 0xFF)) + payload
    return bytes((first_byte, 127)) + size.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut, between characters, to the 123 bytes that there is room for."""
    text = fit_reason(reason).encode()
    return encode_frame(_CLOSE, code.to_bytes(2, "big") + text)


def check_close_code(code: int) -> None:
    """Raises ValueError unless an endpoint may send the code (RFC 6455, section 7.4)."""
    is_standard = type(code) is int and 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    if not (is_standard or (type(code) is int and 3000 <= code <= 4999)):
        raise ValueError(f"{code!r} is no close code to send: use 1000, 1008, 1012, 1013, or 3000 to 4999")


def fit_reason(reason: str) -> str:
    """The reason of a close, cut between characters to what a close frame has room for."""
    data = reason.encode("utf-8", "replace")
    return data[: MAX_CONTROL_BYTES - 2].decode("utf-8", "ignore")


class Frame(msgspec.Struct, eq=False, gc=False):
    """One message on its way to any number of sockets.

    ``payload`` is what a client receives; ``topic`` is where it was published, or None for what is
    for one socket alone (a reply, a direct message), which is never dropped.

    A Struct, since one is made for each message: a quarter of what a class of our own takes.
    """

    payload: bytes
    is_text: bool
    topic: str | None = None
    _text: str | None = None
    _encoded: bytes | None = None

    @classmethod
    def of(cls, message: str | bytes, topic: str | None = None) -> Frame:
        """The frame of a text (str) or binary (bytes) message."""
        if isinstance(message, str):
            return cls(message.encode(), True, topic, message)
        return cls(bytes(message), is_text=False, topic=topic)

    @property
    def text(self) -> str:
        """The payload of a text frame as a string, decoded once."""
        text = self._text
        if text is None:
            text = self._text = self.payload.decode()
        return text

    @property
    def encoded(self) -> bytes:
        """The RFC 6455 frame, encoded once."""
        encoded = self._encoded
        if encoded is None:
            encoded = self._encoded = encode_frame(_TEXT if self.is_text else _BINARY, self.payload)
        return encoded

    def __repr__(self) -> str:
        kind = "text" if self.is_text else "binary"
        return f"<Frame {kind} {len(self.payload)} bytes topic={self.topic!r}>"
