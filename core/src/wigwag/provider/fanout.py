"""From a message to the sockets of this node.  Synchronous: no socket is ever awaited."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from wigwag.frames import Frame
from wigwag.interest import Interest
from wigwag.interfaces import LocalSocket
from wigwag.provider.counters import Counters

logger: logging.Logger = logging.getLogger("wigwag.provider")


class Fanout:
    """The sockets of this node, what they want, and the way to them."""

    def __init__(self, counters: Counters) -> None:
        self.interest: Interest[LocalSocket] = Interest()
        self.sockets: dict[str, LocalSocket] = {}
        self._counters = counters

    def to_topic(self, frame: Frame, topic: str, exclude: str | None = None) -> None:
        """To each socket that wants the topic."""
        self._write(frame, self.interest.sockets(topic), exclude)

    def to_all(self, frame: Frame, exclude: str | None = None) -> None:
        """To each socket."""
        self._write(frame, self.sockets.values(), exclude)

    def to_one(self, frame: Frame, socket_id: str) -> None:
        """To one socket, if it is here."""
        socket = self.sockets.get(socket_id)
        if socket is not None:
            self._write(frame, (socket,), None)

    def close(self, sockets: Iterable[LocalSocket], code: int, reason: str) -> None:
        """Begin to close these."""
        for socket in list(sockets):
            try:
                socket.close(code, reason)
            except Exception:
                logger.exception("socket %s could not be closed", socket.id)

    def of_user(self, user_id: str) -> list[LocalSocket]:
        """The sockets of a user: a scan, for it is seldom asked."""
        return [socket for socket in self.sockets.values() if socket.user_id == user_id]

    def _write(self, frame: Frame, sockets: Iterable[LocalSocket], exclude: str | None) -> None:
        # A copy: a write may take its socket out of the table.
        written = 0
        for socket in list(sockets):
            if exclude is not None and socket.id == exclude:
                continue
            try:
                socket.write(frame)
            except Exception:
                # The interface forbids it; one implementation's fault must not cost the others.
                logger.exception("socket %s could not be written to", socket.id)
            else:
                written += 1
        self._counters.delivered += written
