"""A worker: serves the connections that the supervisor hands to it, and answers what it asks."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

import anyio
import msgspec

from wigwag.errors import SettingsError, WigwagError
from wigwag.factory import PREFIX, load_core_settings
from wigwag.provider.hosting import hosted
from wigwag.provider.node import Node
from wigwag.service.addresses import CannotServe
from wigwag.service.publishing import running
from wigwag.service.served import Access, Served, Server, first_of, load_and_log
from wigwag.service.workers.messages import (
    Answer,
    Ask,
    Channel,
    Drain,
    Drained,
    Failed,
    Leaving,
    Load,
    Ready,
    Spec,
    ToWorker,
    pack,
)
from wigwag.service.workers.relay import answer_to
from wigwag.settings import ServiceSettings, load_settings

logger: logging.Logger = logging.getLogger("wigwag.service")

#: How long a worker that could serve waits for its brokers, and how often it looks.
_HEARD_S: Final = 3.0
_LOOK_S: Final = 0.01
#: How long who came last has to say what it wants, before the server ends.
_LAST_S: Final = 1.0
#: How long requests of the internal port have to be answered, when all that they could wait for has ended.
_ANSWERS_S: Final = 1.0
_REPORT_S: Final = 0.05
_AT_ONCE: Final = 64


def main() -> None:
    """Run the worker that the first argument describes."""
    run_worker(msgspec.json.decode(sys.argv[1], type=Spec))


def run_worker(spec: Spec) -> None:
    """Serve until the supervisor closes its end, or is no more."""
    # Who signals all by name (pkill -HUP -f wigwag) means the supervisor, which decides what follows.  Not ignored,
    # which programs that the application starts would inherit.
    signal.signal(signal.SIGINT, _do_nothing)
    signal.signal(signal.SIGHUP, _do_nothing)
    control = socket.socket(fileno=spec.control_fd)
    connections = socket.socket(fileno=spec.connections_fd)
    last_word = control.dup()  # the event loop closes the other
    try:
        service = _Service(spec)
        use_uvloop = importlib.util.find_spec("uvloop") is not None
        anyio.run(service.run, control, connections, backend_options={"use_uvloop": use_uvloop})
    except WigwagError as exc:
        last_word.setblocking(True)
        last_word.sendall(pack(Failed(str(exc), isinstance(exc, SettingsError))))
        sys.exit(1)


def _do_nothing(*_: object) -> None:
    pass


class _Service:
    """The public server, without a port, and the internal API, without a server."""

    def __init__(self, spec: Spec) -> None:
        """Raises WigwagError where the application can't be imported, or a setting can't be used."""
        self._spec = spec
        settings = load_settings(ServiceSettings, PREFIX, os.environ)
        app = load_and_log(spec.app, spec.app_dir, settings, spec.number)
        self._access = Access.of(settings, spec.app)
        self._served = Served(settings, load_core_settings(), self._access, name=spec.app, app=app)
        self._internal = self._served.internal_app()
        self._told = Load(0, 0)
        self._sign_of_life_s = settings.worker_timeout_s / 4
        #: How many sockets a second it closes where nobody is there to say how many.
        self._per_s = settings.drain_per_s / spec.workers
        self._asks: anyio.abc.TaskGroup
        self._channel: Channel[ToWorker]
        self._unanswered = 0
        #: The application has ended.
        self._is_over = False

    async def run(self, control: socket.socket, connections: socket.socket) -> None:
        """Start the application, serve, and end when there are no more connections to come."""
        hosted.set(self._served.providers)
        public = self._served.public_server()
        error: WigwagError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._access.watch)
                tasks.start_soon(self._served.rebalance, public)
                await self._live(tasks, public, control, connections)
        except* CannotServe as group:
            error = self._served.watched.error or first_of(group)
        if error is not None:
            raise error

    async def _live(
        self, tasks: anyio.abc.TaskGroup, public: Server, control: socket.socket, connections: socket.socket
    ) -> None:
        self._asks = tasks
        drain = self._served.drain
        incoming = _Incoming(connections, public, tasks, self._tell)

        def supervisor_is_gone() -> None:
            if not public.listening.is_set():
                tasks.cancel_scope.cancel()
            incoming.close()

        async def serve() -> None:
            await public.serve([])
            await self._answered()
            self._is_over = True
            tasks.cancel_scope.cancel()

        async def finish() -> None:
            """When there are no more connections to come, and its sockets are closed at the pace that it was told."""
            await incoming.ended.wait()
            drain.begin(delay_s=0, per_s=self._per_s, refuses=False)
            await drained.wait()
            with anyio.move_on_after(_LAST_S):
                while incoming.pending or self._served.silent:  # noqa: ASYNC110
                    await anyio.sleep(_LOOK_S)  # nobody tells
            await drain.close(public.server_state.connections)  # who was let in since
            public.should_exit = True

        drained = anyio.Event()
        self._channel = Channel(ToWorker, self._told_to, supervisor_is_gone)
        loop = asyncio.get_running_loop()
        control.setblocking(False)
        await loop.create_unix_connection(lambda: self._channel, sock=control)
        tasks.start_soon(serve)
        tasks.start_soon(self._obey_signals, tasks.cancel_scope, public)
        await public.listening.wait()
        await self._heard()
        self._channel.send(Ready(self._served.banner(self._spec.workers), self._served.has_provider))
        incoming.open()
        tasks.start_soon(self._report, incoming)
        tasks.start_soon(finish)
        await drain.run(public.server_state.connections)
        drained.set()
        self._channel.send(Drained())

    async def _answered(self) -> None:
        with anyio.move_on_after(_ANSWERS_S):
            while self._unanswered:  # noqa: ASYNC110
                await anyio.sleep(_LOOK_S)  # nobody tells

    async def _heard(self) -> None:
        """Wait a little for the brokers: who connects earlier is told that it may have missed something."""
        with anyio.move_on_after(_HEARD_S):
            while not all(node is not None and node.is_up for node in self._nodes()):  # noqa: ASYNC110
                await anyio.sleep(_LOOK_S)  # nobody tells

    def _nodes(self) -> list[Node | None]:
        return [provider.node for provider in running(self._served.providers)]

    async def _obey_signals(self, everything: anyio.CancelScope, public: Server) -> None:
        """Somebody asks this one process to end: the supervisor must know before connections are lost."""
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                if not public.listening.is_set():
                    everything.cancel()
                self._channel.send(Leaving())

    def _tell(self, load: Load) -> None:
        self._told = load
        self._channel.send(load)

    async def _report(self, incoming: _Incoming) -> None:
        """Say how much there is to do when it has changed, and now and then that this process lives."""
        silent_s = 0.0
        while True:
            await anyio.sleep(_REPORT_S)
            silent_s += _REPORT_S
            load = incoming.load
            if load != self._told or silent_s >= self._sign_of_life_s:
                self._tell(load)
                silent_s = 0.0

    def _told_to(self, message: ToWorker) -> None:
        if isinstance(message, Drain):
            self._served.drain.begin(delay_s=message.delay_s, per_s=message.per_s, refuses=message.refuses)
        elif self._is_over:
            self._channel.send(_gone(message))
        else:
            self._unanswered += 1
            self._asks.start_soon(self._answer, message)

    async def _answer(self, ask: Ask) -> None:
        try:
            self._channel.send(await answer_to(ask, self._internal))
        finally:
            self._unanswered -= 1


class _Incoming:
    """Connections as they come, and what is made of them: connections of the public server."""

    def __init__(
        self,
        source: socket.socket,
        public: Server,
        tasks: anyio.abc.TaskGroup,
        tell: Callable[[Load], object],
    ) -> None:
        self._source = source
        self._public = public
        self._tasks = tasks
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._received = 0
        #: How many were received, and are not connections of the server yet.
        self.pending: int = 0
        self._is_open = False
        #: There are no more to come.
        self.ended: anyio.Event = anyio.Event()

    @property
    def load(self) -> Load:
        """What the supervisor is told."""
        return Load(self._received, self.pending + len(self._public.server_state.connections))

    def open(self) -> None:
        """Take connections from now on."""
        self._source.setblocking(False)
        self._is_open = True
        self._loop.add_reader(self._source.fileno(), self._read)

    def close(self) -> None:
        """Take no more: that the server is to end."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._source.fileno())
            self._source.close()
            self.ended.set()

    def _read(self) -> None:
        self._receive()
        # At once, before anything of them is read: those that are not told of go to others if this process dies.
        self._tell(self.load)

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._source, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            if not data:
                self.close()
                return
            for descriptor in descriptors:
                self._received += 1
                self.pending += 1
                self._tasks.start_soon(self._accept, socket.socket(fileno=descriptor))

    async def _accept(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            await self._loop.connect_accepted_socket(self._public.create_protocol, connection)
        except OSError as exc:  # the client has gone again
            logger.debug("a connection was lost as it came: %s", exc)
            connection.close()
        finally:
            self.pending -= 1


def _gone(ask: Ask) -> Answer:
    """The answer to what is asked when there is nobody left to do it."""
    body = msgspec.json.encode({"error": "not accepted, nothing was sent: this worker has ended"})
    return Answer(ask.id, 503, [(b"content-type", b"application/json")], body)
