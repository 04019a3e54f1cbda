"""The stock service: clients join topics, backends publish; and a page to see it work."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET, Raw, UnsetType
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wigwag.errors import Forbidden, InvalidMessage, SocketError
from wigwag.interfaces import WebSocketProvider
from wigwag.messages import Authenticate, Heartbeat, ServerMessage
from wigwag.service.access import RequireLocalName
from wigwag.service.clients import SUBPROTOCOL, Clients
from wigwag.service.messages import ToTopic, prepare_one
from wigwag.service.stats import Stats
from wigwag.settings import CoreSettings, ServiceSettings
from wigwag.sockets import Limits, MessageRegistry, SocketContext, Sockets
from wigwag.wire.client import VALIDATION_FAILED

STATIC: Final = Path(__file__).parent / "static"

_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Publish(ServerMessage, name="publish"):
    """A client that may publishes: ``{"topic", "name", "data"}`` or ``{"topic", "text"}``."""

    topic: str
    name: str | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    text: str | UnsetType = UNSET


def create_app(
    settings: ServiceSettings | None = None,
    core: CoreSettings | None = None,
    *,
    clients: Clients | None = None,
    provider: WebSocketProvider | None = None,
    only_local: bool = True,
    has_stats: bool = True,
) -> Starlette:
    """The public application of the stock service.

    Args:
        settings: Limits of clients, and the internal address for the page to show.
        core: Which origins may connect.
        clients: Who decides what clients may do, by their tokens.  None: development mode, in which anyone may join
            and publish.
        provider: None: as the environment says, made at start.
        only_local: Answer only requests to a name of this machine; a page elsewhere could otherwise reach
            a service that listens on loopback, by DNS rebinding.
        has_stats: Whether clients may ask for the node's numbers, and the names of its topics: where there are tokens,
            those whose token says so; else every one.
    """
    settings = settings or ServiceSettings()
    limits = Limits(
        message_bytes=settings.message_bytes,
        messages_per_s=settings.messages_per_s,
        topics=settings.topics_per_socket,
        joins_per_s=settings.joins_per_s,
        sockets_per_user=settings.connections_per_user,
    )
    allowed_origins = (core or CoreSettings()).allowed_origins
    messages = _messages(clients)
    stats = Stats(lambda: sockets.provider, None if clients is None else clients.may_watch)
    if has_stats:
        stats.add_to(messages)
    sockets: Sockets[Any, Any]
    if clients is None:
        sockets = Sockets(
            provider,
            routers=[messages],
            limits=limits,
            allowed_origins=allowed_origins,
            subprotocols=[SUBPROTOCOL],  # a browser that offers its token so is to be agreed with here too
        )
    else:
        sockets = Sockets(
            provider,
            upgrade=clients.upgrade,
            routers=[messages],
            open=clients.opened,
            close=clients.closed,
            user_id=lambda client: client.grant.user,
            limits=limits,
            allowed_origins=allowed_origins,
            subprotocols=[SUBPROTOCOL],
        )

    async def info(request: Request) -> Response:
        """What the page has to know."""
        return JSONResponse(
            {
                "publishUrl": f"{url_of(settings.internal_listen)}/api/publish",
                "needsKey": settings.asks_for_key,
                "needsToken": clients is not None,
            }
        )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            if clients is not None:
                await stack.enter_async_context(clients.running())
            state = await stack.enter_async_context(sockets.lifespan(app))
            await stack.enter_async_context(stats.running())
            yield state

    middleware = [Middleware(_SecurityHeaders)]
    if only_local:
        middleware.append(Middleware(RequireLocalName))
    return Starlette(
        routes=[
            sockets.route("/ws"),
            Route("/", _page),
            Route("/info", info),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=middleware,
        lifespan=lifespan,
    )


def url_of(address: tuple[str, int], scheme: str = "http") -> str:
    """The URL at which this machine reaches an address that is listened on."""
    host, port = address
    if host in ("", "0.0.0.0", "::"):  # every address, so loopback too
        host = "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def _messages(clients: Clients | None) -> MessageRegistry[Any]:
    async def publish(ctx: SocketContext[Any], message: Publish) -> None:
        if clients is not None and not clients.may_publish(ctx, message.topic):
            raise Forbidden
        outgoing = ToTopic(topic=message.topic, name=message.name, data=message.data, text=message.text)
        try:
            _, payload = prepare_one(outgoing)
        except InvalidMessage as exc:
            raise SocketError(VALIDATION_FAILED, exc.details) from None
        await ctx.emitter.publish(message.topic, payload)

    async def heartbeat(ctx: SocketContext[Any], message: Heartbeat) -> dict[str, Any]:
        return {"timestamp": message.timestamp}

    registry = MessageRegistry[Any]().on(Heartbeat, heartbeat).on(Publish, publish)
    if clients is None:
        return registry.rooms(anyone=True).on(Authenticate, _authenticate_nobody)
    clients.add_to(registry)
    return registry.rooms(authorize=clients.may_join)


def _authenticate_nobody(ctx: SocketContext[Any], message: Authenticate) -> dict[str, Any]:
    """In development mode every token is as good as none."""
    return {"user": None, "expiresInS": None, "left": []}


class _SecurityHeaders:
    """Middleware: on every answer, of the page or not, what keeps a browser strict."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        await self._app(scope, receive, send_strictly)
