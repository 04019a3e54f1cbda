"""The endpoint, lifespan and emitter of an application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType, TracebackType
from typing import Any, Generic, Self

import anyio
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from typing_extensions import TypeVar

from wigwag.emitter import Emitter
from wigwag.errors import NotRunning, SettingsError, SocketError
from wigwag.factory import create_provider, load_core_settings
from wigwag.frames import check_close_code, fit_reason
from wigwag.interfaces import WebSocketProvider
from wigwag.logs import current_socket
from wigwag.provider.provider import Provider
from wigwag.sockets.application import Application
from wigwag.sockets.asgi import AsgiConnection
from wigwag.sockets.context import SocketContext
from wigwag.sockets.handlers import Guard, Route
from wigwag.sockets.limits import Limits
from wigwag.sockets.origin import check_origins, is_allowed
from wigwag.sockets.router import SocketRouter
from wigwag.sockets.session import Session
from wigwag.sockets.transport import EXTENSION, TakeOver, TransportConnection
from wigwag.wire.client import GOING_AWAY, OVERLOADED, REFUSED

logger: logging.Logger = logging.getLogger("wigwag.sockets")

_FOREIGN_ORIGINS_LOGGED = 20

V = TypeVar("V", default=None)
E = TypeVar("E", bound=Emitter, default=Emitter)


class SocketState(State, Generic[E]):
    """``request.state`` with what ``sockets.lifespan`` puts on it: ``Request[SocketState[AppEmitter]]``.

    For type checkers: at run time it is Starlette's own ``State``.
    """

    emitter: E


class _Later:
    """Stands for the provider that these Sockets will have, and passes on to it once it is there."""

    def __init__(self, sockets: Sockets[Any, Any]) -> None:
        self._sockets = sockets

    def __getattr__(self, name: str) -> Any:
        provider = self._sockets._provider
        if provider is not None:
            return getattr(provider, name)

        def refuse(*args: Any, **kwargs: Any) -> None:
            what = f"can't {name} to {args[0]!r}" if name == "publish" else f"can't {name}"
            if name == "emit":
                what = f"can't publish to {args[1]!r}"
            raise NotRunning(f"{what}: {_START}")

        return refuse


_START = (
    "these Sockets are not started. Give the application lifespan=sockets.lifespan, or enter `async with "
    "sockets:` in a lifespan of your own; the lifespan of a mounted sub-application never runs, so do it "
    "in the outermost one"
)


class Sockets(Generic[V, E]):
    """The WebSockets of an application: endpoint, lifespan and emitter.

    ::

        sockets = Sockets(upgrade=authenticate, routers=[router], emitter=AppEmitter)
        app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)

    ``Sockets[User, AppEmitter]``: what a socket's user is, and the emitter's class.
    """

    def __init__(
        self,
        provider: WebSocketProvider | None = None,
        *,
        upgrade: Callable[[HTTPConnection], Awaitable[V | None]] | None = None,
        routers: Sequence[SocketRouter[V]] | None = None,
        connection_guards: Sequence[Guard] | None = None,
        guards: Sequence[Guard] | None = None,
        open: Callable[[SocketContext[V, E]], Awaitable[None] | None] | None = None,
        message: Callable[[SocketContext[V, E], str | bytes], Awaitable[None] | None] | None = None,
        close: Callable[[SocketContext[V, E], int, str], Awaitable[None] | None] | None = None,
        ping: Callable[[SocketContext[V, E], bytes], Awaitable[None] | None] | None = None,
        pong: Callable[[SocketContext[V, E], bytes], Awaitable[None] | None] | None = None,
        drain: Callable[[SocketContext[V, E]], Awaitable[None] | None] | None = None,
        emitter: type[E] | None = None,
        user_id: Callable[[V], str | None] | None = None,
        limits: Limits | None = None,
        allowed_origins: Sequence[str] | None = None,
        subprotocols: Sequence[str] | None = None,
    ) -> None:
        """Nothing is started or read from the environment here.

        Args:
            provider: Several ``Sockets`` may share one.  None: one as the environment says
                (``WIGWAG_PROVIDER``), made at start.
            upgrade: ``async (HTTPConnection) -> user``, before the handshake is accepted.  None, or an
                exception: the socket is accepted and at once closed with 1008, since a browser can't see
                why a handshake fails; the reason is the text of a ``SocketError``, else "refused".
                ``HTTPException`` is that HTTP answer.
            routers: Where messages go by their type.
            connection_guards: Asked once a socket, before the routers' own.
            guards: Asked before every routed message, before the routers' own.
            open: ``(ctx)``, when the socket is connected.
            message: ``(ctx, message)``, for what no router handles; with no router, for everything.
            close: ``(ctx, code, reason)``, when it has gone; ``ctx.topics`` is still there.
            ping: ``(ctx, data)``, where the server tells of pings; ASGI servers do not.
            pong: ``(ctx, data)``, likewise.
            drain: ``(ctx)``, when all is sent that waited in a send buffer that had been full.
            emitter: The application's own emitter class.
            user_id: The id by which ``disconnect_user`` knows a user; by default a user that is a str.
            limits: What one socket may do, and cost.
            allowed_origins: Origins of web pages that may connect, besides those of the same host;
                ``["*"]`` for any.  None: what ``WIGWAG_ALLOWED_ORIGINS`` says.
            subprotocols: Those that the server speaks; the first that the client offers is chosen.

        Raises:
            TypeError: a handler or guard takes something else.
            ValueError: an origin that is none.
        """
        self._provider = provider
        self._given = provider
        self._upgrade = upgrade
        self._origins = None if allowed_origins is None else check_origins(allowed_origins)
        self._subprotocols = list(subprotocols or ())
        self._app = Application(
            routers=routers or (),
            connection_guards=connection_guards or (),
            guards=guards or (),
            handlers={
                "open": open,
                "message": message,
                "close": close,
                "ping": ping,
                "pong": pong,
                "drain": drain,
            },
            user_id=user_id,
            limits=limits or Limits(),
        )
        cls: Any = emitter or Emitter
        self._emitter: E = cls(_Later(self) if provider is None else provider)
        self._app.emitter = self._emitter
        self._entered = 0
        self._changing: anyio.Event | None = None
        self._foreign_origins: set[str] = set()

    @property
    def emitter(self) -> E:
        """The application's emitter.  It is there before start, and raises NotRunning until then."""
        return self._emitter

    async def get_emitter(self) -> E:
        """The emitter, as a FastAPI dependency: ``Annotated[AppEmitter, Depends(sockets.get_emitter)]``.

        Async, since FastAPI runs a sync dependency in a thread.
        """
        return self._emitter

    @property
    def provider(self) -> WebSocketProvider:
        """The provider.

        Raises:
            NotRunning: it comes from the environment, and these Sockets are not started.
        """
        if self._provider is None:
            raise NotRunning(_START)
        return self._provider

    @property
    def routes(self) -> Mapping[str, Route]:
        """What the routers handle, by message type; from now on it stays as it is.

        Raises:
            TypeError: two routers handle messages of one type.
        """
        return MappingProxyType(self._app.routes)

    @property
    def takes_raw(self) -> bool:
        """Whether there is a ``message`` handler, for what no router handles."""
        return self._app.on_message is not None

    # Lifecycle

    async def __aenter__(self) -> Self:
        """Start, with the provider, unless started.

        Raises:
            SettingsError: in the environment.
            TypeError: two routers handle messages of one type.
        """
        while self._changing is not None:  # another task starts or stops them
            await self._changing.wait()
        self._entered += 1
        if self._entered > 1:
            return self
        self._changing = anyio.Event()
        try:
            self._app.is_draining = False
            self._app.routes  # noqa: B018 - raises where two routers handle one type
            provider = self._provider = create_provider() if self._given is None else self._given
            self._allowed_origins()
            await provider.__aenter__()
        except BaseException:
            self._entered -= 1
            self._provider = self._given
            raise
        finally:
            self._changing.set()
            self._changing = None
        if isinstance(provider, Provider):
            self._app.counters = provider.counters
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the sockets with 1012, run their close handlers, and let go of the provider."""
        self._entered -= 1
        if self._entered:
            return
        self._changing = anyio.Event()
        try:
            with anyio.CancelScope(shield=True):  # bounded: both have their limits
                await self._app.close_sessions(GOING_AWAY, "going away")
                await self.provider.__aexit__(exc_type, exc, traceback)
        finally:
            self._changing.set()
            self._changing = None

    async def drain(self, *, per_s: float = 500.0, limit_s: float = 20.0) -> None:
        """Send every socket away with 1012, so many a second, while everything else goes on; return when all are told.

        For servers that close all in one instant when they stop: call it before, from a route that whoever stops the
        server asks.  Who connects from then on is closed at once, with 1012 too, until these Sockets are started
        anew.  ``wigwag serve`` does it by itself.

        Args:
            per_s: More where they would not all be closed in time.
            limit_s: Within how many seconds all are closed.  Cancelled, it leaves the rest connected.
        """
        await self._app.drain(per_s, limit_s)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncGenerator[dict[str, Any]]:
        """Start on entering, stop on leaving; yields what is to be on ``request.state``.

        For ``Starlette(lifespan=sockets.lifespan)``, or inside a lifespan of your own::

            async with sockets.lifespan(app) as state:
                yield {**state, "db": db}
        """
        async with self:
            yield {"emitter": self._emitter}

    # The endpoint

    def route(self, path: str, name: str | None = None) -> WebSocketRoute:
        """The route to give to Starlette."""
        return WebSocketRoute(path, _Endpoint(self), name=name)

    async def _endpoint(self, websocket: WebSocket) -> None:
        self._require_running()
        if not is_allowed(websocket, self._allowed_origins()):
            self._app.counters.refused["origin"] += 1
            self._log_foreign_origin(
                websocket.headers["origin"][:200], websocket.headers.get("host", "")[:200]
            )
            await _deny(websocket, 403, "this origin may not connect")
            return
        user: Any = None
        reason = "refused"
        if self._upgrade is not None:
            try:
                user, is_late = await _within(self._app.limits.upgrade_timeout_s, self._upgrade, websocket)
                if is_late:
                    self._app.counters.refused["upgrade timeout"] += 1
                    logger.warning("the upgrade hook took longer than its limit: closed with 1013")
                    await self._accept_and_close(websocket, OVERLOADED, "try again later")
                    return
            except HTTPException as exc:
                self._app.counters.refused["upgrade"] += 1
                await _deny(websocket, exc.status_code, exc.detail, dict(exc.headers or {}))
                return
            except SocketError as exc:
                reason = exc.text
            except Exception:
                logger.exception("the upgrade hook failed: the socket is refused")
            if user is None:
                await self.refuse(websocket, reason=reason)
                return
            try:
                self._require_running()
            except NotRunning:  # stopped while the hook ran
                await self._accept_and_close(websocket, GOING_AWAY, "going away")
                return
        await self.serve(websocket, user)

    def _log_foreign_origin(self, origin: str, host: str) -> None:
        """Once per origin, and of few: they are a stranger's words, and counted anyway."""
        if origin not in self._foreign_origins and len(self._foreign_origins) < _FOREIGN_ORIGINS_LOGGED:
            self._foreign_origins.add(origin)
            logger.warning(
                "a page of %r may not connect to %r: name its origin in WIGWAG_ALLOWED_ORIGINS, or in "
                "Sockets(allowed_origins=…), if it is yours; more from there are counted, not logged",
                origin,
                host,
            )

    async def serve(self, websocket: WebSocket, user: V) -> None:
        """Serve a socket from an endpoint of your own, which has decided that it may connect.

        It may return before the socket closes, where the server lets us take the connection over: clean
        up in the ``close`` handler.

        Raises:
            NotRunning: these Sockets, or the provider that they share, are not started.
        """
        provider = self._require_running()
        app = self._app
        if app.is_draining:
            await self._accept_and_close(websocket, GOING_AWAY, "going away")
            return
        session = Session(app, provider, user)
        current_socket.set(session.id)  # for log lines, its handlers' too
        if not app.may_have_another(session.user_id):
            app.counters.refused["sockets per user"] += 1
            await self._accept_and_close(websocket, OVERLOADED, "too many connections of this user")
            return
        subprotocol = self._choose_subprotocol(websocket)
        accepted = False
        try:
            accepted = await _accept(websocket, subprotocol)
        finally:
            if not accepted:
                app.has_one_less(session.user_id)
        if not accepted:
            return
        scope = websocket.scope
        client = None if scope.get("client") is None else (scope["client"][0], scope["client"][1])
        server: TakeOver | None = (scope.get("extensions") or {}).get(EXTENSION)
        if server is None:
            connection = AsgiConnection(websocket, app.limits, app.counters, client, subprotocol)
            session.connection = connection
            app.sessions.add(session)
            await connection.run(session)
            return
        taken = TransportConnection(
            server.transport, session, app.limits, app.counters, client=client, subprotocol=subprotocol
        )
        session.connection = taken
        app.sessions.add(session)
        server.take_over(taken)

    async def refuse(self, websocket: WebSocket, code: int = REFUSED, reason: str = "refused") -> None:
        """Accept the socket and close it at once: a browser's client then knows not to try again.

        Raises:
            ValueError: a code that can't be sent.
        """
        check_close_code(code)
        self._app.counters.refused["upgrade"] += 1
        await self._accept_and_close(websocket, code, reason)

    async def _accept_and_close(self, websocket: WebSocket, code: int, reason: str) -> None:
        if await _accept(websocket, self._choose_subprotocol(websocket)):
            with suppress(WebSocketDisconnect, OSError):  # the client did not wait for it
                await websocket.close(code, fit_reason(reason))

    def _allowed_origins(self) -> tuple[str, ...]:
        if self._origins is None:
            try:
                self._origins = check_origins(load_core_settings().allowed_origins)
            except ValueError as exc:
                variable = "WIGWAG_ALLOWED_ORIGINS"
                raise SettingsError(f"{variable}: {exc}", variable=variable) from None
        return self._origins

    def _choose_subprotocol(self, websocket: WebSocket) -> str | None:
        offered = websocket.scope.get("subprotocols") or ()
        return next((name for name in offered if name in self._subprotocols), None)

    def _require_running(self) -> WebSocketProvider:
        provider = self.provider
        if isinstance(provider, Provider):
            if not provider.is_running:
                provider.new_socket_id()  # raises NotRunning, saying what to write
            self._app.counters = provider.counters
        return provider


