"""A client of an application under test: :class:`~wigwag.client.SocketClient`, and what a test asks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, overload

import anyio

from wigwag.client import (
    ClientState,
    ConnectFailed,
    ConnectionClosed,
    Event,
    Raw,
    Received,
    Reply,
    SocketClient,
)
from wigwag.client.messages import EventFrame, Frame, ReplyFrame, as_type, received
from wigwag.client.session import Url
from wigwag.client.tokens import Source
from wigwag.client.waiting import Bell
from wigwag.client.websocket import LinkOptions, WebSocket, not_accepted
from wigwag.messages import MessageType, SocketMessage, data_schema_of, name_of
from wigwag.testing.asgi import AppWebSocket
from wigwag.testing.saying import describe, shorten

T = TypeVar("T")
M = TypeVar("M", bound=SocketMessage)
P = TypeVar("P", Raw, Reply)

#: Makes a WebSocket of a URL and its headers and subprotocols.
Dial = Callable[[str, Mapping[str, str], Sequence[str]], AppWebSocket]


class SocketOptions(TypedDict, total=False):
    """What an :class:`AppConnection` takes besides; each is explained on :class:`SocketClient`."""

    token: Source
    reconnect: bool
    max_reconnect_attempts: int | None
    reconnect_delay_s: float
    max_reconnect_delay_s: float
    connection_timeout_s: float
    heartbeat_interval_s: float | None
    heartbeat_timeout_s: float
    request_timeout_s: float
    send_buffer_messages: int
    send_buffer_bytes: int
    receive_buffer_messages: int


class AppConnection(SocketClient):
    """A client connected to an application in memory, on asyncio or trio.

    All of :class:`~wigwag.client.SocketClient` is there: ``request``, ``send``, ``join_room``, ``on``,
    ``events``, ``state``, ….  Unlike that it does not reconnect unless told to, and loses nothing of what comes.

    What comes and has no handler waits for :meth:`expect` and :meth:`receive`, which fail as an assertion
    does, after a time limit, and say what came instead.
    """

    def __init__(self, url: Url, dial: Dial, timeout_s: float, **options: Any) -> None:
        """Made by :meth:`AppClient.connect` and :meth:`AppClient.socket`."""
        self._dial = dial
        self._timeout_s = timeout_s
        self._ended = Bell()
        self._app_websocket: AppWebSocket | None = None
        defaults: SocketOptions = {
            "reconnect": False,
            "reconnect_delay_s": 0.01,
            "max_reconnect_delay_s": 0.05,
            "connection_timeout_s": timeout_s,
            "heartbeat_interval_s": 3600.0,
            "heartbeat_timeout_s": timeout_s,
            "request_timeout_s": timeout_s,
        }
        super().__init__(url, **{**defaults, **options})
        self._session.inbox.keep_all()
        self.on_state_change(self._state_changed)

    def _check_backend(self) -> None:
        """It runs on every backend."""

    def _state_changed(self, state: ClientState) -> None:
        self._ended.ring()

    async def _open_websocket(self, url: str, options: LinkOptions) -> WebSocket:
        websocket = self._app_websocket = self._dial(url, options.headers, options.subprotocols)
        with anyio.move_on_after(options.connection_timeout_s) as limit:
            await websocket.open()
        if limit.cancelled_caught:
            raise ConnectFailed(
                f"the application did not answer the handshake within {options.connection_timeout_s:g} s: "
                "does its upgrade hook wait for something?"
            )
        if websocket.is_open or websocket.status is None:
            return websocket
        if websocket.error is not None:
            raise ConnectFailed(f"the application raised {websocket.error!r}") from websocket.error
        said = websocket.answer
        if not said and websocket.status == 403:
            said = "closed before it was accepted: is there a WebSocket route at this path?"
        raise not_accepted(websocket.status, shorten(said))

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the application chose."""
        return None if self._app_websocket is None else self._app_websocket.subprotocol

    # What came

    async def receive(self, *, timeout_s: float | None = None) -> Received:
        """The next message that has no handler: an :class:`Event`, a :class:`Raw` or a :class:`Reply`.

        Raises:
            AssertionError: none came within ``timeout_s``, or before the connection ended.
        """
        __tracebackhide__ = True
        return received(await self._take("message", lambda _: True, timeout_s))

    @overload
    async def expect(self, message: type[M], *, timeout_s: float | None = None) -> M: ...
    @overload
    async def expect(self, message: MessageType[T], *, timeout_s: float | None = None) -> T: ...
    @overload
    async def expect(self, message: str, *, timeout_s: float | None = None) -> Event: ...
    @overload
    async def expect(self, message: type[P], *, timeout_s: float | None = None) -> P: ...
    async def expect(self, message: Any, *, timeout_s: float | None = None) -> Any:
        """The first message of a kind, of those that have come or come within ``timeout_s``.

        ``message`` is what the server emits: a :class:`~wigwag.SocketMessage` class, whose instance is
        returned; a message type made by ``define``, whose data is; or a name, for an :class:`Event`.  Or
        :class:`Raw`, for text and bytes that were published as they are, or :class:`Reply`, for an answer
        that no :meth:`request` waits for.  Others stay where they are, for a later ``expect``.

        Raises:
            AssertionError: none came, and it says what did.
            UnexpectedData: its data does not fit its class.
        """
        __tracebackhide__ = True
        if message is Raw:
            return received(await self._take("text or bytes", lambda f: isinstance(f, Raw), timeout_s))
        if message is Reply:
            return received(await self._take("reply", lambda f: isinstance(f, ReplyFrame), timeout_s))
        name = message if isinstance(message, str) else name_of(message)
        if self._session.inbox.has_handler(name):
            raise TypeError(f"{name!r} has a handler on this connection: expect() sees what has none")
        schema = None if isinstance(message, str) else data_schema_of(message)
        frame = await self._take(
            repr(name), lambda f: isinstance(f, EventFrame) and f.name == name, timeout_s
        )
        if schema is None or not isinstance(frame, EventFrame):
            return received(frame)
        return as_type(name, frame.data, schema)

    async def expect_nothing(self, *, within_s: float = 0.05) -> None:
        """Return when nothing that has no handler has come, nor comes within so many seconds.

        Time spent waiting for nothing is lost.  Where something else is sure to come after what must not,
        :meth:`expect` that instead, and then call this with ``within_s=0``.

        Raises:
            AssertionError: something came, and it says what.
        """
        __tracebackhide__ = True
        if within_s:
            with anyio.move_on_after(within_s):
                while not self._session.inbox.waiting:
                    await self._session.inbox.arrived()
        if self._session.inbox.waiting:
            raise AssertionError(f"nothing should have come, but {self._what_came()}")

    async def expect_closed(
        self, code: int | None = None, *, timeout_s: float | None = None
    ) -> ConnectionClosed:
        """Return how the server ended the connection, when it has: its ``code`` and ``reason``.

        Raises:
            AssertionError: it did not, or with another code than this.
        """
        __tracebackhide__ = True
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        with anyio.move_on_after(limit_s):
            while self.state in ("connecting", "connected"):
                await self._ended.wait()
        if self.state in ("connecting", "connected"):
            raise AssertionError(f"the connection was not closed within {limit_s:g} s; {self._what_came()}")
        error = self.error
        if not isinstance(error, ConnectionClosed):
            raise AssertionError(f"there was no connection to close: {error or self.state}")
        if code is not None and error.code != code:
            raise AssertionError(f"closed with {error.code}, not with {code}: {error}")
        return error

    async def _take(self, wanted: str, matches: Callable[[Frame], bool], timeout_s: float | None) -> Frame:
        __tracebackhide__ = True
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        frame: Frame | None = None
        with anyio.move_on_after(limit_s) as limit:
            frame = await self._session.inbox.take(matches, self._is_over)
        if frame is not None:
            return frame
        when = f"within {limit_s:g} s" if limit.cancelled_caught else "before the connection ended"
        raise AssertionError(f"no {wanted} came {when}; {self._what_came()}")

    def _is_over(self) -> bool:
        return self.state in ("disconnected", "refused", "failed")

    def _what_came(self) -> str:
        came = [describe(received(frame)) for frame in self._session.inbox.waiting]
        end = f"\n  ({self.error})" if self._is_over() and self.error is not None else ""
        if not came:
            return f"nothing came{end}"
        shown = [*came[:20], *([f"and {len(came) - 20} more"] if len(came) > 20 else [])]
        return "what came instead:\n" + "\n".join(f"  {line}" for line in shown) + end

    async def _closed(self) -> None:
        """Close, and leave nothing of the application's call."""
        await self.close()
        if self._app_websocket is not None:
            await self._app_websocket.end()
