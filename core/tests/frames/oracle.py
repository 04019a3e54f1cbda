"""``websockets``' own server, made to tell what it understands in the words of ``frames.client``."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable, Sequence

from websockets.exceptions import PayloadTooBig
from websockets.exceptions import ProtocolError as NotTheProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from frames.client import Event
from wigwag.frames.parser import Control

_CODES_OF_FAILURES = (1002, 1007, 1009)


class WholeMessages(PerMessageDeflate):
    """Inflates a message when all of it has come, as we do.

    websockets' own inflates each fragment as it comes, and so finds what is wrong in a message, and what is too
    large, at another fragment than we do. Both are right, and the code in the end is the same.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(True, True, 15, 15)
        self.max_bytes = max_bytes
        self.parts: list[Frame] = []
        #: Of each message that has begun, whether it is compressed.
        self.begun: deque[bool] = deque()

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """See :class:`Extension`."""
        if frame.opcode in CTRL_OPCODES:
            return frame
        begins = frame.opcode is not Opcode.CONT
        if begins:
            self.begun.append(frame.rsv1)
        if bool(self.parts) is begins or (begins and not frame.rsv1):
            return frame
        if not begins and frame.rsv1:
            raise NotTheProtocol("RSV1 bit set in continuation frame")
        self.parts.append(frame)
        frame.rsv1 = False
        if frame.fin:
            payload = b"".join(bytes(part.data) for part in self.parts)
            whole = Frame(self.parts[0].opcode, payload, rsv1=True)
            # One more than the limit: of what is short websockets 17 forgets to ask zlib for the bytes that zlib
            # holds back at a limit, and takes a message that is larger for one that is just as large.
            frame.data = super().decode(whole, max_size=self.max_bytes + 1).data
            if len(frame.data) > self.max_bytes:
                raise PayloadTooBig(None, self.max_bytes)
            self.parts.clear()
        return frame


class Oracle:
    """Reads a stream, and puts its frames together to messages."""

    def __init__(self, max_bytes: int, *, inflates: bool) -> None:
        self.protocol = ServerProtocol(state=OPEN, max_size=max_bytes)
        self.deflate = WholeMessages(max_bytes)
        self.protocol.extensions = [self.deflate] if inflates else []
        self.events: list[Event] = []
        #: How many frames were right.
        self.frames = 0
        #: Whether a message has begun and is not whole yet.
        self.is_open = False
        self._is_compressed = False
        self._is_text = False
        self._parts: list[bytes] = []
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    def read_chunks(self, chunks: Iterable[bytes]) -> None:
        """Read up to a failure, whose code is then the last event, or a close frame."""
        for chunk in chunks:
            self.protocol.receive_data(chunk)
            try:
                self._read_frames([e for e in self.protocol.events_received() if isinstance(e, Frame)])
            except UnicodeDecodeError:
                self.events.append(1007)
                return
            sent = self.protocol.close_sent
            if self.protocol.parser_exc is not None:
                assert sent is not None
                assert sent.code in _CODES_OF_FAILURES, repr(self.protocol.parser_exc)
                self.events.append(int(sent.code))
                return
            if self.protocol.close_rcvd is not None:
                return

    def _read_frames(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.opcode in CTRL_OPCODES:
                self.events.append(Control(int(frame.opcode), bytes(frame.data)))
            else:
                self._read_data(frame)
            self.frames += 1

    def _read_data(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            self._utf8.reset()
        # The protocol hands bytes over: that text is UTF-8 is left to who takes them.
        if not self.is_open:
            self.is_open = True
            self._is_compressed = bool(self.deflate.begun) and self.deflate.begun.popleft()
        data = bytes(frame.data)
        self._parts.append(data)
        if self._is_text and not self._is_compressed:
            self._utf8.decode(data, frame.fin)
        if frame.fin:
            # Of a compressed message all is in the last frame.
            whole = data if self._is_compressed else b"".join(self._parts)
            self.events.append(whole.decode() if self._is_text else whole)
            self._parts.clear()
            self.is_open = False
