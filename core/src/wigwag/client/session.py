"""Connection after connection: when to connect, when to wait, when to give up; and what is on its way.

This is the engine below :class:`~wigwag.client.SocketClient`, which adds the way in for callers.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import anyio

from wigwag.client.backoff import LASTED_S, Backoff
from wigwag.client.errors import (
    ClientError,
    ConnectFailed,
    ConnectionClosed,
    ConnectionRefused,
    RequestFailed,
    RequestTimeout,
)
from wigwag.client.events import Connected, Disconnected, ReconnectAttempt, ReconnectFailed
from wigwag.client.inbox import Inbox
from wigwag.client.link import Link, NotSent
from wigwag.client.messages import ReplyFrame, encode, parse
from wigwag.client.outgoing import Answer, Message, Requests, SendBuffer
from wigwag.client.rooms import Room, Rooms
from wigwag.client.tokens import Renewed, Source, Tokens, ask, seconds_left, with_token
from wigwag.client.waiting import Outcome
from wigwag.client.websocket import ABNORMAL, LinkOptions, WebSocket
from wigwag.schema import encode_json
from wigwag.wire.client import FORBIDDEN, NORMAL

T = TypeVar("T")

_IN_DOUBT = "the connection was lost while sending what had waited; it may have been received"

logger: logging.Logger = logging.getLogger("wigwag.client")

#: ``disconnected``: before ``connect()``, and after ``disconnect()``.  ``connecting``, ``connected``,
#: ``reconnecting``: at work.  ``refused``: the server doesn't want this client.  ``failed``: no further
#: attempt will be made; with close code 1000 since the server is done with this client.  From the last two,
#: ``connect()`` begins anew.
ClientState = Literal["disconnected", "connecting", "connected", "reconnecting", "refused", "failed"]
#: Where to connect, or what says it before each attempt.
Url = Source
#: What makes a WebSocket of a URL, or raises ConnectFailed or ConnectionRefused.
Opener = Callable[[str, LinkOptions], Awaitable[WebSocket]]


class Session:
    """Keeps a connection while :meth:`run` runs; what is remembered outlives it."""

    def __init__(
        self,
        url: Url,
        opener: Opener,
        options: LinkOptions,
        new_backoff: Callable[[], Backoff],
        buffer: SendBuffer,
        *,
        tokens: Tokens,
        receive_buffer_messages: int,
        request_timeout_s: float,
    ) -> None:
        self._url = url
        self._tokens = tokens
        self._request_timeout_s = request_timeout_s
        self._opener = opener
        self._options = options
        self._new_backoff = new_backoff
        self.buffer = buffer
        self.inbox: Inbox = Inbox(receive_buffer_messages, self._report)
        self.requests: Requests = Requests()
        self.rooms: Rooms = Rooms()
        self.state: ClientState = "disconnected"
        #: What ended the last connection or attempt.
        self.error: ClientError | None = None
        self.state_handlers: list[Callable[[ClientState], None]] = []
        self.error_handlers: list[Callable[[ClientError], None]] = []
        #: Done when connected, or when that will not be; another one whenever a connection is lost.
        self.opening: Outcome[None] | None = None
        self._was_connected = False
        #: The connection, once what had to go first has gone.
        self._link: Link | None = None
        self._opened_at: float | None = None
        self._scope: anyio.CancelScope | None = None

    # Connecting

    async def run(self) -> None:
        """Keep a connection until :meth:`stop`, or until the server or the attempts are at an end."""
        error: ClientError | None = None
        scope = self._scope = self._scope or anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.inbox.dispatch)
            try:
                with scope:
                    error = await self._connect_again_and_again()
            except Exception as exc:
                logger.critical("the client failed", exc_info=True)
                error = ClientError("the client failed; this is a defect of wigwag")
                error.__cause__ = exc
            finally:  # cancelled with its event loop, too
                self._ended(error)
                if error is None:
                    self.inbox.stop()
                else:
                    self.inbox.finish()

    def begin(self) -> None:
        """Get ready for :meth:`run`."""
        self._scope = anyio.CancelScope()
        self.error = None
        self._enter("connecting")
        self.opening = Outcome()
        self._was_connected = False
        self._tokens.began()
        self.inbox.begin()

    @property
    def is_stopping(self) -> bool:
        """Whether :meth:`stop` was called since :meth:`begin`."""
        return self._scope is not None and self._scope.cancel_called

    def stop(self) -> None:
        """End :meth:`run`."""
        if self._scope is not None:
            self._scope.cancel()

    async def _connect_again_and_again(self) -> ClientError:
        backoff = self._new_backoff()
        while True:
            self._opened_at = None
            try:
                websocket = await self._opener(*await self._get_address())
                ending: ClientError = await Link(websocket, self._options).run(self._opened, self._received)
            except (ConnectFailed, ConnectionRefused) as exc:
                ending = exc
            self._lost(ending)
            backoff.ended(self._lasted_s())
            if self._lasted_s() >= LASTED_S:
                self._tokens.lasted()
            delay_s = None if self._is_final(ending) else backoff.next_s()
            if self._was_opened() and isinstance(ending, ConnectionClosed):
                code = ending.code or ABNORMAL
                self.inbox.tell(Disconnected(code, ending.reason, will_reconnect=delay_s is not None))
            if delay_s is None:
                if backoff.attempts and not isinstance(ending, ConnectionRefused) and not _is_done(ending):
                    self.inbox.tell(ReconnectFailed(backoff.attempts, ending))
                return ending
            if self.state == "connected":
                self.opening = Outcome()
                self._enter("reconnecting")
            logger.info("%s; connecting again in %.1f s", ending, delay_s)
            self.inbox.tell(ReconnectAttempt(backoff.attempts, delay_s))
            await self.pause(delay_s)

    def _was_opened(self) -> bool:
        return self._opened_at is not None

    def _lasted_s(self) -> float:
        return 0.0 if self._opened_at is None else anyio.current_time() - self._opened_at

    async def pause(self, delay_s: float) -> None:
        """Wait before the next attempt to connect, or to join."""
        await anyio.sleep(delay_s)

    def _is_final(self, ending: ClientError) -> bool:
        """Whether the server has had enough of this client: it is not asked again."""
        if isinstance(ending, ConnectionRefused):
            return not self._tokens.tries_again(ending)
        return _is_done(ending)

    async def _get_address(self) -> tuple[str, LinkOptions]:
        what = "URL"
        try:
            with anyio.fail_after(self._options.connection_timeout_s):
                url = await ask(self._url)
                what = "token"
                headers = with_token(self._options.headers, await self._tokens.fresh())
        except Exception as exc:
            raise ConnectFailed(f"the function that gives the {what} failed: {exc!r}") from exc
        return url, dataclasses.replace(self._options, headers=headers)

    async def _opened(self, link: Link) -> None:
        """The server answers: join the rooms, send what waited, then let others send.

        Until the connection ends it sees to the rooms that were asked for too early, and to the token.
        """
        self._opened_at = anyio.current_time()
        self.rooms.connection_began()
        reconnected, self._was_connected = self._was_connected, True
        self._enter("connected")
        self.inbox.tell(Connected(reconnected=reconnected))
        if self.opening is not None:
            self.opening.set(None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_the_token_fresh, link)
            await self._catch_up(link)

    async def _catch_up(self, link: Link) -> None:
        await self._join_due(link)
        while len(self.buffer):
            message = self.buffer.pop()
            try:
                was_sent = await self._sent(link, message)
            except anyio.get_cancelled_exc_class():  # the end came while the connection's buffer was full
                self._report(ConnectionClosed(_IN_DOUBT))
                raise
            if not was_sent:
                self.buffer.put_back(message)
                return
            await self._join_due(link)
        self._link = link
        while True:  # one room after the other: each refusal counts
            await self.rooms.wait_until_too_early()
            await self.pause(self.rooms.pause_s(random.random))
            self.rooms.make_one_due()
            await self._join_due(link)

    def _lost(self, ending: ClientError) -> None:
        self._link = None
        self.error = ending
        closed = ending if isinstance(ending, ConnectionClosed) else ConnectionClosed(str(ending))
        self.requests.fail_sent(closed)
        self._report(ending)

    def _ended(self, error: ClientError | None) -> None:
        self._link = None
        why = error or ConnectionClosed("the client was disconnected")
        self.requests.fail_all(why)
        self.rooms.fail_all(why)
        if self.opening is not None:
            self.opening.fail(why)
        refused = isinstance(error, ConnectionRefused)
        self._enter("disconnected" if error is None else "refused" if refused else "failed")
        self.inbox.wake()

    # Sending

    async def transmit(self, message: Message) -> None:
        """Hand a message to the connection, or keep it for the next.

        Raises:
            SendBufferFull: it could not be kept.
            ConnectionClosed: the connection was lost meanwhile; the message may have been received.
        """
        link = self._link
        if link is None or not await self._sent(link, message, is_caller=True):
            self.buffer.append(message)

    async def _sent(self, link: Link, message: Message, *, is_caller: bool = False) -> bool:
        """Send on this connection.  Returns False where it certainly was not sent."""
        self.requests.sent(message.request_id)
        try:
            await link.send(message.content)
        except NotSent:
            self.requests.unsent(message.request_id)
            return False
        except ConnectionClosed as exc:
            if is_caller:
                raise
            self._report(exc)  # its sender has gone on
        return True

    # Rooms

    async def join_due(self) -> None:
        """Ask for the rooms that this connection has not been asked for, if there is one."""
        if self._link is not None:
            await self._join_due(self._link)

    async def _join_due(self, link: Link) -> None:
        while (room := self.rooms.next_due()) is not None:
            request_id, _ = self.requests.new(functools.partial(self._joined, room))
            content = encode("room.join", encode_json({"room": room.name}), request_id)
            message = Message(content, request_id)
            try:
                if not await self._sent(link, message, is_caller=True):
                    raise ConnectionClosed("the connection is closing")
            except ConnectionClosed:  # the room is due again on the next
                self.requests.forget(request_id)
                return

    def _joined(self, room: Room, answer: Answer) -> None:
        untold = self.rooms.settle(room, answer.error)
        if untold is not None:
            logger.warning("room %r could not be joined: %s", room.name, untold)
            self._report(untold)

    # The token

    async def _keep_the_token_fresh(self, link: Link) -> None:
        """Bring a fresh token before the one in use expires, and so on.  What fails is tried again in what is left."""
        left_s = seconds_left(self._tokens.current)
        while (delay_s := self._tokens.due_s(left_s)) is not None and left_s is not None:
            ends_at = anyio.current_time() + left_s
            await anyio.sleep(delay_s)
            try:
                left_s = await self._renew(link)
            except ConnectionClosed:
                return  # the next begins with a fresh one
            except ClientError as exc:
                logger.warning("the token could not be renewed: %s", exc)
                self._report(exc)
                left_s = ends_at - anyio.current_time()

    async def _renew(self, link: Link) -> float | None:
        """Send a fresh token; return for how many seconds it is good, if that can be told.

        Raises:
            RequestFailed: the server does not take it; the one before counts on.
            RequestTimeout: no answer.
            ConnectionClosed: there is nobody to send it to.
            ClientError: there is none.
        """
        limit_s = self._request_timeout_s
        try:
            with anyio.fail_after(limit_s):
                token = await self._tokens.fresh()
        except Exception as exc:
            raise ClientError(f"the function that gives the token failed: {exc!r}") from exc
        request_id, answer = self.requests.new()
        content = encode("auth.authenticate", encode_json({"token": token}), request_id)
        try:
            with anyio.fail_after(limit_s):
                if not await self._sent(link, Message(content, request_id), is_caller=True):
                    raise ConnectionClosed("the connection is closing")
                renewed = Renewed.of(await answer.wait())
        except TimeoutError:
            raise RequestTimeout(f"no answer to a fresh token within {limit_s:g} s", limit_s) from None
        finally:
            self.requests.forget(request_id)
        for name in renewed.left:
            if self.rooms.lose(name, error := _not_allowed(name)):
                self._report(error)
        return seconds_left(token) if renewed.expires_in_s is None else renewed.expires_in_s

    # Receiving

    async def _received(self, content: str | bytes) -> bool:
        frame = parse(content)
        if isinstance(frame, ReplyFrame) and self.requests.is_ours(frame.correlation_id):
            self.requests.resolve(frame)
            return False
        return await self.inbox.put(frame)

    # Telling the application

    def _enter(self, state: ClientState) -> None:
        if state != self.state:
            self.state = state
            _call_all(self.state_handlers, state)

    def _report(self, error: ClientError) -> None:
        _call_all(self.error_handlers, error)


def _call_all(handlers: list[Callable[[T], None]], argument: T) -> None:
    for handler in tuple(handlers):
        try:
            handler(argument)
        except Exception:
            logger.exception("a handler failed")


def _is_done(ending: ClientError) -> bool:
    """Whether the application is done with this client."""
    return isinstance(ending, ConnectionClosed) and ending.code == NORMAL


def _not_allowed(room: str) -> RequestFailed:
    return RequestFailed(
        "room.join", FORBIDDEN, [{"path": "$.room", "message": f"{room} by the newer token"}]
    )
