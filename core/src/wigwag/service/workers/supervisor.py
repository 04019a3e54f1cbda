"""``wigwag serve --workers``: starts workers, keeps them, reloads them one at a time, ends them."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio
from prometheus_client import Metric

from wigwag.errors import WigwagError
from wigwag.local import Hub
from wigwag.service.served import Access, announce, internal_server, warn_of_no_provider
from wigwag.service.workers.accepting import Acceptor
from wigwag.service.workers.front import create_front
from wigwag.service.workers.metrics import supervisor_numbers
from wigwag.service.workers.process import Worker, WorkerFailed
from wigwag.settings import ServiceSettings

logger: logging.Logger = logging.getLogger("wigwag.service")

#: A worker that served so long did not fail as it started: the next one is tried at once, and as often.
_STEADY_S: Final = 30.0
#: So many ends in a row, each sooner than that, end the whole.
_MOST_ENDS: Final = 5
#: How often it is looked whether a worker has said something, within the time that it may be silent.
_LOOKS: Final = 10
#: How much longer than a drain takes it is waited for a worker's word that it has ended.
_ANSWER_S: Final = 1.0
_BACKOFF_S: Final = 0.25
_BACKOFF_CAP_S: Final = 5.0


class Slot:
    """The place of one worker, which others take after it."""

    def __init__(self, worker: Worker) -> None:
        self.worker: Worker = worker
        #: Held while another one is put into its place.
        self.changing: anyio.Lock = anyio.Lock()
        #: Early ends in a row.
        self.ends: int = 0
        #: How often a worker was started anew because the last had ended by itself.
        self.restarts: int = 0


class Supervisor:
    """One run of the service, on asyncio."""

    def __init__(
        self,
        settings: ServiceSettings,
        workers: int,
        environ: Mapping[str, str],
        hub: Hub | None,
        access: Access,
        *,
        stop_limit_s: float,
        app: str | None,
        app_dir: str | None,
    ) -> None:
        """``environ``: that of the workers; ``stop_limit_s``: how long one has to end."""
        self._settings = settings
        self._workers = workers
        self._environ = environ
        self._hub = hub
        self._access = access
        self._stop_limit_s = stop_limit_s
        self._app = app
        self._app_dir = app_dir
        self._slots: list[Slot] = []
        self._leaving: set[Worker] = set()
        self._tasks: anyio.abc.TaskGroup
        self._acceptor: Acceptor
        self._to_stop = anyio.Event()
        self._to_reload = anyio.Event()
        self._has_started = False
        self._is_hurried = False
        self._was_killed = False
        self._error: WigwagError | None = None

    async def run(self, public: socket.socket, internal: socket.socket) -> None:
        """Run until a signal, or until workers can't be kept.

        Raises:
            HubNotStarted: the workers could not hear each other.
            WorkerFailed: a worker did not start, or ended again and again.
            SettingsError: a worker did not start because of a setting.
            KeyboardInterrupt: a second signal ended it.
        """
        self._acceptor = Acceptor(public, self.serving)
        try:
            async with self._hub_running(), anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._obey_signals)
                await self._live(internal)
                tasks.cancel_scope.cancel()
        finally:
            self._acceptor.close()
        if self._error is not None:
            raise self._error
        if self._was_killed:
            raise KeyboardInterrupt

    @asynccontextmanager
    async def _hub_running(self) -> AsyncGenerator[None]:
        """The hub, if there is one, outlives the workers."""
        if self._hub is None:
            yield
        else:
            async with self._hub:
                yield

    async def _live(self, internal_socket: socket.socket) -> None:
        front = internal_server(create_front(self, self._access), self._settings)
        front_ended = anyio.Event()

        async def serve_front() -> None:
            await front.serve([internal_socket])
            front_ended.set()

        await self._start_all()
        if not self._to_stop.is_set():
            self._tasks.start_soon(serve_front)
            await front.listening.wait()
            self._announce()
            self._has_started = True
            for slot in self._slots:
                self._tasks.start_soon(self._keep, slot)
            self._tasks.start_soon(self._watch)
            self._tasks.start_soon(self._reload_when_asked)
            self._tasks.start_soon(self._access.watch)
            await self._to_stop.wait()
        await self._end_all()
        self._acceptor.close()
        if front.listening.is_set():
            front.should_exit = True
            await front_ended.wait()

    # Starting

    async def _start_all(self) -> None:
        """The first alone: what is wrong with the application is said once."""
        for number in range(1, self._workers + 1):
            self._slots.append(Slot(self._new(number)))
            if number == 1:
                await self._settled(self._slots[0].worker)
                if not self._slots[0].worker.is_serving:
                    break
        for slot in self._slots:
            await self._settled(slot.worker)
            if not slot.worker.is_serving and not self._to_stop.is_set():
                await slot.worker.ended.wait()
                self._give_up(slot.worker.error())
            if self._to_stop.is_set():
                return

    def _new(self, number: int) -> Worker:
        worker = Worker(
            number,
            self._workers,
            self._environ,
            on_room=self._acceptor.wake,
            give_back=self._acceptor.give,
            app=self._app,
            app_dir=self._app_dir,
        )
        self._tasks.start_soon(worker.run)
        return worker

    async def _settled(self, worker: Worker) -> None:
        """Return when it serves, or has ended, or all is to stop."""
        async with anyio.create_task_group() as either:

            async def stopped() -> None:
                await self._to_stop.wait()
                either.cancel_scope.cancel()

            either.start_soon(stopped)
            await worker.settled.wait()
            either.cancel_scope.cancel()

    def _announce(self) -> None:
        first = self._slots[0].worker
        if first.ready is not None:
            announce(first.ready.banner, self._settings)
            if not first.ready.has_provider:
                warn_of_no_provider(self._app)

    # Keeping

    async def _keep(self, slot: Slot) -> None:
        """Put another worker into the place of one that ends by itself, until all is to stop."""
        while not self._to_stop.is_set():
            worker = slot.worker
            await worker.ended.wait()
            async with slot.changing:
                if slot.worker is worker and not self._to_stop.is_set():
                    await self._start_anew(slot)

    async def _start_anew(self, slot: Slot) -> None:
        worker = slot.worker
        if worker.ready_at is not None and anyio.current_time() - worker.ready_at >= _STEADY_S:
            slot.ends = 0
        slot.ends += 1
        if slot.ends >= _MOST_ENDS:
            text = f"worker {worker.number} ended {slot.ends} times in a row, each within {_STEADY_S:g} s of its start"
            self._give_up(WorkerFailed(f"{text}; the last time: {worker.why_ended()}"))
            return
        delay_s = min(_BACKOFF_CAP_S, _BACKOFF_S * 2 ** (slot.ends - 2)) if slot.ends > 1 else 0.0
        logger.error("%s ended: %s; another one starts in %g s", worker, worker.why_ended(), delay_s)
        await anyio.sleep(delay_s)
        if not self._to_stop.is_set():
            slot.restarts += 1
            slot.worker = self._new(worker.number)

    async def _watch(self) -> None:
        """Kill workers that are silent for too long; others take their places.

        Counted in looks, not by the clock: where this process too stood still, it costs one.
        """
        limit_s = self._settings.worker_timeout_s
        while True:
            await anyio.sleep(limit_s / _LOOKS)
            for worker in self.serving():
                if worker.silent_looks >= _LOOKS:
                    logger.error(
                        "%s was silent for %g s (WIGWAG_WORKER_TIMEOUT_S), its event loop blocked: it is killed",
                        worker,
                        limit_s,
                    )
                    worker.kill()
                worker.silent_looks += 1

    def _give_up(self, error: WigwagError) -> None:
        if not self._to_stop.is_set():
            self._error = error
            self._to_stop.set()

    # Reloading

    async def _reload_when_asked(self) -> None:
        while True:
            await self._to_reload.wait()
            self._to_reload = anyio.Event()
            logger.info("reloading: each worker in turn")
            for slot in self._slots:
                old = await self._replace(slot)
                if old is None:
                    break
                old.drain(0.0, self._settings.drain_per_s, refuses=False)
                await self._finish(old, self._stop_limit_s)
            else:
                logger.info("reloaded")

    async def _replace(self, slot: Slot) -> Worker | None:
        """Put a new worker into the place once it serves; the one that was there.

        None if it could not start, or all are to end: who came to a new one then would be cut off with it.
        """
        async with slot.changing:
            if self._to_stop.is_set():
                return None
            new, old = self._new(slot.worker.number), slot.worker
            await self._settled(new)
            if self._to_stop.is_set():
                await self._finish(new, self._stop_limit_s)
                return None
            if not new.is_serving:
                await new.ended.wait()
                logger.error(
                    "the reload was given up, and the workers that are there go on: a new worker %d did not start: %s",
                    new.number,
                    new.why_ended(),
                )
                return None
            slot.worker, slot.ends = new, 0
            self._acceptor.wake()
            return old

    # Ending

    def drain(self, *, hurried: bool = False) -> None:
        """Have all end; ``hurried``: without the delay before."""
        self._is_hurried |= hurried
        if hurried and self._to_stop.is_set():
            for worker in self.serving():
                worker.drain(0.0, self._settings.drain_per_s)
        self._to_stop.set()

    async def _end_all(self) -> None:
        """Have all close their sockets, at one pace together, and finish."""
        settings = self._settings
        delay_s = settings.drain_delay_s if self._has_started and not self._is_hurried else 0.0
        ends_at = anyio.current_time() + self._stop_limit_s
        serving = self.serving()
        everything = sum(worker.connections + 1 for worker in serving)
        async with anyio.create_task_group() as tasks:
            for worker in serving:
                worker.drain(delay_s, settings.drain_per_s * (worker.connections + 1) / everything)
                tasks.start_soon(self._finish_drained, worker, delay_s + settings.drain_timeout_s, ends_at)
            for worker in ({slot.worker for slot in self._slots} | self._leaving).difference(serving):
                tasks.start_soon(self._finish, worker, self._stop_limit_s)

    async def _finish_drained(self, worker: Worker, drain_s: float, ends_at: float) -> None:
        with anyio.move_on_after(drain_s + _ANSWER_S):
            await worker.drained.wait()
        await self._finish(worker, max(0.0, ends_at - anyio.current_time()))

    async def _finish(self, worker: Worker, limit_s: float) -> None:
        """Hand it no more connections, so that it ends, and kill it if that takes too long."""
        self._leaving.add(worker)
        if worker.ready is None:  # it has begun nothing that it could finish
            worker.kill()
        worker.finish()
        if self._to_stop.is_set() and not self.serving():
            self._acceptor.close()
        with anyio.move_on_after(limit_s) as limit:
            await worker.ended.wait()
        if limit.cancelled_caught:
            logger.error(
                "%s did not end within %g s (WIGWAG_WORKER_STOP_TIMEOUT_S): it is killed",
                worker,
                self._stop_limit_s,
            )
            worker.kill()
            await worker.ended.wait()
        self._leaving.discard(worker)

    async def _obey_signals(self) -> None:
        has_terminal = _has_terminal()
        was_asked = False
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for sent in signals:
                if sent == signal.SIGHUP and not (has_terminal and not _has_terminal()):
                    if self._has_started:
                        self._to_reload.set()
                elif was_asked or (self._to_stop.is_set() and self._error is not None):
                    self._was_killed = True
                    self._tasks.cancel_scope.cancel()
                else:  # SIGHUP too, where the terminal was closed
                    was_asked = True
                    self.drain(hurried=sent != signal.SIGTERM)

    # For the internal port

    def serving(self) -> list[Worker]:
        """The workers that take connections."""
        return [slot.worker for slot in self._slots if slot.worker.is_serving]

    def leaving(self) -> list[Worker]:
        """Those that finish what they have."""
        return [worker for worker in self._leaving if worker.ready is not None]

    def numbers(self) -> Iterator[Metric]:
        """What there is to count here."""
        restarts = sum(slot.restarts for slot in self._slots)
        return supervisor_numbers(len(self.serving()), restarts, self._hub)


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False
