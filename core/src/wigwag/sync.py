"""A blocking emitter, for code that is not async: a Celery worker, a Django view, a script.

::

    from wigwag.sync import connect

    with connect() as emitter:
        emitter.emit(ReportReady(url="/r/1"), "account:7")

It runs an event loop in a thread of its own, and a connection to the broker.  So make one per process, and
share it: it is safe to use from any thread.  It does not survive a fork: connect after it
(``worker_process_init`` in Celery, ``post_fork`` in gunicorn and uWSGI).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

import anyio
from anyio.from_thread import BlockingPortal

from wigwag.emitter import Emitter
from wigwag.errors import NotRunning
from wigwag.factory import create_emitter
from wigwag.messages import Emittable, MessageType, SocketMessage, SocketMessageLike

__all__ = ["BlockingEmitter", "connect"]

E = TypeVar("E", bound=Emitter)
R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")


class BlockingEmitter(Generic[E]):
    """:class:`~wigwag.Emitter`, blocking.  Made by :func:`connect`.

    What each call raises, and what its return means, stands on :class:`~wigwag.SocketEmitter`.  Besides,
    each raises NotRunning after :meth:`close`, and in a process that was forked from the one that
    connected.  A call that is interrupted (Ctrl-C) may still send.
    """

    def __init__(self, opening: AbstractAsyncContextManager[E]) -> None:
        """Enter ``opening`` in an event loop of its own; raises what that raises."""
        self._pid = os.getpid()
        self._gate = threading.Lock()
        self._is_closed = False
        opened: Future[tuple[BlockingPortal, E]] = Future()
        # A daemon: a process that forgot to close must end all the same, and loses nothing by it, since
        # each call waits until what it publishes was taken.
        self._thread = threading.Thread(
            target=_run, args=(opening, opened), name="wigwag emitter", daemon=True
        )
        self._thread.start()
        self._portal, self._emitter = opened.result()

    def close(self) -> None:
        """Finish what is being published, and end the thread.  Idempotent; in a forked process, nothing."""
        if os.getpid() != self._pid:
            return
        with self._gate:
            was_closed, self._is_closed = self._is_closed, True
        if not was_closed:
            self._portal.call(self._portal.stop)
        self._thread.join()  # a second caller, too, returns when it is closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def publish(self, topic: str, message: str | bytes, *, exclude: str | None = None) -> None:
        """Deliver a text or binary message to each socket of the topic, ``exclude`` excepted."""
        self._call(lambda: self._emitter.publish(topic, message, exclude=exclude))

    def send(self, socket_id: str, message: str | bytes | Emittable) -> None:
        """Deliver to one socket, on whichever node it hangs.  One that has gone is no error."""
        self._call(lambda: self._emitter.send(socket_id, message))

    def broadcast(self, message: str | bytes | Emittable, *, exclude: str | None = None) -> None:
        """Deliver to every socket of every node, ``exclude`` excepted."""
        self._call(lambda: self._emitter.broadcast(message, exclude=exclude))

    @overload
    def emit(self, message: Emittable, topic: str, *, exclude: str | None = None) -> None: ...
    @overload
    def emit(
        self, message: SocketMessageLike[T], topic: str, data: T, *, exclude: str | None = None
    ) -> None: ...
    @overload
    def emit(
        self,
        message: type[SocketMessage] | MessageType[Any],
        topic: str,
        data: Mapping[str, Any],
        *,
        exclude: str | None = None,
    ) -> None: ...
    def emit(self, message: Any, topic: str, data: Any = None, *, exclude: str | None = None) -> None:
        """Deliver a typed message to each socket of the topic, after seeing that its data fits."""
        self._call(lambda: self._emitter.emit(message, topic, data, exclude=exclude))

    def call(
        self,
        method: Callable[Concatenate[E, P], Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a method of the application's own emitter, and return what it returns.

        ::

            with connect(emitter=AppEmitter) as emitter:
                emitter.call(AppEmitter.incident_created, incident)
        """
        return self._call(lambda: method(self._emitter, *args, **kwargs))

    def _call(self, function: Callable[[], Awaitable[R]]) -> R:
        if os.getpid() != self._pid:
            raise NotRunning(
                "this process was forked from the one that connected: call wigwag.sync.connect() in it, "
                "after the fork"
            )

        async def run() -> R:
            return await function()

        with self._gate:  # whoever passes is at work before the portal is told to stop
            if self._is_closed:
                raise NotRunning("the emitter is closed: call wigwag.sync.connect() again")
            future = self._portal.start_task_soon(run)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # interrupted: don't leave it running
            raise


def _run(opening: AbstractAsyncContextManager[E], opened: Future[tuple[BlockingPortal, E]]) -> None:
    async def main() -> None:
        async with opening as emitter, BlockingPortal() as portal:
            opened.set_result((portal, emitter))
            await portal.sleep_until_stopped()

    try:
        anyio.run(main)
    except BaseException as exc:
        if opened.done():
            raise
        opened.set_exception(exc)


@overload
def connect(
    name: str | None = None, settings: object | None = None, *, allow_in_process: bool = False
) -> BlockingEmitter[Emitter]: ...
@overload
def connect(
    name: str | None = None,
    settings: object | None = None,
    *,
    emitter: type[E],
    allow_in_process: bool = False,
) -> BlockingEmitter[E]: ...
def connect(
    name: str | None = None,
    settings: object | None = None,
    *,
    emitter: type[Any] = Emitter,
    allow_in_process: bool = False,
) -> BlockingEmitter[Any]:
    """Connect to a provider, and return an emitter to use in ``with``, or to :meth:`~BlockingEmitter.close`.

    What the parameters mean, and which are read from the environment, stands on
    :func:`wigwag.create_emitter`.  It does not wait for the broker: the first publish does.

    Raises:
        SettingsError: a setting can't be used, or the provider is in-process, where nobody would hear.
    """
    return BlockingEmitter(create_emitter(name, settings, emitter=emitter, allow_in_process=allow_in_process))
