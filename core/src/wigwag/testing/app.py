"""An application under test: started, with clients in memory."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack
from urllib.parse import unquote, urlsplit

import anyio

from wigwag.errors import NotRunning, SettingsError
from wigwag.provider import Provider
from wigwag.provider.hosting import Substitute, substitute
from wigwag.testing.asgi import VERSIONS, App, AppWebSocket, Lifespan, Receive, Scope, Send
from wigwag.testing.connection import AppConnection, SocketOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx2 as httpx

    from wigwag.client.session import Url


class AppClient:
    """Runs an ASGI application for a test, with WebSockets and HTTP requests in memory: no ports, no threads.

    ::

        async with AppClient(app) as client:
            ann = await client.connect("/ws?token=t-ann")
            await ann.request(Say(text="hi"))
            said = await ann.expect(Said)

    ``async with`` runs the application's lifespan; at its end connections are closed, and the application is
    stopped.  It may be entered in one task and left in another, as fixtures of pytest-asyncio are, and runs
    on asyncio and trio.
    """

    def __init__(
        self,
        app: App,
        *,
        provider: Provider | None = None,
        timeout_s: float = 2.0,
        lifespan_timeout_s: float = 10.0,
        base_url: str = "ws://testserver",
        address: tuple[str, int] = ("127.0.0.1", 50000),
    ) -> None:
        """Nothing is started here.

        Args:
            app: Starlette, FastAPI, or any ASGI application.
            provider: Takes the place of the one that the application would make from the environment, as a
                :class:`FakeProvider` does; for ``Sockets()`` and ``create_emitter()`` without a name.
            timeout_s: How long what comes is waited for, unless a call says otherwise.
            lifespan_timeout_s: How long the application has to start, and to stop.
            base_url: Of the server, as the application sees it.
            address: The client's, as the application sees it.
        """
        self._given = app
        self._substitute = None if provider is None else Substitute(provider)
        self._timeout_s = timeout_s
        self._lifespan_timeout_s = lifespan_timeout_s
        self._base_url = base_url
        self._address = address
        self._lifespan: Lifespan | None = None
        self._connections: list[AppConnection] = []
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Start the application.

        Raises:
            TimeoutError: it has not started in time.
            SettingsError: a ``provider`` was given, and the application asked for none.
            Exception: what its lifespan raised.
        """
        if self._lifespan is not None:
            raise RuntimeError("this AppClient is in use: make another")
        self._lifespan = Lifespan(self.asgi, self._lifespan_timeout_s)
        try:
            await self._lifespan.start()
        except BaseException:
            self._lifespan = None
            raise
        if self._substitute is not None and not self._substitute.was_used:
            await self.stop()
            raise SettingsError(
                "the application did not ask for a provider when it started: it has one of its own "
                "(Sockets(provider), create_provider() at import), or no lifespan that starts its Sockets"
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections, and stop the application."""
        try:
            async with anyio.create_task_group() as tasks:
                for connection in self._connections:
                    tasks.start_soon(connection.close)
        finally:
            with anyio.CancelScope(shield=True):  # bounded: each step has its limit
                await self.stop()
                for connection in self._connections:
                    await connection._closed()
                self._connections.clear()
                if self._http is not None:
                    await self._http.aclose()
                    self._http = None

    async def stop(self) -> None:
        """Stop the application, as a server does before a deploy: its sockets are closed with 1012.

        At the end of ``async with`` it is stopped anyway.  Raises as entering does.
        """
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.stop()

    # WebSockets

    async def connect(
        self,
        path: Url = "/ws",
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        **options: Unpack[SocketOptions],
    ) -> AppConnection:
        """A client that is connected: the application has let it in.

        ``path`` may have a query, ``/ws?token=t``; or be a function that returns one, asked before each attempt.

        Raises:
            ConnectionRefused: closed with 1008, or answered with 401 or 403; ``code`` says which.
            ConnectionClosed: let in, and closed at once with another code.
            ConnectFailed: another HTTP answer, no answer in time, or the application raised, which is the cause.
            NotRunning: the application was not started.
        """
        connection = self.socket(path, headers=headers, subprotocols=subprotocols, **options)
        await connection.connect()
        return connection

    def socket(
        self,
        path: Url = "/ws",
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        **options: Unpack[SocketOptions],
    ) -> AppConnection:
        """A client that is not connected yet: to be given handlers first, or to code that takes a SocketClient.

        Raises:
            NotRunning: the application was not started.
        """
        if self._lifespan is None:
            raise NotRunning("the application is not started: async with AppClient(app) as client")
        url = _Absolute(path, self._base_url)
        connection = AppConnection(
            url if callable(path) else url.of(path),
            self._dial,
            self._timeout_s,
            headers=headers,
            subprotocols=subprotocols,
            **options,
        )
        self._connections.append(connection)
        return connection

    def _dial(self, url: str, headers: Mapping[str, str], subprotocols: Sequence[str]) -> AppWebSocket:
        parts = urlsplit(url)
        sent = {"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}}
        if subprotocols:
            sent["sec-websocket-protocol"] = ", ".join(subprotocols)
        scope: Scope = {
            "type": "websocket",
            "asgi": VERSIONS,
            "http_version": "1.1",
            "scheme": parts.scheme,
            "path": unquote(parts.path) or "/",
            "raw_path": (parts.path or "/").encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
            "client": self._address,
            "server": (parts.hostname or "testserver", parts.port or (443 if parts.scheme == "wss" else 80)),
            "subprotocols": list(subprotocols),
            "extensions": {"websocket.http.response": {}},
        }
        return AppWebSocket(self.asgi, scope)

    # HTTP

    @property
    def http(self) -> httpx.AsyncClient:
        """A client for HTTP requests to the application, of httpx2 or, where that is not installed, of httpx.

        Raises:
            ImportError: neither is installed.
        """
        http = self._http
        if http is None:
            library = _httpx()
            transport = library.ASGITransport(self.asgi, client=self._address)
            base_url = self._base_url.replace("ws", "http", 1)
            http = self._http = library.AsyncClient(transport=transport, base_url=base_url)
        return http

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application as a server would run it: what its lifespan put on the state is there.

        For HTTP clients of your own: ``httpx.ASGITransport(client.asgi)``.
        """
        if scope["type"] != "lifespan":
            if self._lifespan is None:
                raise NotRunning("the application is not started: async with AppClient(app) as client")
            scope = {**scope, "state": dict(self._lifespan.state)}
        token = substitute.set(self._substitute)
        try:
            await self._given(scope, receive, send)
        finally:
            substitute.reset(token)


class _Absolute:
    """A function that gives paths, as one that gives URLs."""

    def __init__(self, path: Url, base_url: str) -> None:
        self._path = path
        self._base_url = base_url

    async def __call__(self) -> str:
        path = self._path() if callable(self._path) else self._path
        return self.of(path if isinstance(path, str) else await path)

    def of(self, path: str) -> str:
        if path.startswith("/"):
            return self._base_url + path
        if "://" in path:
            return path
        raise ValueError(f"a path begins with a slash: {path!r}")


def _httpx() -> Any:
    for name in ("httpx2", "httpx"):
        with suppress(ModuleNotFoundError):
            return import_module(name)
    raise ImportError("HTTP requests are made by httpx2: pip install httpx2")
