"""Who gets the next connection: the worker that has the fewest."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from wigwag.service.workers.process import Worker

logger: logging.Logger = logging.getLogger("wigwag.service")

#: Connections a turn, so that the hub has its turn too.
_AT_ONCE: Final = 32
#: When there are no file descriptors left, and nothing tells when there are.
_RETRY_S: Final = 0.5
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts connections while some worker has room for them; else they wait in the kernel's queue, and none is lost.

    Workers that accept from one socket themselves end up with very different numbers, for as long as their
    WebSockets last; with a socket each (``SO_REUSEPORT``), what is in the queue of one that ends is lost.
    """

    def __init__(self, listening: socket.socket, workers: Callable[[], Iterable[Worker]]) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self._is_open = True
        self._waiting: deque[socket.socket] = deque()  # of workers that died

    def wake(self) -> None:
        """Go on: there may be a worker with room."""
        while self._waiting and self._hand_over(self._waiting[0]):
            self._waiting.popleft()
        if self._is_open and not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def give(self, connection: socket.socket) -> None:
        """Hand over one that is accepted already, as soon as a worker has room."""
        if not self._is_open:
            connection.close()
        elif not self._hand_over(connection):
            self._waiting.append(connection)

    def close(self) -> None:
        """Stop listening; who waits is refused."""
        self._pause()
        self._is_open = False
        self._listening.close()
        for connection in self._waiting:
            connection.close()
        self._waiting.clear()

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._listening.fileno())

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self._chosen() is None:
                self._pause()
                return
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    logger.error(
                        "no connection can be accepted: %s; raise the limit of open files", exc.strerror
                    )
                    self._pause()
                    self._loop.call_later(_RETRY_S, self.wake)
                    return
                continue  # the client has gone again
            self.give(connection)

    def _hand_over(self, connection: socket.socket) -> bool:
        while (worker := self._chosen()) is not None:
            if worker.hand_over(connection):
                return True
        return False

    def _chosen(self) -> Worker | None:
        with_room = (worker for worker in self._workers() if worker.has_room)
        return min(with_room, key=lambda worker: worker.connections, default=None)
