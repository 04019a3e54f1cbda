"""One worker as the supervisor sees it: a process, what it was handed, and what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import anyio
import msgspec

from wigwag.errors import SettingsError, WigwagError
from wigwag.service.workers.messages import (
    Answer,
    Ask,
    Channel,
    Drain,
    Drained,
    Failed,
    FromWorker,
    Leaving,
    Load,
    Ready,
    Spec,
)

logger: logging.Logger = logging.getLogger("wigwag.service")

#: Connections that a worker was handed and has not taken: one that is stopped, or busy, gets no more of them.
_MOST_UNTAKEN: Final = 64


class WorkerGone(Exception):
    """The worker ended before it answered."""


class WorkerFailed(WigwagError):
    """A worker could not start, or keeps ending."""


class Worker:
    """A process, from its start to its end.

    ``on_room`` is called whenever it may be handed a connection that it could not be before; ``give_back``, when it has
    ended, with each that it was handed and never took.
    """

    def __init__(
        self,
        number: int,
        workers: int,
        environ: Mapping[str, str],
        on_room: Callable[[], object],
        give_back: Callable[[socket.socket], object],
        *,
        app: str | None,
        app_dir: str | None,
    ) -> None:
        self.number: int = number
        self._workers = workers
        self._environ = environ
        self._on_room = on_room
        self._give_back = give_back
        self._app = app
        self._app_dir = app_dir
        self._process: asyncio.subprocess.Process | None = None
        self._connections: socket.socket | None = None
        self._channel: Channel[FromWorker] | None = None
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._failed: Failed | None = None
        self._untaken: deque[socket.socket] = deque()
        self._sent = 0
        self._load = Load(0, 0)
        #: What it said when it was ready.
        self.ready: Ready | None = None
        self.ready_at: float | None = None
        #: How often the supervisor has looked since it said something.
        self.silent_looks: int = 0
        #: It is ready, or will not be.
        self.settled: anyio.Event = anyio.Event()
        #: It has closed its sockets, as it was told to.
        self.drained: anyio.Event = anyio.Event()
        self.ended: anyio.Event = anyio.Event()

    def __str__(self) -> str:
        pid = "" if self._process is None else f" (pid {self._process.pid})"
        return f"worker {self.number}{pid}"

    # Its life

    async def run(self) -> None:
        """Start the process; return when it has ended.  Cancelled, it is killed."""
        ours, theirs = socket.socketpair(), socket.socketpair()
        control, self._connections = ours[0], theirs[0]
        try:
            control.setblocking(False)
            self._connections.setblocking(False)
            channel: Channel[FromWorker] = Channel(FromWorker, self._told, lambda: None)
            await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=control)
            self._channel = channel
            with ours[1], theirs[1]:
                self._process = await self._start(ours[1].fileno(), theirs[1].fileno())
            await self._process.wait()
        except OSError as exc:
            self._failed = Failed(f"no process can be started: {exc.strerror}", is_usage=False)
        finally:
            if self._process is not None and self._process.returncode is None:
                self.kill()
                with anyio.CancelScope(shield=True):  # SIGKILL: it ends
                    await self._process.wait()
            self._close()

    async def _start(self, control_fd: int, connections_fd: int) -> asyncio.subprocess.Process:
        spec = Spec(self.number, self._workers, self._app, self._app_dir, connections_fd, control_fd)
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined] # as multiprocessing does
            "-P",  # what lies in the current directory must not stand in for a library
            "-m",
            "wigwag.service.workers",
            msgspec.json.encode(spec).decode(),
            stdin=subprocess.DEVNULL,
            env=self._environ,
            pass_fds=(control_fd, connections_fd),
            # Ctrl-C and a closed terminal are the supervisor's alone: a worker that is still being imported would die
            # of them, with a traceback.
            start_new_session=True,
        )

    def _close(self) -> None:
        self.finish()
        if self._channel is not None:
            self._channel.close()
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(WorkerGone)
        self.settled.set()
        self.drained.set()
        self.ended.set()
        for connection in self._untaken:
            self._give_back(connection)
        self._untaken.clear()

    def drain(self, delay_s: float, per_s: float, *, refuses: bool = True) -> None:
        """Have it close its sockets.  Told again, it may leave out the delay, and nothing more.

        ``refuses``: whether it lets nobody in from then on, of those that it was handed.
        """
        if self._channel is not None:
            self._channel.send(Drain(delay_s, per_s, refuses))

    def finish(self) -> None:
        """Have it end when it has done what it was given; it is handed nothing more."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def why_ended(self) -> str:
        """How it ended, for one line."""
        code = None if self._process is None else self._process.returncode
        if self._failed is not None:
            return self._failed.text
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"it was killed by {signal.Signals(-code).name}"
        return f"it ended with exit code {code}"

    def error(self) -> WigwagError:
        """Why it did not start, for whoever started it."""
        if self._failed is None:
            return WorkerFailed(f"{self} did not start: {self.why_ended()}")
        return (SettingsError if self._failed.is_usage else WorkerFailed)(self._failed.text)

    # Connections

    @property
    def is_serving(self) -> bool:
        """Whether it has started, and has not been told to finish."""
        return self.ready is not None and self._connections is not None

    @property
    def has_room(self) -> bool:
        """Whether it may be handed a connection."""
        return self.is_serving and self._sent - self._load.received < _MOST_UNTAKEN

    @property
    def connections(self) -> int:
        """How many it has, those on their way included."""
        return self._load.open + self._sent - self._load.received

    def hand_over(self, connection: socket.socket) -> bool:
        """Give it a connection; whether that worked.  It is kept here until the worker says that it has it."""
        if self._connections is None:
            return False
        try:
            socket.send_fds(self._connections, [b"c"], [connection.fileno()])
        except OSError:  # it is going: its end is about to be noticed
            self.finish()
            return False
        self._sent += 1
        self._untaken.append(connection)
        return True

    def _take(self, load: Load) -> None:
        for _ in range(load.received - self._load.received):
            self._untaken.popleft().close()
        self._load = load
        self._on_room()

    # What is said

    async def ask(self, ask: Ask, limit_s: float) -> Answer:
        """Have it answer a request.

        Raises:
            WorkerGone: it ended meanwhile; what was asked may have been done.
            TimeoutError: it did not answer in time.
        """
        if self._channel is None or self.ended.is_set():
            raise WorkerGone
        ask.id = next(self._ids)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[ask.id] = answer
        self._channel.send(ask)
        try:
            with anyio.fail_after(limit_s):
                return await answer
        finally:
            del self._asked[ask.id]

    def _told(self, message: FromWorker) -> None:
        self.silent_looks = 0
        if isinstance(message, Load):
            self._take(message)
        elif isinstance(message, Answer):
            waiting = self._asked.get(message.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif isinstance(message, Ready):
            self.ready = message
            self.ready_at = anyio.current_time()
            self.settled.set()
            self._on_room()
        elif isinstance(message, Failed):
            self._failed = message
        elif isinstance(message, Drained):
            self.drained.set()
        elif isinstance(message, Leaving):
            logger.info("%s was asked to end by somebody else; another one starts when it has", self)
            self.finish()
