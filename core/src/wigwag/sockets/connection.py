"""The connection under a socket: what a session writes to, and what tells it of what came.

Two implementations: :class:`~wigwag.sockets.asgi.AsgiConnection` over any ASGI server, and
:class:`~wigwag.sockets.transport.TransportConnection` over a raw transport, for a server that offers it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Protocol

from wigwag.frames import Batch, Frame
from wigwag.provider.counters import Counters
from wigwag.provider.signal import Signal
from wigwag.sockets.limits import Limits
from wigwag.sockets.queue import SendQueue
from wigwag.wire.client import GOING_AWAY

#: Cancels a piece of work that was begun.
Cancel = Callable[[], object]


class Listener(Protocol):
    """What a connection tells: a session.  All synchronous."""

    def received(self, message: str | bytes) -> None:
        """A message came."""
        ...

    def pinged(self, data: bytes) -> None:
        """A ping came (RFC 6455, 5.5.2), and is answered.  ASGI servers keep this to themselves."""
        ...

    def ponged(self, data: bytes) -> None:
        """A pong came; likewise."""
        ...

    def drained(self) -> None:
        """All that waited in a full send buffer has been sent."""
        ...


class Connection(ABC):
    """One WebSocket, accepted.  Nothing here raises, and only :meth:`has_room` waits."""

    __slots__ = ("_counters", "_limits", "_queue", "_relief", "client", "closing", "subprotocol")

    #: Whether the session may handle a message in the call that brings it, with no task for what needs none.
    runs_at_once: ClassVar[bool] = False

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        *,
        client: tuple[str, int] | None,
        subprotocol: str | None,
    ) -> None:
        #: The peer's address and port, as the server knows it (behind a proxy: the proxy's).
        self.client: tuple[str, int] | None = client
        #: The subprotocol that was agreed on, if any.
        self.subprotocol: str | None = subprotocol
        self._limits = limits
        self._counters = counters
        #: Made when something has to wait.
        self._queue: SendQueue | None = None
        #: How it is closed, or about to be: what is written then goes nowhere.
        self.closing: tuple[int, str] | None = None
        self._relief: Signal | None = None

    @property
    def is_closing(self) -> bool:
        """Whether it is closed, or about to be: what is written now goes nowhere."""
        return self.closing is not None

    @property
    def takes_messages(self) -> bool:
        """Whether what comes is handled: it is open, or is closed because we go away, of which the client can't
        know before it has read so.  What it sent until then would be lost through no fault of its own."""
        return self.closing is None or self.closing[0] == GOING_AWAY

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait to be sent."""
        return 0 if self._queue is None else self._queue.bytes

    def write(self, frame: Frame) -> None:
        """Send the frame, or queue it; a socket that is too slow is treated by its policy."""
        if self.closing is not None:
            return
        queue = self._waiting()
        lives, dropped = queue.push(frame)
        if dropped:
            self._counters.dropped[self._limits.slow] += dropped
        if lives:
            self._flush()
        else:
            self._counters.dropped["close"] += len(queue) + 1
            queue.clear()
            self._abandon()

    def send(self, payload: bytes, is_text: bool) -> None:
        """Send what is for this socket alone; as :meth:`write`, where no frame is shared."""
        self.write(Frame(payload, is_text))

    def write_batch(self, batch: Batch) -> None:
        """Send the frames, or queue them, each as :meth:`write` does."""
        for frame in batch.frames:
            self.write(frame)

    def unsent(self, data: bytes, sent: int) -> None:
        """See :class:`~wigwag.interfaces.BatchingSocket`."""
        raise NotImplementedError  # a connection that sets a session's send_now has it

    def pong(self) -> None:
        """Answer a client's ``2`` with ``3``, ahead of all that waits."""
        if self.closing is None:
            self._waiting().push_pong()
            self._flush()

    def _waiting(self) -> SendQueue:
        queue = self._queue
        if queue is None:
            queue = self._queue = SendQueue(self._limits)
        return queue

    def close(self, code: int, reason: str = "") -> None:
        """Close it, after what was written before, within the limit of ``close_timeout_s``."""
        if self.closing is None:
            self._end_as(code, reason)
            self._finish()

    @property
    def is_backed_up(self) -> bool:
        """Whether at least half of what may wait to be sent does."""
        return self._queue is not None and self._queue.is_backed_up

    async def has_room(self) -> None:
        """Return when less than half of what may wait to be sent does, or it closes.

        Who answers a client waits for it first: a client that asks faster than it reads is then answered
        as fast as it reads, where its own replies would have closed it as too slow.
        """
        while self.is_backed_up and self.closing is None:
            if self._relief is None:
                self._relief = Signal()
            await self._relief.wait()

    def _next(self) -> Frame | None:
        """The next frame to send."""
        if self._queue is None:
            return None
        frame = self._queue.pop()
        if self._relief is not None and not self._queue.is_backed_up:
            self._relief.set()
        return frame

    def _end_as(self, code: int, reason: str) -> None:
        """Note how it ends; nobody need wait for room any more."""
        self.closing = (code, reason)
        if self._relief is not None:
            self._relief.set()

    @abstractmethod
    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Cancel:
        """Run a session's work for as long as the connection lives; returns what cancels it."""

    @abstractmethod
    def pause_reading(self) -> None:
        """The session has no room for more messages."""

    @abstractmethod
    def resume_reading(self) -> None:
        """The session has room for messages again, of which it said that it had none."""

    @abstractmethod
    def _flush(self) -> None:
        """Begin to send what is queued."""

    @abstractmethod
    def _finish(self) -> None:
        """Send what is queued, then a close frame; then it is over."""

    @abstractmethod
    def _abandon(self) -> None:
        """Close a socket that is too slow, with 1013, and without waiting for what was queued."""