async def _within(
    limit_s: float, hook: Callable[[HTTPConnection], Awaitable[Any]], connection: HTTPConnection
) -> tuple[Any, bool]:
    """What the hook returns, and whether its time was over before."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio
        with anyio.move_on_after(limit_s):
            return await hook(connection), False
        return None, True
    timeout = asyncio.timeout(limit_s)  # at a third of what a cancel scope costs, a tenth of a handshake
    try:
        async with timeout:
            return await hook(connection), False
    except TimeoutError:
        if not timeout.expired():  # the hook's own
            raise
        return None, True


class _Endpoint:
    """Our endpoint as an ASGI application: around a function Starlette puts its handling of HTTPException, which is a
    tenth of a handshake, and ours to handle."""

    def __init__(self, sockets: Sockets[Any, Any]) -> None:
        self.sockets = sockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.sockets._endpoint(WebSocket(scope, receive, send))


def sockets_of(route: WebSocketRoute) -> Sockets[Any, Any] | None:
    """The Sockets that ``sockets.route(…)`` made a route of."""
    return route.endpoint.sockets if isinstance(route.endpoint, _Endpoint) else None


async def _accept(websocket: WebSocket, subprotocol: str | None) -> bool:
    """Accept the handshake, unless it is; False where the client has gone meanwhile."""
    if websocket.application_state is WebSocketState.CONNECTING:
        try:
            await websocket.accept(subprotocol)
        except OSError:  # ASGI, "Disconnected Client - send exception"
            return False
    return True


async def _deny(
    websocket: WebSocket, status: int, detail: object, headers: dict[str, str] | None = None
) -> None:
    """A true HTTP refusal, where the server can send one; else its 403."""
    if "websocket.http.response" in (websocket.scope.get("extensions") or {}):
        response: Response
        if isinstance(detail, str):
            response = PlainTextResponse(detail, status_code=status, headers=headers)
        else:  # FastAPI's HTTPException takes any
            response = JSONResponse({"detail": detail}, status_code=status, headers=headers)
        await websocket.send_denial_response(response)
    else:
        await websocket.close()
