"""What one process serves, whoever accepts its connections: an application, those who may use it, those refused."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, cast

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from wigwag.logs import ConsoleFormatter, ContextFilter, JsonFormatter
from wigwag.provider import Provider
from wigwag.provider.hosting import hosted
from wigwag.service.access import ApiKeys, api_keys_of
from wigwag.service.addresses import CannotServe, check_exposure, is_local
from wigwag.service.app import create_app
from wigwag.service.banner import banner
from wigwag.service.capacity import capacity, raise_file_limit
from wigwag.service.clients import Clients, clients_of
from wigwag.service.draining import GRACE_S, Drain, SendsElsewhere
from wigwag.service.internal import create_internal_app
from wigwag.service.loading import Watched, load_app
from wigwag.service.publishing import running
from wigwag.service.rebalancing import Rebalancing
from wigwag.service.refusals import Refusals
from wigwag.settings import CoreSettings, ServiceSettings
from wigwag.tokens.files import watch
from wigwag.uvicorn import WebSocketProtocol
from wigwag.uvicorn.http import Gate, limited_http

logger: logging.Logger = logging.getLogger("wigwag.service")

#: What a message of an application's own may be at most, whatever its limits; uvicorn's default.
_APP_MESSAGE_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Access:
    """Who may do what, and who was refused."""

    #: Clients of the stock service that bring tokens; None: it is open, or there is an application.
    clients: Clients | None
    api_keys: ApiKeys | None
    refusals: Refusals

    @classmethod
    def of(cls, settings: ServiceSettings, app: str | None) -> Self:
        """As the settings say; ``app`` is the user's application, which decides about its clients itself.

        Raises:
            SettingsError: they can't be used, or strangers could publish.
        """
        check_exposure(settings, stock=app is None)
        refusals = Refusals()
        clients = clients_of(settings, refusals.tokens) if app is None else None
        if app is not None and settings.asks_for_tokens:
            logger.warning(
                "keys for tokens are the stock service's: who may connect to %s, its upgrade= says", app
            )
        return cls(clients, api_keys_of(settings), refusals)

    async def watch(self) -> None:
        """Look at the files that keys stand in, until cancelled."""
        if self.api_keys is not None and self.api_keys.file is not None:
            await watch([self.api_keys.file])


class Served:
    """One application, and what the internal port says of it."""

    def __init__(
        self,
        settings: ServiceSettings,
        core: CoreSettings,
        access: Access,
        *,
        name: str | None = None,
        app: ASGIApp | None = None,
    ) -> None:
        """``name`` and ``app`` are the user's application; without one it is the stock service.

        ``settings`` have the addresses that are listened on.
        """
        self._settings = settings
        self._access = access
        self.name = name
        self._max_sockets, spare_connections = capacity(settings, raise_file_limit())
        self._gate = Gate(
            max_sockets=self._max_sockets,
            spare_connections=spare_connections,
            handshakes_per_s=settings.handshakes_per_s,
            head_timeout_s=settings.handshake_timeout_s,
            refused=access.refusals.connections,
        )
        clients = access.clients
        only_local = clients is None and is_local(settings.listen) and not settings.insecure
        self._app = app or create_app(settings, core, clients=clients, only_local=only_local)
        #: Passes everything on to the application.
        self.watched: Watched = Watched(self._app)
        #: Those that the application has started.
        self.providers: list[Provider] = []
        self.drain: Drain = Drain(settings, self._gate, self.providers)

    def public_server(self) -> Server:
        """The server of the public port."""
        has_app = self.name is not None
        return Server(
            SendsElsewhere(self.watched, self.drain),
            http=limited_http(self._gate),
            # The stock service must start; an application need not know lifespans.
            lifespan="auto" if has_app else "on",
            ws=WebSocketProtocol,
            ws_max_size=_APP_MESSAGE_BYTES if has_app else self._settings.message_bytes,
            proxy_headers=False,  # X-Forwarded-For is any client's to write, until a setting says whose counts
        )

    async def rebalance(self, server: Server) -> None:
        """Take part in the fleet's rebalancing, if that is wished, until cancelled; the server is the public one."""
        if self._settings.rebalance:
            await server.listening.wait()
            await Rebalancing(self._settings, self.providers).run(server.server_state.connections)

    def internal_app(self) -> Starlette:
        """The application of the internal port."""
        return create_internal_app(
            self.providers,
            self._access.api_keys,
            refusals=self._access.refusals,
            obstacles=self._obstacles,
            unready_after_s=self._settings.unready_after_s,
            max_sockets=self._max_sockets,
            drain=self.drain,
        )

    def _obstacles(self) -> Sequence[str]:
        found = ["draining"] if self.drain.is_draining else []
        found += [] if self._access.clients is None else self._access.clients.obstacles
        if self._gate.is_full:
            found.append(f"full: {self._gate.sockets} sockets (WIGWAG_MAX_CONNECTIONS)")
        return found

    @property
    def silent(self) -> int:
        """How many connections have not said yet what they want."""
        return self._gate.silent

    @property
    def has_provider(self) -> bool:
        """Whether the application has started one."""
        return bool(running(self.providers))

    def banner(self, workers: int | None = None) -> str:
        """What is printed when it listens; ``workers``, where this is one of so many processes."""
        return banner(
            self._settings.listen,
            self._settings.internal_listen,
            running(self.providers),
            app=self.name,
            served=self._app,
            has_key=self._access.api_keys is not None,
            asks_for_tokens=self._access.clients is not None,
            is_local=is_local(self._settings.listen),
            workers=workers,
        )


