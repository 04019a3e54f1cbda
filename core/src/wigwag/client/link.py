"""One connection, from its handshake to its end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.typing import Subprotocol

from wigwag.client.errors import ConnectFailed, ConnectionClosed, ConnectionRefused
from wigwag.wire.client import PING, PONG, REFUSED

#: How long a peer has to answer our close.  In seconds.
_CLOSE_TIMEOUT_S: Final = 1.0
_REFUSALS: Final = (401, 403)


class NotSent(Exception):
    """The connection is closing: certainly not sent."""


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """How connections are made and watched; each is explained on ``SocketClient``."""

    connection_timeout_s: float
    heartbeat_interval_s: float | None
    heartbeat_timeout_s: float
    max_message_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    subprotocols: Sequence[str] = ()


class Link:
    """A connection whose handshake is done.  Made by :func:`open_link`."""

    def __init__(self, websocket: ClientConnection, options: LinkOptions) -> None:
        self._websocket = websocket
        self._options = options
        self._pong = asyncio.Event()
        self._is_free = asyncio.Event()  # not held up by a full inbox
        self._is_free.set()
        self._stalls = 0
        self._is_silent = False

    async def send(self, message: str | bytes) -> None:
        """Hand a message to the connection, waiting while its buffer is full.

        Raises:
            NotSent: the connection is closing.
            ConnectionClosed: it was lost meanwhile; the message may have been received.
        """
        if self._websocket.state is not State.OPEN:
            raise NotSent
        try:
            await self._websocket.send(message)
        except WebSocketClosed as exc:
            raise ConnectionClosed(
                "the connection was lost while sending; the message may have been received",
                code=self._code,
            ) from exc

    async def run(
        self,
        opened: Callable[[Link], Coroutine[Any, Any, None]],
        received: Callable[[str | bytes], Awaitable[bool]],
    ) -> ConnectionClosed:
        """Read until the connection ends; return why.  Cancelled, it closes the connection.

        ``opened`` is called once the server has answered a first heartbeat: a server that refuses a
        client accepts the handshake first, and then closes.  ``received`` takes a message, and says
        whether it had to wait before it could; meanwhile nothing is read.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, tasks, opened)
                await self._read(received)
                tasks.cancel_scope.cancel()
        finally:
            await self._close()
        return self._ending()

    async def _read(self, received: Callable[[str | bytes], Awaitable[bool]]) -> None:
        try:
            while True:
                message = await self._websocket.recv()
                if message == PONG:
                    self._pong.set()
                    continue
                self._is_free.clear()
                if await received(message):
                    self._stalls += 1
                self._is_free.set()
        except WebSocketClosed:
            return

    async def _watch(
        self, tasks: anyio.abc.TaskGroup, opened: Callable[[Link], Coroutine[Any, Any, None]]
    ) -> None:
        interval_s = self._options.heartbeat_interval_s
        if interval_s is None:
            tasks.start_soon(opened, self)
            return
        is_alive = await self._beat()
        if is_alive:
            tasks.start_soon(opened, self)
        while is_alive:
            await anyio.sleep(interval_s)
            is_alive = await self._beat()
        if self._websocket.state is State.OPEN:
            self._is_silent = True
            self._websocket.transport.abort()  # the reader notices

    async def _beat(self) -> bool:
        """Whether the server answers.  Time in which nothing was read is not held against it."""
        while True:
            await self._is_free.wait()
            stalls = self._stalls
            self._pong.clear()
            with anyio.move_on_after(self._options.heartbeat_timeout_s):
                try:
                    await self.send(PING)
                except (NotSent, ConnectionClosed):
                    return False
                await self._pong.wait()
            if self._pong.is_set():
                return True
            if self._is_free.is_set() and self._stalls == stalls:
                return False

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):  # bounded by the time limit
            with anyio.move_on_after(2 * _CLOSE_TIMEOUT_S):
                await self._websocket.close()
            self._websocket.transport.abort()

    @property
    def _code(self) -> int:
        return self._websocket.protocol.close_code or 1006

    def _ending(self) -> ConnectionClosed:
        code, reason = self._code, self._websocket.protocol.close_reason
        if code == REFUSED:
            return ConnectionRefused(
                f"the server refuses this client: {reason or 'close code 1008'}", code=code
            )
        if self._is_silent and code == 1006:
            limit_s = self._options.heartbeat_timeout_s
            return ConnectionClosed(f"the server was silent for {limit_s:g} s", code=code)
        said = f" ({reason})" if reason else ""
        return ConnectionClosed(f"the connection ended with code {code}{said}", code=code)


async def open_link(url: str, options: LinkOptions) -> Link:
    """Connect, within ``connection_timeout_s``.  Cancelled, it leaves no socket behind.

    Raises:
        ConnectionRefused: HTTP 401 or 403.
        ConnectFailed: anything else; the cause says what.
    """
    keywords: dict[str, Any] = {}
    if "proxy" in inspect.signature(connect.__init__).parameters:  # websockets >= 15
        keywords["proxy"] = None  # an environment's proxy would take loopback connections too
    try:
        websocket = await connect(
            url,
            additional_headers=dict(options.headers),
            subprotocols=cast("list[Subprotocol]", list(options.subprotocols)) or None,
            compression=None,
            open_timeout=options.connection_timeout_s,
            ping_interval=None,  # heartbeats are our protocol's
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=options.max_message_bytes,
            **keywords,
        )
    except InvalidStatus as exc:
        status = exc.response.status_code
        if status in _REFUSALS:
            raise ConnectionRefused(f"the server refuses this client: HTTP {status}", code=status) from exc
        raise ConnectFailed(f"no WebSocket there: HTTP {status}") from exc
    except (OSError, EOFError, WebSocketException) as exc:  # TimeoutError is an OSError
        raise ConnectFailed(f"no connection: {str(exc) or type(exc).__name__}") from exc
    return Link(websocket, options)
