"""From a message to the sockets of this node.  Synchronous: no socket is ever awaited.

What one turn of the event loop publishes to a topic is joined, and written once to each of its sockets, since the
system call is nearly all that a delivery costs.  What was published before a socket came, left or was closed is
written before that; so the order within a topic, and who gets what, is as if each message were written at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from wigwag.frames import Batch, Frame
from wigwag.interest import Interest
from wigwag.interfaces import BatchingSocket, LocalSocket
from wigwag.provider.counters import Counters

logger: logging.Logger = logging.getLogger("wigwag.provider")

#: A turn may publish without end: from so many bytes on what has come is written.
_MOST_PENDING_BYTES = 256 * 1024
#: For everybody, of whatever topic.
_EVERYBODY = ""


class Fanout:
    """The sockets of this node, what they want, and the way to them."""

    def __init__(self, counters: Counters) -> None:
        self.interest: Interest[BatchingSocket] = Interest()
        self.sockets: dict[str, BatchingSocket] = {}
        self._counters = counters
        self._pending: dict[str, _Pending] = {}
        self._pending_bytes = 0
        self._flush_pending = self._flush  # one for all sockets
        #: The node's own: what is written when a turn ends is of several publishers, and not the first one's affair.
        self.context: contextvars.Context = contextvars.copy_context()
        try:
            call_soon = asyncio.get_running_loop().call_soon
            self._soon: Callable[[Callable[[], object]], object] | None = functools.partial(
                call_soon, context=self.context
            )
        except RuntimeError:  # trio, where there is no transport for which joining would pay
            self._soon = None

    # Who is here, and wants what

    def attach(self, socket: LocalSocket) -> BatchingSocket:
        """Count a socket in; by what it is returned as it is known from then on."""
        if self._pending:
            self.flush()
        # Not by isinstance, which costs as much as all else here.
        can_batch = hasattr(socket, "write_batch")
        attached = cast("BatchingSocket", socket) if can_batch else _OneByOne(socket)
        attached.flush = self._flush_pending
        self.sockets[socket.id] = attached
        return attached

    def detach(self, socket_id: str) -> BatchingSocket | None:
        """Count a socket out."""
        if self._pending:
            self.flush()
        return self.sockets.pop(socket_id, None)

    def join(self, topic: str, socket: BatchingSocket) -> bool | None:
        """See :meth:`Interest.add`."""
        if topic in self._pending:
            self.flush()
        return self.interest.add(topic, socket)

    def leave(self, topic: str, socket: BatchingSocket) -> bool | None:
        """See :meth:`Interest.remove`."""
        if topic in self._pending:
            self.flush()
        return self.interest.remove(topic, socket)

    def of_user(self, user_id: str) -> list[BatchingSocket]:
        """The sockets of a user: a scan, for it is seldom asked."""
        return [socket for socket in self.sockets.values() if socket.user_id == user_id]

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait for sockets that do not take them: a scan, for it is seldom asked."""
        return sum(socket.buffered_bytes for socket in self.sockets.values() if socket.send_now is None)

    # The way to them

    def to_topic(self, frame: Frame, topic: str, exclude: str | None = None) -> None:
        """To each socket that wants the topic, at the latest when this turn ends."""
        if topic in self.interest:
            self._add(frame, topic, exclude)

    def to_all(self, frame: Frame, exclude: str | None = None) -> None:
        """To each socket, likewise."""
        if self.sockets:
            self._add(frame, _EVERYBODY, exclude)

    def _add(self, frame: Frame, topic: str, exclude: str | None) -> None:
        pending = self._pending.get(topic)
        if pending is None:
            if not self._pending and self._soon is not None:
                self._soon(self.flush)
            pending = self._pending[topic] = _Pending()
        pending.frames.append(frame)
        if exclude is not None:
            pending.exclude(exclude)
        self._pending_bytes += len(frame.payload)
        if self._soon is None or self._pending_bytes >= _MOST_PENDING_BYTES:
            self.flush()

    def _flush(self) -> None:
        if self._pending:
            self.flush()

    def flush(self) -> None:
        """Write what was published in this turn."""
        pending, self._pending = self._pending, {}
        self._pending_bytes = 0
        for topic, published in pending.items():
            # Copies: a write may take its socket out of the table.
            sockets = list(self.interest.sockets(topic) if topic else self.sockets.values())
            if published.excludes is None:
                self._write(Batch(published.frames), sockets)
            else:
                self._write_excluding(published, sockets)

    def to_one(self, frame: Frame, socket_id: str) -> None:
        """To one socket, if it is here; at once, behind what was published before."""
        socket = self.sockets.get(socket_id)
        if socket is not None:
            if self._pending:
                self.flush()
            self._write_one_by_one(Batch((frame,)), (socket,))

    def close(self, sockets: Iterable[BatchingSocket], code: int, reason: str) -> None:
        """Begin to close these."""
        self.flush()
        for socket in list(sockets):
            try:
                socket.close(code, reason)
            except Exception:
                logger.exception("socket %s could not be closed", socket.id)

    def _write(self, batch: Batch, sockets: Sequence[BatchingSocket]) -> None:
        data = batch.encoded
        size = len(data)
        waiting: list[BatchingSocket] = []
        for socket in sockets:
            send_now = socket.send_now
            if send_now is None:
                waiting.append(socket)
                continue
            try:
                sent = send_now(data)
            except OSError:  # nothing could be taken just now, or the peer has gone: the transport will see
                sent = 0
            if sent != size:
                socket.unsent(data, sent)
        self._counters.delivered += len(batch.frames) * (len(sockets) - len(waiting))
        if waiting:
            self._write_one_by_one(batch, waiting)

    def _write_one_by_one(self, batch: Batch, sockets: Sequence[BatchingSocket]) -> None:
        for socket in sockets:
            try:
                socket.write_batch(batch)
            except Exception:
                # The interface forbids it; one implementation's fault must not cost the others.
                logger.exception("socket %s could not be written to", socket.id)
            else:
                self._counters.delivered += len(batch.frames)

    def _write_excluding(self, published: _Pending, sockets: list[BatchingSocket]) -> None:
        """Those that some frames are not for get the others; the rest, who are nearly all, all of them."""
        excludes = published.excludes or {}
        self._write(Batch(published.frames), [socket for socket in sockets if socket.id not in excludes])
        for socket in sockets:
            not_for_it = excludes.get(socket.id)
            if not_for_it is not None:
                frames = [frame for at, frame in enumerate(published.frames) if at not in not_for_it]
                if frames:
                    self._write(Batch(frames), (socket,))


