"""What waits to be sent to one socket, and what happens when too much does.  Sans-I/O."""

from __future__ import annotations

from collections import deque

import msgspec

from wigwag.frames import Frame
from wigwag.messages import encode_named
from wigwag.sockets.limits import Limits
from wigwag.wire.client import PONG

_PONG = Frame.of(PONG)
#: Answers to pings are bounded like all else: a client that pings and does not read gets no more.
_MAX_PONGS = 64


class SendQueue:
    """Frames in order, within the limits of :class:`Limits`, by its policy for slow sockets.

    Once full it stays so until all that waits has been taken; then the client is told how much was
    dropped, and what was kept of it (``latest``) follows.
    """

    __slots__ = (
        "_bytes",
        "_dropped",
        "_frames",
        "_full",
        "_latest",
        "_latest_bytes",
        "_limits",
        "_pongs",
        "_relieved",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._pongs = 0
        self._full = False
        self._relieved = False
        self._dropped = 0
        self._latest: dict[str, Frame] = {}
        self._latest_bytes = 0

    @property
    def bytes(self) -> int:
        """How many bytes of payload wait."""
        return self._bytes + self._latest_bytes

    def __len__(self) -> int:
        return len(self._frames) + len(self._latest) + self._pongs

    @property
    def is_full(self) -> bool:
        """Whether the limit was reached, and not all that waited has been taken since."""
        return self._full

    @property
    def is_backed_up(self) -> bool:
        """Whether at least half of what may wait does."""
        limits = self._limits
        return 2 * len(self) >= limits.send_messages or 2 * self.bytes >= limits.send_bytes

    def push(self, frame: Frame) -> tuple[bool, int]:
        """Queue a frame.

        Returns whether the socket may live (False: it is too slow, close it), and how many frames were
        dropped by this.
        """
        limits = self._limits
        size = len(frame.payload)
        if not self._full:
            fits = len(self._frames) < limits.send_messages and (
                self._bytes + size <= limits.send_bytes or not self._frames
            )
            if fits:
                self._append(frame, size)
                return True, 0
            if limits.slow == "close":
                return False, 0
            self._full = True
        if frame.topic is None:  # a reply or a direct message: kept, within twice the limit
            if len(self._frames) >= 2 * limits.send_messages or (self._bytes + size > 2 * limits.send_bytes):
                return False, 0
            self._append(frame, size)
            return True, 0
        if limits.slow == "drop":
            self._dropped += 1
            return True, 1
        return self._keep_latest(frame.topic, frame, size)

    def _append(self, frame: Frame, size: int) -> None:
        self._frames.append(frame)
        self._bytes += size

    def _keep_latest(self, topic: str, frame: Frame, size: int) -> tuple[bool, int]:
        older = self._latest.pop(topic, None)
        self._latest[topic] = frame
        self._latest_bytes += size - (0 if older is None else len(older.payload))
        dropped = 0 if older is None else 1
        while self._latest_bytes > self._limits.send_bytes and len(self._latest) > 1:
            oldest = self._latest.pop(next(iter(self._latest)))
            self._latest_bytes -= len(oldest.payload)
            dropped += 1
        self._dropped += dropped
        return True, dropped

    def push_pong(self) -> None:
        """Answer a ping, ahead of all that waits."""
        self._pongs = min(self._pongs + 1, _MAX_PONGS)

    def pop(self) -> Frame | None:
        """The next frame to send, or None."""
        if self._pongs:
            self._pongs -= 1
            return _PONG
        if not self._frames and self._full:
            self._refill()
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame.payload)
        return frame

    def _refill(self) -> None:
        """All that waited has been taken: say what was dropped, then send what was kept."""
        self._full = False
        self._relieved = True
        if self._dropped:
            data = msgspec.json.encode({"count": self._dropped})
            notice = Frame(encode_named("wigwag.dropped", data), is_text=True)
            self._append(notice, len(notice.payload))
            self._dropped = 0
        for frame in self._latest.values():
            self._append(frame, len(frame.payload))
        self._latest.clear()
        self._latest_bytes = 0

    def was_drained(self) -> bool:
        """Whether it was full and all has been taken since; said once."""
        drained = self._relieved and not len(self)
        if drained:
            self._relieved = False
        return drained

    def clear(self) -> None:
        """Forget all that waits."""
        self._frames.clear()
        self._latest.clear()
        self._bytes = self._latest_bytes = self._pongs = 0
