"""The interfaces that an application may depend on, or implement: protocols, with no code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

from wigwag.frames import Batch, Frame
from wigwag.messages import Emittable, MessageType, SocketMessage, SocketMessageLike

T = TypeVar("T")


class SocketEmitter(Protocol):
    """What a service needs to reach sockets: four methods, and so does its fake in a test.

    Each returns when the message is on its way: delivered to the sockets' buffers (in-process), or
    taken by the broker.

    Raises:
        NotRunning: before start, or after stop.
        InvalidTopic, InvalidSocketId, InvalidMessage: what was asked can't be done.
        NotAccepted: certainly not sent.
        Uncertain: the link was lost after it was handed over; it may have been delivered.

    A cancelled call may still send.
    """

    async def publish(self, topic: str, message: str | bytes) -> None:
        """Deliver a text (str) or binary (bytes) message to each socket subscribed to the topic."""
        ...

    async def send(self, socket_id: str, message: str | bytes | Emittable) -> None:
        """Deliver to one socket, on whichever node it hangs.  One that has gone is no error."""
        ...

    async def broadcast(self, message: str | bytes | Emittable) -> None:
        """Deliver to every socket of every node."""
        ...

    @overload
    async def emit(self, message: Emittable, topic: str) -> None: ...
    @overload
    async def emit(self, message: SocketMessageLike[T], topic: str, data: T) -> None: ...
    @overload
    async def emit(
        self, message: type[SocketMessage] | MessageType[Any], topic: str, data: Mapping[str, Any]
    ) -> None: ...


class SocketLifecycle(Protocol):
    """What can be started and stopped; both are idempotent."""

    async def start(self) -> None:
        """Start, unless started."""
        ...

    async def stop(self) -> None:
        """Stop, unless stopped."""
        ...


class LocalSocket(Protocol):
    """How a socket attaches to a provider: what fan-out needs of it.

    The methods are synchronous, never block and never raise; after the socket has gone they do nothing.
    """

    @property
    def id(self) -> str:
        """The id that :meth:`WebSocketProvider.new_socket_id` gave."""
        ...

    @property
    def user_id(self) -> str | None:
        """Whom ``disconnect_user`` knows it by."""
        ...

    def write(self, frame: Frame) -> None:
        """Send the frame, or queue it within the socket's own limits."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Begin to close the socket."""
        ...


class BatchingSocket(LocalSocket, Protocol):
    """A local socket that takes what one turn of the event loop publishes to a topic in one write.

    An extra: a socket without it is given its frames one by one.
    """

    #: Hands RFC 6455 bytes to the kernel at once, and returns how many it took; may raise OSError. None while
    #: that would not be right: something else waits to be sent, or the bytes are not for the kernel as they are.
    send_now: Callable[[bytes], int] | None

    #: Set by whoever the socket is attached to: writes what was published and is not written yet. A socket that closes
    #: of itself calls it first.
    flush: Callable[[], object] | None

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait to be sent; asked for metrics, of those whose :attr:`send_now` is None."""
        ...

    def unsent(self, data: bytes, sent: int) -> None:
        """Of these bytes only so many could be sent now: the socket sees to the rest."""
        ...

    def write_batch(self, batch: Batch) -> None:
        """Send the frames, or queue them within the socket's own limits."""
        ...


@runtime_checkable
class WebSocketProvider(Protocol):
    """Who is connected, who wants what, and the way to them: what ``Sockets`` stands on.

    wigwag's own is made by :func:`wigwag.create_provider`; another can be written from outside.
    """

    async def start(self) -> None:
        """Start, unless started."""
        ...

    async def stop(self) -> None:
        """Close the sockets, and stop, unless stopped."""
        ...

    async def __aenter__(self) -> object:
        """Counted: who enters first starts it, who leaves last stops it."""
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def publish(self, topic: str, message: str | bytes, *, exclude: str | None = None) -> None:
        """See :class:`SocketEmitter`; ``exclude`` is the id of a socket that does not get it."""
        ...

    async def send(self, socket_id: str, message: str | bytes | Emittable) -> None:
        """See :class:`SocketEmitter`."""
        ...

    async def broadcast(self, message: str | bytes | Emittable, *, exclude: str | None = None) -> None:
        """See :class:`SocketEmitter`."""
        ...

    async def emit(self, message: Any, topic: str, data: Any = None, *, exclude: str | None = None) -> None:
        """See :class:`SocketEmitter`."""
        ...

    def new_socket_id(self) -> str:
        """An id for a socket that is about to attach.

        Raises:
            NotRunning: before start, or after stop.
        """
        ...

    def attach(self, socket: LocalSocket) -> None:
        """Count the socket as connected; from now on it gets broadcasts and direct messages."""
        ...

    def detach(self, socket_id: str) -> None:
        """Forget the socket and all its topics.  One that is not attached is no error."""
        ...

    async def subscribe(self, socket_id: str, *topics: str) -> None:
        """Return when all the topics are live for the socket: what is published from then on reaches it.

        Raises:
            InvalidTopic: a topic can't be used; nothing was subscribed.
            NotConnected: the socket has gone.
            NotLive, TopicRefused, Unsubscribed: see :mod:`wigwag.errors`.

        Cancelled, or with ``NotLive``, the wish stands until it is taken back.
        """
        ...

    async def unsubscribe(self, socket_id: str, *topics: str) -> None:
        """Take the wishes back.  What was not subscribed is no error."""
        ...

    async def disconnect(self, socket_id: str, code: int = 1000, reason: str = "") -> None:
        """Close a socket, on whichever node it hangs.  One that has gone is no error."""
        ...

    async def disconnect_user(self, user_id: str, code: int = 1000, reason: str = "") -> None:
        """Close every socket of a user, on every node."""
        ...

    def is_connected(self, socket_id: str) -> bool:
        """Whether the socket hangs on this node."""
        ...

    def connection_count(self) -> int:
        """How many sockets hang on this node."""
        ...

    def topic_subscriber_count(self, topic: str) -> int:
        """How many sockets of this node want the topic."""
        ...

    def topics_of(self, socket_id: str) -> Collection[str]:
        """The topics that the socket wants, none for one that is not attached.

        A view: copy it before anything may change it.
        """
        ...