class _Pending:
    """What this turn has published to a topic."""

    __slots__ = ("excludes", "frames")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        #: Socket ids, and which of the frames, by their place, are not for them.
        self.excludes: dict[str, set[int]] | None = None

    def exclude(self, socket_id: str) -> None:
        """The frame that was added last is not for this socket."""
        if self.excludes is None:
            self.excludes = {}
        self.excludes.setdefault(socket_id, set()).add(len(self.frames) - 1)


class _OneByOne:
    """A socket that knows frames alone, made a :class:`BatchingSocket`."""

    __slots__ = ("_socket", "flush", "id", "send_now", "user_id")

    def __init__(self, socket: LocalSocket) -> None:
        self._socket = socket
        self.id: str = socket.id
        self.user_id: str | None = socket.user_id
        self.send_now: Callable[[bytes], int] | None = None
        self.flush: Callable[[], object] | None = None

    def write(self, frame: Frame) -> None:
        self._socket.write(frame)

    def close(self, code: int, reason: str) -> None:
        self._socket.close(code, reason)

    @property
    def buffered_bytes(self) -> int:
        return 0  # it does not say

    def unsent(self, data: bytes, sent: int) -> None:
        raise NotImplementedError  # nothing is ever sent so

    def write_batch(self, batch: Batch) -> None:
        for frame in batch.frames:
            self._socket.write(frame)
