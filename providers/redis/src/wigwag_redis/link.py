"""One connection: commands go out in one write, replies come back in their order, messages in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import hiredis
from hiredis import ProtocolError, Reader, ReplyError
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from wigwag.broker import BrokerLost
from wigwag_redis.dialing import Dialer, plain, refusal
from wigwag_redis.url import Address

Command = tuple[str | bytes, ...]
Deliver = Callable[[str, bytes], object]

#: 0.5 µs a command; redis-py's own way takes 2.
_pack: Callable[[tuple[str | bytes, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_MESSAGES = (b"message", b"smessage")
#: HELLO needs no permission, and names us in CLIENT LIST.
_NAME = ("SETNAME", "wigwag")
#: What a peer may say before it has answered HELLO: until then it may be anything, and say anything.
_STRANGER_BYTES: Final = 64 * 1024


class Hello(NamedTuple):
    """What a server says of itself."""

    version: str
    #: ``standalone``, ``cluster`` or ``sentinel``.
    mode: str
    is_master: bool

    @property
    def major(self) -> int:
        """The first number of the version; 0 where that is none."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdecimal() else 0


class Loss:
    """Why a session is over; the first reason counts."""

    def __init__(self) -> None:
        self._why: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def tell(self, why: str) -> None:
        """The session is over."""
        if not self._why.done():
            self._why.set_result(why)

    async def wait(self) -> NoReturn:
        """Raises BrokerLost when the session is over."""
        raise BrokerLost(await self._why)


class _Call:
    __slots__ = ("count", "done", "replies")

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[Any] = []
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


class Link(asyncio.Protocol):
    """A connection that redis-py makes, and whose transport is taken over from it.

    redis-py's own way of reading costs twice as much for each message.  There is no ``pause_writing``: core has
    one batch of publishes and one of subscribes under way, and a call returns when it is answered.
    """

    def __init__(
        self,
        dialer: Dialer,
        address: Address,
        loss: Loss,
        deliver: Deliver | None = None,
        *,
        skip: int = 0,
    ) -> None:
        """``loss`` is told when the link goes; ``deliver`` is called with each message, whose topic is the channel
        without its first ``skip`` bytes."""
        self.address: Address = address
        self._dialer = dialer
        self._loss = loss
        self._deliver = deliver
        self._skip = skip
        self._calls: deque[_Call] = deque()
        self._replies = Reader()
        self._connection: AbstractConnection | None = None
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()
        self._is_let_in = False
        self._stranger_bytes = 0

    async def connect(self) -> None:
        """Raises BrokerLost, in one line, where the server can't be reached."""
        connection = self._dialer.connection(self.address)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as exc:
            raise BrokerLost(f"{self.address} can't be reached: {self._dialer.explain(exc)}") from exc
        # Nothing was asked yet, so nothing can have been read. The connection is kept, since it would
        # close what is ours when it is collected.
        self._connection = connection
        transport: Any = connection._writer and connection._writer.transport
        transport.set_protocol(self)
        self._transport = transport

    async def open(self) -> Hello:
        """Connect, log in, and ask what is there.

        Raises:
            BrokerLost: in one line, where the server can't be reached, refuses us, or is too old.
        """
        with self._dialer.in_time(self.address):
            await self.connect()
            return await self.hello(*self._dialer.login, *_NAME)

    async def hello(self, *arguments: str) -> Hello:
        """Ask what the server is, now.  Raises BrokerLost where it won't have us."""
        (reply,) = await self.call([("HELLO", "2", *arguments)])
        if isinstance(reply, ReplyError):
            raise BrokerLost(refusal(self.address, str(reply)))
        try:
            said = dict(zip(reply[::2], reply[1::2], strict=False))
            # A sentinel has no role.
            hello = Hello(said[b"version"].decode(), said[b"mode"].decode(), said.get(b"role") == b"master")
        except (TypeError, KeyError, AttributeError, ValueError):
            raise BrokerLost(
                f"{self.address} does not answer HELLO as Redis does; is the port right?"
            ) from None
        self._is_let_in = True
        return hello

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send them in one write; the replies, in order, with a ReplyError for each that failed."""
        if self._transport is None or self._transport.is_closing():
            raise BrokerLost(f"the link to {self.address} is closed")
        call = _Call(len(commands))
        self._calls.append(call)
        self._transport.write(b"".join([_pack(command) for command in commands]))
        return await call.done

    def data_received(self, data: bytes) -> None:
        if not self._is_let_in:
            self._stranger_bytes += len(data)
            if self._stranger_bytes > _STRANGER_BYTES:
                self._end(f"{self.address} says more than Redis does before HELLO; is the port right?")
                return
        self._replies.feed(data)
        gets, deliver, skip = self._replies.gets, self._deliver, self._skip
        try:
            while (reply := gets()) is not False:
                if deliver is not None and type(reply) is list and reply and reply[0] in _MESSAGES:
                    deliver(reply[1][skip:].decode(), reply[2])
                else:
                    self._answer(reply)
        except (ProtocolError, MemoryError) as exc:  # the latter: an array of billions
            self._end(f"{self.address} does not speak as Redis does ({str(exc) or 'out of memory'})")

    def _answer(self, reply: Any) -> None:
        # A farewell, or a cluster's word that a slot has moved; during a call that counts as an answer, and the last
        # of the answers is the one that nobody asked for.
        if not self._calls:
            self._end(f"{self.address} ended it ({plain(_in_words(reply))})")
            return
        call = self._calls[0]
        call.replies.append(reply)
        if len(call.replies) == call.count:
            self._calls.popleft()
            if not call.done.done():
                call.done.set_result(call.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the server closed the connection" if exc is None else self._dialer.explain(exc)
        if not self._is_let_in and (exc is None or isinstance(exc, ConnectionError)):
            why += f"; {self._dialer.advice}"
        self._end(f"the link to {self.address} is lost: {why}")
        self._gone.set()

    def _end(self, why: str) -> None:
        self._loss.tell(why)
        self.abort()
        for call in self._calls:
            if not call.done.done():
                call.done.set_exception(BrokerLost(why))
        self._calls.clear()

    def abort(self) -> None:
        """Drop the connection, with what is not yet written."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Abort, and return when nothing is left of it, which does not take the peer."""
        self.abort()
        if self._connection is not None:
            await self._gone.wait()
            await self._connection.disconnect(nowait=True)


def _in_words(reply: Any) -> str:
    if isinstance(reply, list):
        return " ".join(part.decode(errors="replace") for part in reply if isinstance(part, bytes))
    return str(reply)
