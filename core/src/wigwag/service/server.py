"""``wigwag serve``: the public and the internal server, in one event loop."""

from __future__ import annotations

import importlib.util
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace

import anyio

from wigwag.errors import WigwagError
from wigwag.provider.hosting import hosted
from wigwag.service.addresses import CannotServe, bind
from wigwag.service.served import (
    Access,
    Served,
    Server,
    announce,
    first_of,
    internal_server,
    load_and_log,
    warn_of_no_provider,
)
from wigwag.settings import CoreSettings, Listen, ServiceSettings


def serve(
    settings: ServiceSettings,
    core: CoreSettings,
    *,
    app: str | None = None,
    app_dir: str | None = None,
) -> None:
    """Run until SIGINT or SIGTERM: the stock service, or ``app``, and the internal port beside it.

    On a signal it drains first: sockets are closed with 1012, at a pace.  Then the public server stops; then the
    application's lifespan ends, with what is being published; then the internal server stops.  SIGINT leaves out the
    delay before; a second signal ends it at once.

    Raises:
        SettingsError: what is asked is not safe, or the application can't be imported.
        CannotServe: an address can't be listened on, or the application failed as it started.
        KeyboardInterrupt: a second signal ended it.
    """
    given = load_and_log(app, app_dir, settings)
    access = Access.of(settings, app)
    with ExitStack() as bound:
        settings, public, internal = bind_both(settings, bound)
        service = _Service(settings, Served(settings, core, access, name=app, app=given), access)
        use_uvloop = importlib.util.find_spec("uvloop") is not None
        anyio.run(service.run, public, internal, backend_options={"use_uvloop": use_uvloop})


def bind_both(
    settings: ServiceSettings, bound: ExitStack
) -> tuple[ServiceSettings, socket.socket, socket.socket]:
    """The public and the internal socket, and the settings with what they came to, where port 0 asked for any.

    Raises:
        CannotServe: an address is taken, or not this machine's.
    """
    public = bound.enter_context(bind(settings.listen, "WIGWAG_LISTEN", "--listen"))
    internal = bound.enter_context(
        bind(settings.internal_listen, "WIGWAG_INTERNAL_LISTEN", "--internal-listen")
    )
    return replace(settings, listen=_address(public), internal_listen=_address(internal)), public, internal


def _address(bound: socket.socket) -> Listen:
    return Listen(*bound.getsockname()[:2])


class _Service:
    """Two servers, one life."""

    def __init__(self, settings: ServiceSettings, served: Served, access: Access) -> None:
        self._settings = settings
        self._served = served
        self._access = access
        self._was_killed = False

    async def run(self, public_socket: socket.socket, internal_socket: socket.socket) -> None:
        """Start both, wait for a signal, stop both."""
        # Before all else: until then a Ctrl-C is asyncio's, which cancels what it finds, in the middle of the start.
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await self._run(public_socket, internal_socket, signals)

    async def _run(
        self,
        public_socket: socket.socket,
        internal_socket: socket.socket,
        signals: AsyncIterator[signal.Signals],
    ) -> None:
        hosted.set(self._served.providers)  # each provider that the application starts is added
        public = self._served.public_server()
        internal = internal_server(self._served.internal_app(), self._settings)
        error: WigwagError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._obey, signals, tasks.cancel_scope, public)
                tasks.start_soon(self._access.watch)
                tasks.start_soon(self._served.rebalance, public)
                await self._live(public, public_socket, internal, internal_socket)
                tasks.cancel_scope.cancel()
        except* CannotServe as group:
            error = self._served.watched.error or first_of(group)
        if error is not None:
            raise error
        if self._was_killed:
            raise KeyboardInterrupt

    async def _live(
        self,
        public: Server,
        public_socket: socket.socket,
        internal: Server,
        internal_socket: socket.socket,
    ) -> None:
        async with anyio.create_task_group() as inner:
            public_done = anyio.Event()

            async def serve_public() -> None:
                await public.serve([public_socket])
                public_done.set()

            inner.start_soon(serve_public)
            await public.listening.wait()
            inner.start_soon(internal.serve, [internal_socket])
            await internal.listening.wait()
            self._announce()
            await self._served.drain.run(public.server_state.connections)
            public.should_exit = True
            await public_done.wait()
            internal.should_exit = True

    async def _obey(
        self, signals: AsyncIterator[signal.Signals], everything: anyio.CancelScope, public: Server
    ) -> None:
        was_asked = False
        async for sent in signals:
            self._was_killed = was_asked
            if was_asked or not public.listening.is_set():
                everything.cancel()
            was_asked = True
            self._served.drain.begin(delay_s=0 if sent == signal.SIGINT else None)

    def _announce(self) -> None:
        announce(self._served.banner(), self._settings)
        if not self._served.has_provider:
            warn_of_no_provider(self._served.name)