def internal_server(app: ASGIApp, settings: ServiceSettings) -> Server:
    """The server of the internal port."""
    return Server(
        app,
        http=limited_http(Gate(head_timeout_s=settings.handshake_timeout_s)),
        lifespan="off",
        ws="none",
        proxy_headers=False,  # who the peer is decides what it may do
    )


class Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals alone and says when it listens."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
                **options,
            )
        )
        self.listening: anyio.Event = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """The signals are left to whoever runs the server."""
        yield

    def create_protocol(self) -> asyncio.Protocol:
        """What serves one connection that somebody else has accepted."""
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and listen on these.  Raises CannotServe."""
        try:
            await super().startup(sockets)
        except SystemExit:  # how uvicorn says that the lifespan failed
            raise CannotServe("the application failed as it started") from None
        except OSError as exc:  # taken between bind and listen
            raise CannotServe(f"can't listen: {(exc.strerror or str(exc)).lower()}") from None
        if self.lifespan.should_exit:  # how it said so before 0.40
            raise CannotServe("the application failed as it started")
        self.listening.set()


def warn_of_no_provider(app: str | None) -> None:
    """Say that nothing can be published."""
    logger.warning(
        "%s has started no provider: the internal API answers 503. Give it lifespan=sockets.lifespan", app
    )


def first_of(group: BaseExceptionGroup[CannotServe]) -> CannotServe:
    """The first that is in it, however deep."""
    exc: BaseException = group
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    assert isinstance(exc, CannotServe)
    return exc


def set_up_logging(settings: ServiceSettings, worker: int | None = None) -> None:
    """Log to standard error, unless the application has set up its own way; ``worker`` is the number of this one."""
    level = settings.log_level
    handler = logging.StreamHandler()
    handler.addFilter(ContextFilter(node=_only_node))
    if settings.log_format == "json":
        handler.setFormatter(JsonFormatter({} if worker is None else {"worker": worker}))
    else:
        who = "" if worker is None else f"worker {worker} "
        handler.setFormatter(ConsoleFormatter(f"%(asctime)s %(levelname)s {who}%(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    if settings.log_format == "json":
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
    logging.getLogger("wigwag").setLevel(level.upper())
    if level != "debug":
        # What uvicorn says at info, twice, is said by the banner; and of a failed start the error tells.
        logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger("uvicorn.error").addFilter(_is_no_repetition)


def load_and_log(
    app: str | None, app_dir: str | None, settings: ServiceSettings, worker: int | None = None
) -> ASGIApp | None:
    """Import the application, if there is one, and set up logging then, since it may have done so.

    Raises SettingsError where it can't be imported.
    """
    failures: list[BaseException] = []
    try:
        return load_app(app, app_dir, failures.append) if app else None
    finally:
        set_up_logging(settings, worker)
        for exc in failures:
            if settings.log_format == "json":
                logger.error("%s can't be imported", app, exc_info=exc)
            else:
                traceback.print_exception(exc)


def _log_uncaught(kind: type[BaseException], exc: BaseException, found: TracebackType | None) -> None:
    logger.critical("the process ends, since this was not caught", exc_info=(kind, exc, found))


def _only_node() -> str | None:
    """The tag of the node that this process is, where it is but one."""
    tags = [provider.node.tag for provider in running(hosted.get() or ()) if provider.node is not None]
    return tags[0] if len(tags) == 1 else None


def announce(banner: str, settings: ServiceSettings) -> None:
    """Say that it listens: to people as they stand before it, or as a line among the others."""
    if settings.log_format == "json":
        logger.info(" | ".join(line.strip() for line in banner.splitlines()))
    else:
        sys.stderr.write(banner)
        sys.stderr.flush()


def _is_no_repetition(record: logging.LogRecord) -> bool:
    return record.getMessage() != "Application startup failed. Exiting."
