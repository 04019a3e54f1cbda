"""What is written to a socket, encoded once for all of them.  Sans-I/O.

:class:`Frame` is one message, with its RFC 6455 encoding made when first asked for and shared from
then on: fan-out hands the same object, and in the end the same bytes, to every socket.  :class:`Batch`
is what one turn of the event loop publishes to one topic, for each socket one write.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from wigwag.frames.deflate import Deflater
from wigwag.frames.encoding import BINARY, FIN, RSV1, TEXT, encode_frame


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
    _deflated: dict[Deflater, bytes] | None = None

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
            encoded = self._encoded = encode_frame(FIN | (TEXT if self.is_text else BINARY), self.payload)
        return encoded

    def deflated(self, deflater: Deflater) -> bytes:
        """The frame for the sockets that agreed to this compression, made once for all of them.

        It is the plain one where compression is not worth it (RFC 7692 decides message by message).
        """
        known = self._deflated
        if known is None:
            known = self._deflated = {}
        encoded = known.get(deflater)
        if encoded is None:
            payload = deflater.deflate(self.payload)
            if payload is None:
                encoded = self.encoded
            else:
                encoded = encode_frame(FIN | RSV1 | (TEXT if self.is_text else BINARY), payload)
            known[deflater] = encoded
        return encoded

    def __repr__(self) -> str:
        kind = "text" if self.is_text else "binary"
        return f"<Frame {kind} {len(self.payload)} bytes topic={self.topic!r}>"


class Batch:
    """Frames that go to the same sockets together, in this order."""

    __slots__ = ("_deflated", "_encoded", "frames")

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames: Sequence[Frame] = frames
        self._encoded: bytes | None = None
        self._deflated: dict[Deflater, bytes] = {}

    @property
    def encoded(self) -> bytes:
        """The frames one after the other, joined once."""
        encoded = self._encoded
        if encoded is None:
            frames = self.frames
            joined = frames[0].encoded if len(frames) == 1 else b"".join([f.encoded for f in frames])
            encoded = self._encoded = joined
        return encoded

    def deflated(self, deflater: Deflater) -> bytes:
        """Likewise, for the sockets that agreed to this compression."""
        encoded = self._deflated.get(deflater)
        if encoded is None:
            encoded = self._deflated[deflater] = b"".join([f.deflated(deflater) for f in self.frames])
        return encoded
