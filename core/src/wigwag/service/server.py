"""``wigwag serve``: the public and the internal server, in one event loop."""

from __future__ import annotations

import importlib.util
import logging
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final

import anyio
import uvicorn
from starlette.types import ASGIApp

from wigwag.errors import WigwagError
from wigwag.provider import Provider
from wigwag.provider.hosting import hosted
from wigwag.service.access import ApiKeys, api_keys_of
from wigwag.service.addresses import CannotServe, bind, check_exposure, is_local
from wigwag.service.app import create_app
from wigwag.service.banner import banner
from wigwag.service.capacity import capacity, raise_file_limit
from wigwag.service.clients import Clients, clients_of
from wigwag.service.internal import create_internal_app
from wigwag.service.loading import Watched, load_app
from wigwag.service.publishing import running
from wigwag.service.refusals import Refusals
from wigwag.settings import CoreSettings, Listen, ServiceSettings
from wigwag.tokens.files import watch
from wigwag.uvicorn import WebSocketProtocol
from wigwag.uvicorn.http import Gate, limited_http

logger: logging.Logger = logging.getLogger("wigwag.service")

#: How long requests and sockets have to end once the server stops. In seconds.
_GRACE_S: Final = 5
#: What a message of an application's own may be at most, whatever its limits; uvicorn's default.
_APP_MESSAGE_BYTES: Final = 16 * 1024 * 1024


def serve(
    settings: ServiceSettings,
    core: CoreSettings,
    *,
    app: str | None = None,
    app_dir: str | None = None,
) -> None:
    """Run until SIGINT or SIGTERM: the stock service, or ``app``, and the internal port beside it.

    On a signal the public server stops first, closing its sockets with 1012; then the application's lifespan
    ends, with what is being published; then the internal server stops.  A second signal ends it at once.

    Raises:
        SettingsError: what is asked is not safe, or the application can't be imported.
        CannotServe: an address can't be listened on, or the application failed as it started.
        KeyboardInterrupt: a second signal ended it.
    """
    refusals = Refusals()
    clients = clients_of(settings, refusals.tokens) if app is None else None
    api_keys = api_keys_of(settings)
    check_exposure(settings, is_open=app is None and clients is None, has_key=api_keys is not None)
    given = load_app(app, app_dir) if app else None
    _set_up_logging(settings.log_level)
    with ExitStack() as bound:
        public = bound.enter_context(bind(settings.listen, "WIGWAG_LISTEN", "--listen"))
        internal = bound.enter_context(
            bind(settings.internal_listen, "WIGWAG_INTERNAL_LISTEN", "--internal-listen")
        )
        # What it came to, where port 0 asked for any.
        settings = replace(settings, listen=_address(public), internal_listen=_address(internal))
        only_local = clients is None and is_local(settings.listen) and not settings.insecure
        served = given or create_app(
            settings, core, clients=clients, only_local=only_local, has_stats=clients is None
        )
        service = _Service(settings, app, served, clients=clients, api_keys=api_keys, refusals=refusals)
        use_uvloop = importlib.util.find_spec("uvloop") is not None
        anyio.run(service.run, public, internal, backend_options={"use_uvloop": use_uvloop})


def _address(bound: socket.socket) -> Listen:
    return Listen(*bound.getsockname()[:2])


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals alone and says when it listens."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                **options,
            )
        )
        self.listening = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # how uvicorn says that the lifespan failed
            raise CannotServe("the application failed as it started") from None
        except OSError as exc:  # taken between bind and listen
            raise CannotServe(f"can't listen: {(exc.strerror or str(exc)).lower()}") from None
        if self.lifespan.should_exit:  # how it said so before 0.40
            raise CannotServe("the application failed as it started")
        self.listening.set()


