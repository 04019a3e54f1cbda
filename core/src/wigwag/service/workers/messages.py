"""What a supervisor and its workers say to each other, over a pair of sockets that nobody else has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec

from wigwag.local.protocol import Parser, encode

M = TypeVar("M")


class Spec(msgspec.Struct):
    """What a worker is started with; all else stands in its environment."""

    number: int
    #: How many there are.
    workers: int
    app: str | None
    app_dir: str | None
    #: Where connections come from, each as a file descriptor; its end means: finish.
    connections_fd: int
    #: Where the messages below go and come.
    control_fd: int


class Ready(msgspec.Struct, tag="ready"):
    """The application has started: connections may come."""

    #: What ``wigwag serve`` prints; the first worker's is.
    banner: str
    has_provider: bool


class Failed(msgspec.Struct, tag="failed"):
    """It could not start, or go on, for a reason that is worth one line."""

    text: str
    #: A setting is wrong, so that ``wigwag serve`` ends with 2.
    is_usage: bool


class Load(msgspec.Struct, tag="load"):
    """How much a worker has to do."""

    #: Connections that it was handed so far, ever.
    received: int
    #: Of those, how many are open.
    open: int


class Leaving(msgspec.Struct, tag="leaving"):
    """Somebody else asked it to end: it does as soon as no more connections can come."""


class Ask(msgspec.Struct, tag="ask"):
    """A request on the internal port, for a worker to answer."""

    id: int
    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    client: tuple[str, int] | None = None


class Answer(msgspec.Struct, tag="answer"):
    """The answer to one."""

    id: int
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Drain(msgspec.Struct, tag="drain"):
    """Close your sockets, after so long, so many in a second: a worker's share of what the service is to do."""

    delay_s: float
    per_s: float
    #: Whether nobody is to be let in once they are being closed; else those that you were handed are.
    refuses: bool


class Drained(msgspec.Struct, tag="drained"):
    """A worker has no sockets any more, or no time left for them.  What else it does it goes on doing."""


FromWorker = Ready | Failed | Load | Leaving | Answer | Drained
ToWorker = Ask | Drain

_pack = msgspec.msgpack.Encoder().encode


def pack(message: msgspec.Struct) -> bytes:
    """A message as it is sent."""
    return encode(0, _pack(message))


class Channel(asyncio.Protocol, Generic[M]):
    """One end of the pair, in an event loop."""

    def __init__(self, type_: Any, on_message: Callable[[M], object], on_lost: Callable[[], object]) -> None:
        self._decode = cast("Callable[[bytes], M]", msgspec.msgpack.Decoder(type_).decode)
        self._on_message = on_message
        self._on_lost = on_lost
        self._parser = Parser(self._on_frame)
        self._transport: asyncio.Transport | None = None

    def send(self, message: msgspec.Struct) -> None:
        """Send a message; nothing where the other end has gone."""
        if self._transport is not None:
            self._transport.write(pack(message))

    def close(self) -> None:
        """Close this end."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._parser.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = None
        self._on_lost()

    def _on_frame(self, kind: int, topic: bytes, data: bytes, at: int, body_at: int, end: int) -> None:
        self._on_message(self._decode(data[body_at:end]))
