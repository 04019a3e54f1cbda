"""The client that an application meets."""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import anyio
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from wigwag.background import BackgroundTask
from wigwag.client.backoff import Backoff
from wigwag.client.errors import ClientError, ConnectionClosed, RequestTimeout
from wigwag.client.events import ConnectionEvent
from wigwag.client.messages import Event, Received, as_type, encode, schema_for, type_and_data
from wigwag.client.outgoing import Message, SendBuffer
from wigwag.client.session import ClientState, Session, Url
from wigwag.client.tokens import Source, Tokens
from wigwag.client.websocket import LinkOptions, WebSocket, open_websocket
from wigwag.errors import NotRunning
from wigwag.messages import (
    MessageType,
    ServerMessage,
    SocketMessage,
    data_schema_of,
    name_of,
    reply_type_of,
)

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=SocketMessage | ConnectionEvent)

logger: logging.Logger = logging.getLogger("wigwag.client")


class SocketClient:
    """A connection to a wigwag server that comes back.

    ``url`` is a ``ws://`` or ``wss://`` URL, or a function, async or not, that returns one and is asked
    before each attempt.  Times are in seconds.

    - ``token``: sent with the handshake as ``Authorization: Bearer``.  A function, async or not, is asked before
      each attempt, and again when 65 to 85 % of its token's time are over: the newer one is sent as
      ``auth.authenticate`` on the open connection; where it is refused, or the function fails, ``on_error``
      handlers are told, the connection stays, and it is tried again in what is left.  Where the server closes
      with 1008 and ``token expired``, one more attempt is made with a fresh one.
    - ``reconnect``: whether to connect again after a failed attempt or a lost connection;
      ``max_reconnect_attempts``: how often in a row, None for no limit.  A connection that ended within
      5 s counts as a failed attempt.  Before each it waits ``reconnect_delay_s`` and a random part of
      ``reconnect_delay_s * 2**n``, together at most ``max_reconnect_delay_s``.
    - ``connection_timeout_s``: for the functions that give URL and token, and for the handshake.
    - ``heartbeat_interval_s``: how often the server is asked whether it is there; None for never.  It has
      ``heartbeat_timeout_s`` to answer, else the connection is given up for another one.
    - ``request_timeout_s``: for an answer, unless :meth:`request` is told otherwise.
    - ``send_buffer_messages``, ``send_buffer_bytes``: how much is kept while not connected.  It is sent at once
      when connected, right after the joins: a server that limits messages is to take both (the stock service
      takes 300 at once, with 100 rooms).
    - ``receive_buffer_messages``: how much is kept for handlers, and again for :meth:`events`.
    - ``max_message_bytes``: a larger one from the server ends the connection (close code 1009).
    - ``headers``, ``subprotocols``: sent with the handshake.

    ``async with`` connects and, at the end, closes.  A client belongs to one asyncio event loop, and is not
    safe to use from several threads.

    **What may be lost.**  A message that was handed to a connection may be lost with it: use
    :meth:`request` where that matters.  What the server emits while there is no connection is not sent
    again; ``on_state_change`` says that there was a gap, and the event ``wigwag.resync`` that the server
    itself had one.
    """

    def __init__(
        self,
        url: Url,
        *,
        token: Source | None = None,
        reconnect: bool = True,
        max_reconnect_attempts: int | None = None,
        reconnect_delay_s: float = 0.5,
        max_reconnect_delay_s: float = 20.0,
        connection_timeout_s: float = 5.0,
        heartbeat_interval_s: float | None = 25.0,
        heartbeat_timeout_s: float = 5.0,
        request_timeout_s: float = 10.0,
        send_buffer_messages: int = 100,
        send_buffer_bytes: int = 1024 * 1024,
        receive_buffer_messages: int = 1024,
        max_message_bytes: int = 16 * 1024 * 1024,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Raises ValueError where ``url`` is a string that is no WebSocket URL."""
        if isinstance(url, str):
            _check_url(url)
        max_attempts = max_reconnect_attempts if reconnect else 0
        self._request_timeout_s = request_timeout_s
        self._task: BackgroundTask | None = None
        self._is_closed = False
        self._session = Session(
            url,
            self._open_websocket,
            LinkOptions(
                connection_timeout_s=connection_timeout_s,
                heartbeat_interval_s=heartbeat_interval_s,
                heartbeat_timeout_s=heartbeat_timeout_s,
                max_message_bytes=max_message_bytes,
                headers=headers or {},
                subprotocols=subprotocols or (),
            ),
            lambda: Backoff(reconnect_delay_s, max_reconnect_delay_s, max_attempts, random),
            SendBuffer(send_buffer_messages, send_buffer_bytes),
            tokens=Tokens(token, random),
            receive_buffer_messages=receive_buffer_messages,
            request_timeout_s=request_timeout_s,
        )

    def _check_backend(self) -> None:
        """Raises RuntimeError where :meth:`_open_websocket` can't run."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("wigwag.client runs on asyncio only: the websockets library does") from None

    async def _open_websocket(self, url: str, options: LinkOptions) -> WebSocket:
        return await open_websocket(url, options)

    # Lifecycle

    @property
    def state(self) -> ClientState:
        """Where the client stands; see :data:`ClientState`."""
        return self._session.state

    @property
    def error(self) -> ClientError | None:
        """What ended the last connection or attempt; None before the first."""
        return self._session.error

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms that the client wants to be in, as a snapshot."""
        return self._session.rooms.names()

    @property
    def dropped_count(self) -> int:
        """How many messages were dropped because nobody had called :meth:`events` yet."""
        return self._session.inbox.dropped_count

    async def connect(self) -> None:
        """Return when connected: the server has accepted this client, and answers.

        It tries for as long as ``reconnect`` and ``max_reconnect_attempts`` allow, by default for ever: put
        ``asyncio.timeout()`` around it for a limit.  Does nothing where it is connected.  Cancelled, it
        stops what it began.

        Raises:
            ConnectFailed: the last attempt failed.
            ConnectionRefused: the server doesn't want this client.
            ConnectionClosed: it accepted and then ended the connection, or ``disconnect()`` was called.
            NotRunning: after :meth:`close`.
        """
        self._check_open()
        self._check_backend()
        if self._task is not None and self.state in ("disconnected", "refused", "failed"):
            await self.disconnect()  # let its end come
        if self._task is not None and self._session.is_stopping:
            if self._session.inbox.is_handler():
                raise ClientError("a handler can't connect again after disconnect(): let it return")
            await self.disconnect()
        is_first = self._task is None
        if self._task is None:
            self._session.begin()
            self._task = BackgroundTask(self._session.run, name="wigwag client")
            self._task.start()
        opening = self._session.opening
        try:
            if opening is not None:
                await opening.wait()
        except BaseException:
            if is_first:
                await self.disconnect()
            raise

    async def disconnect(self) -> None:
        """Close the connection, and return when nothing is left of it (a second or two at most).

        Rooms and handlers are kept, for another :meth:`connect`.  What waits to be sent is dropped, and
        logged: the next connection may be somebody else's.  Calls that wait for an answer raise
        :class:`ConnectionClosed`, and a handler that runs is cancelled; called by a handler, this returns at
        once, and the connection ends soon afterwards.  Without a connection nothing else happens.
        """
        self._drop_unsent()
        task = self._task
        if task is None:
            return
        is_handler = self._session.inbox.stop()
        self._session.stop()
        if is_handler:
            return
        with anyio.CancelScope(shield=True):  # bounded: a link has its limit for closing
            await task.wait()
        if self._task is task:
            self._task = None

    async def close(self) -> None:
        """Disconnect for good, and forget everything."""
        self._is_closed = True
        await self.disconnect()
        self._session.rooms.clear()
        self._session.inbox.clear()

    def _drop_unsent(self) -> None:
        buffer = self._session.buffer
        if len(buffer):
            logger.warning("disconnected before %d messages could be sent", len(buffer))
            buffer.clear()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Rooms

    async def join_room(self, room: str, *, timeout_s: float | None = None) -> None:
        """Return when the server has let this client in; the room is joined again on each connection.

        Before :meth:`connect` it returns at once, and the room is joined then; a refusal is told to ``on_error``
        handlers.  So it is where a later connection does not get in again; the one after it tries once more.

        Raises:
            RequestFailed: the server says no; the room is forgotten, unless it is ``Unavailable``: such a join
                stands at the server, and comes alive later.  Not where it was asked for too early (``Too many
                messages``, ``Too many joins``), which is told to ``on_error``: it is asked for again.
            RequestTimeout: not within ``timeout_s``; the wish stands until :meth:`leave_room`, as it does
                when this is cancelled.
            Unsubscribed: the room was left meanwhile.
            ConnectionRefused, ConnectFailed, ConnectionClosed: there will be no connection; the wish stands, for
                another :meth:`connect`.
            NotRunning: after :meth:`close`.
        """
        self._check_open()
        entry = self._session.rooms.add(room)
        self._check_usable()
        if self.state == "disconnected":
            return
        limit_s = self._limit(timeout_s)
        entry.waiting += 1
        try:
            with anyio.fail_after(limit_s):
                await self._session.join_due()
                await entry.outcome.wait()
        except TimeoutError:
            raise self._timeout(f"room {room!r} was not joined", limit_s) from None
        finally:
            entry.waiting -= 1

    async def leave_room(self, room: str, *, timeout_s: float | None = None) -> None:
        """Want the room no longer; return when the server has let go of it.

        A room that was not wanted is no error.

        Raises:
            RequestFailed: the server says no.
            RequestTimeout: no answer within ``timeout_s``.
        """
        if self._session.rooms.remove(room):
            await self._leave(room, timeout_s)

    async def clear_rooms(self, *, timeout_s: float | None = None) -> None:
        """Want no room any longer: :meth:`leave_room` of each, side by side.

        Raises what the first that failed raised, when all have been asked for.
        """
        errors: list[ClientError] = []

        async def leave(room: str) -> None:
            try:
                if room not in self._session.rooms:  # else somebody has wanted it again meanwhile
                    await self._leave(room, timeout_s)
            except ClientError as exc:
                errors.append(exc)

        wanted = sorted(room for room in self.rooms if self._session.rooms.remove(room))
        async with anyio.create_task_group() as tasks:
            for room in wanted:
                tasks.start_soon(leave, room)
        if errors:
            raise errors[0]

    async def _leave(self, room: str, timeout_s: float | None) -> None:
        if self.state != "connected":
            return
        try:
            await self.request("room.leave", {"room": room}, timeout_s=timeout_s)
        except ConnectionClosed:
            return  # the next connection does not join it

    # Sending

    @overload
    async def send(self, message: ServerMessage[Any], /) -> None: ...
    @overload
    async def send(self, type: str, data: Any = None, /) -> None: ...
    async def send(self, message: str | ServerMessage[Any], data: Any = None, /) -> None:
        """Send a message, ``Say(room="x")`` or ``"say", {"room": "x"}``.

        The server answers only if something is wrong with it (a :class:`Reply`), or if it always does.
        Returns when it was handed to the connection, waiting where the server reads slowly; while there is
        none, when it is kept for the next.  Cancelled, it may be sent all the same.

        Raises:
            InvalidMessage: the data does not fit the message's class, or can't be written as JSON.
            SendBufferFull: not connected, and it does not fit what is kept; it will not be sent.
            ConnectionClosed: the connection was lost meanwhile; it may have been received.
            ConnectionRefused, ConnectFailed: there will be no connection.
        """
        await self.send_raw(encode(*type_and_data(message, data)))

    async def send_raw(self, message: str | bytes) -> None:
        """Send a text (str) or binary (bytes) message as it is; otherwise as :meth:`send`."""
        self._check_usable()
        await self._session.transmit(Message(message))

    @overload
    async def request(self, message: ServerMessage[R], /, *, timeout_s: float | None = None) -> R: ...
    @overload
    async def request(
        self, message: ServerMessage[Any], /, *, reply: type[T], timeout_s: float | None = None
    ) -> T: ...
    @overload
    async def request(
        self, type: str, data: Any = None, /, *, reply: type[T], timeout_s: float | None = None
    ) -> T: ...
    @overload
    async def request(self, type: str, data: Any = None, /, *, timeout_s: float | None = None) -> Any: ...
    async def request(
        self,
        message: str | ServerMessage[Any],
        data: Any = None,
        /,
        *,
        reply: Any = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Send a message and return the data of the answer.

        It is decoded as the message's class says, ``class Say(ServerMessage[Said], name="say")``, or as
        ``reply``, any type that a handler's data may be; where neither says, it is plain JSON.

        The time limit includes waiting for a connection.  A request that timed out or was cancelled before
        it was sent is not sent later.

        Raises:
            RequestFailed: the server answered with an error.
            RequestTimeout: no answer within ``timeout_s``; the server may have acted.
            UnexpectedData: the answer is not what it was to be.
            ConnectionClosed: the connection ended before the answer came; the server may have acted.
            InvalidMessage, SendBufferFull, ConnectionRefused, ConnectFailed: as :meth:`send`.
            NotRunning: before :meth:`connect`.
            TypeError: ``reply`` can't be validated.
        """
        self._check_usable()
        type_, content = type_and_data(message, data)
        if reply is None:
            reply = Any if isinstance(message, str) else reply_type_of(type(message))
        schema = schema_for(reply)
        if self.state == "disconnected":
            raise NotRunning(f"can't request {type_!r}: the client was not told to connect")
        limit_s = self._limit(timeout_s)
        request_id, answer = self._session.requests.new()
        try:
            outgoing = Message(encode(type_, content, request_id), request_id)
            try:
                with anyio.fail_after(limit_s):
                    await self._session.transmit(outgoing)
                    return as_type(type_, await answer.wait(), schema)
            except TimeoutError:
                raise self._timeout(f"no answer to {type_!r}", limit_s) from None
            finally:
                self._session.buffer.discard(outgoing)
        finally:
            self._session.requests.forget(request_id)

    def _limit(self, timeout_s: float | None) -> float:
        return self._request_timeout_s if timeout_s is None else timeout_s

    def _timeout(self, what: str, limit_s: float) -> RequestTimeout:
        why = ""
        if self.state != "connected":
            why = f"; not connected ({self.error})" if self.error else "; not connected"
        elif self._session.inbox.is_blocked:
            why = "; nothing is read from the server while handlers or the reader of events() lag behind"
        return RequestTimeout(f"{what} within {limit_s:g} s{why}", limit_s)

    def _check_open(self) -> None:
        if self._is_closed:
            raise NotRunning("the client is closed: make another")

    def _check_usable(self) -> None:
        self._check_open()
        if self.state in ("refused", "failed") and self.error is not None:
            raise self.error

    # Receiving

    @overload
    def on(
        self, message: type[E], handler: Callable[[E], Awaitable[object] | object]
    ) -> Callable[[], None]: ...
    @overload
    def on(
        self, message: MessageType[T], handler: Callable[[T], Awaitable[object] | object]
    ) -> Callable[[], None]: ...
    @overload
    def on(
        self, message: str, handler: Callable[[Event], Awaitable[object] | object]
    ) -> Callable[[], None]: ...
    def on(self, message: Any, handler: Callable[[Any], Awaitable[object] | object]) -> Callable[[], None]:
        """Call ``handler`` for each event of a kind.  Returns a function that takes it back.

        ::

            client.on(IncidentCreated, handler)  # an IncidentCreated: the class that the server emits
            client.on(InvoicePaid, handler)      # of SocketMessage.define("invoice.paid", Invoice): an Invoice
            client.on("incident.created", handler)  # an Event: name, data, timestamp
            client.on(Connected, handler)        # Disconnected, ReconnectAttempt, ReconnectFailed likewise
            client.on(Resync, handler)           # and Dropped: what the server says of its own

        Handlers run one after the other, async ones included, in the order of the events; a slow one delays
        the others and, when ``receive_buffer_messages`` wait, the connection.  One that raises is logged,
        and hurts no other.  An event whose data does not fit the class is told to ``on_error``
        (:class:`UnexpectedData`), and logged.

        Raises:
            TypeError: it is none of these.
        """
        if isinstance(message, str):
            return self._session.inbox.on(message, handler, None)
        if isinstance(message, MessageType) or (
            isinstance(message, type) and issubclass(message, SocketMessage)
        ):
            return self._session.inbox.on(name_of(message), handler, data_schema_of(message))
        if isinstance(message, type) and issubclass(message, ConnectionEvent):
            return self._session.inbox.on(message, handler, None)
        raise TypeError(f"{message!r} is no event: name one, or give the class of a message")

    def events(self) -> AsyncGenerator[Received]:
        """Yield what no handler takes: :class:`Event`, :class:`Raw` and unexpected :class:`Reply`.

        Nothing is lost between: when ``receive_buffer_messages`` wait, nothing more is read from the
        server until one is taken.  (Before the first call, the oldest is dropped instead, counted and
        logged, so that a client that only sends needs no reader.)

        It spans connections, and ends after ``disconnect()``.

        Raises:
            ConnectionRefused, ConnectFailed, ConnectionClosed: as what the client ended by itself.
        """
        session = self._session
        return session.inbox.read(
            lambda: session.state in ("disconnected", "refused", "failed"),
            lambda: None if session.state == "disconnected" else session.error,
        )

    def on_state_change(self, handler: Callable[[ClientState], None]) -> Callable[[], None]:
        """Call ``handler(state)``, which must not block, at each change.  Returns what takes it back."""
        return _add(self._session.state_handlers, handler)

    def on_error(self, handler: Callable[[ClientError], None]) -> Callable[[], None]:
        """Call ``handler(error)`` for what no call raises: a failed attempt, a lost connection, a room that
        could not be joined again.  It must not block.  Returns what takes it back."""
        return _add(self._session.error_handlers, handler)


def _add(handlers: list[Any], handler: Any) -> Callable[[], None]:
    handlers.append(handler)

    def off() -> None:
        if handler in handlers:
            handlers.remove(handler)

    return off


def _check_url(url: str) -> None:
    try:
        parse_uri(url)
    except InvalidURI as exc:
        raise ValueError(f"{url!r} is no WebSocket URL: write ws://host:port/path, or wss://") from exc