class _Service:
    """Two servers, one life."""

    def __init__(
        self,
        settings: ServiceSettings,
        name: str | None,
        app: ASGIApp,
        *,
        clients: Clients | None,
        api_keys: ApiKeys | None,
        refusals: Refusals,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._api_keys = api_keys
        self._refusals = refusals
        max_sockets, spare_connections = capacity(settings, raise_file_limit())
        self._gate = Gate(
            max_sockets=max_sockets,
            spare_connections=spare_connections,
            handshakes_per_s=settings.handshakes_per_s,
            head_timeout_s=settings.handshake_timeout_s,
            refused=refusals.connections,
        )
        self._name = name
        self._providers: list[Provider] = []
        self._app = app
        self._watched = Watched(app)
        self._was_killed = False

    async def run(self, public_socket: socket.socket, internal_socket: socket.socket) -> None:
        """Start both, wait for a signal, stop both."""
        hosted.set(self._providers)  # each provider that the application starts is added
        public = _Server(
            self._watched,
            http=limited_http(self._gate),
            # The stock service must start; an application need not know lifespans.
            lifespan="auto" if self._name else "on",
            ws=WebSocketProtocol,
            ws_max_size=_APP_MESSAGE_BYTES if self._name else self._settings.message_bytes,
            proxy_headers=False,  # X-Forwarded-For is any client's to write, until a setting says whose counts
        )
        internal = _Server(
            create_internal_app(
                self._providers, self._api_keys, refusals=self._refusals, obstacles=self._obstacles
            ),
            http=limited_http(Gate(head_timeout_s=self._settings.handshake_timeout_s)),
            lifespan="off",
            ws="none",
            proxy_headers=False,  # who the peer is decides what it may do
        )
        error: WigwagError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._obey_signals, tasks.cancel_scope, public)
                if self._api_keys is not None and self._api_keys.file is not None:
                    tasks.start_soon(watch, [self._api_keys.file])
                await self._live(public, public_socket, internal, internal_socket)
                tasks.cancel_scope.cancel()
        except* CannotServe as group:
            error = self._watched.error or _first(group)
        if error is not None:
            raise error
        if self._was_killed:
            raise KeyboardInterrupt

    def _obstacles(self) -> Sequence[str]:
        found = [] if self._clients is None else self._clients.obstacles
        if self._gate.is_full:
            found.append(f"full: {self._gate.sockets} sockets (WIGWAG_MAX_CONNECTIONS)")
        return found

    async def _live(
        self,
        public: _Server,
        public_socket: socket.socket,
        internal: _Server,
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
            await public_done.wait()
            internal.should_exit = True

    async def _obey_signals(self, everything: anyio.CancelScope, public: _Server) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                self._was_killed = public.should_exit
                if self._was_killed or not public.listening.is_set():
                    everything.cancel()
                public.should_exit = True

    def _announce(self) -> None:
        providers = running(self._providers)
        lines = banner(
            self._settings.listen,
            self._settings.internal_listen,
            providers,
            app=self._name,
            served=self._app,
            has_key=self._api_keys is not None,
            asks_for_tokens=self._clients is not None,
            is_local=is_local(self._settings.listen),
        )
        sys.stderr.write(lines)
        sys.stderr.flush()
        if not providers:
            logger.warning(
                "%s has started no provider: the internal API answers 503. Give it lifespan=sockets.lifespan",
                self._name,
            )


def _first(group: BaseExceptionGroup[CannotServe]) -> CannotServe:
    exc: BaseException = group
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    assert isinstance(exc, CannotServe)
    return exc


def _set_up_logging(level: str) -> None:
    """Log to standard error, unless the application has set up its own way."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("wigwag").setLevel(level.upper())
    if level != "debug":
        # What uvicorn says at info, twice, is said by the banner; and of a failed start the error tells.
        logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger("uvicorn.error").addFilter(_is_no_repetition)


def _is_no_repetition(record: logging.LogRecord) -> bool:
    return record.getMessage() != "Application startup failed. Exiting."
