"""One connected socket, as every handler and guard sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from typing import TYPE_CHECKING, Any, Generic, cast

from starlette.datastructures import State
from typing_extensions import TypeVar

from wigwag.emitter import Emitter
from wigwag.errors import SocketError
from wigwag.frames import check_close_code
from wigwag.messages import Emittable, payload_of
from wigwag.sockets.handlers import DONE, Done
from wigwag.wire.client import TOO_MANY_JOINS, TOO_MANY_TOPICS

if TYPE_CHECKING:
    from wigwag.sockets.connection import Connection
    from wigwag.sockets.session import Session

U_co = TypeVar("U_co", covariant=True, default=None)
E_co = TypeVar("E_co", covariant=True, bound=Emitter, default=Emitter)


class Topics(Set[str]):
    """A live view of the topics that a socket wants; iterates over a snapshot."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __contains__(self, topic: object) -> bool:
        return topic in self._now()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._now()))

    def __len__(self) -> int:
        return len(self._now())

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Set[Any]:
        return frozenset(it)  # what &, |, - and ^ make is no view

    def _now(self) -> Collection[str]:
        return self._session.provider.topics_of(self._session.id)

    def __repr__(self) -> str:
        return f"Topics({sorted(self)})"


class SocketContext(Generic[U_co, E_co]):
    """One connected socket.

    ``SocketContext[User]`` says what the upgrade hook returns, ``SocketContext[User, AppEmitter]`` which
    emitter the application has.
    """

    __slots__ = ("_session", "_state")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._state: State | None = None

    @property
    def id(self) -> str:
        """The socket's id: what ``emitter.send`` and ``provider.disconnect`` take."""
        return self._session.id

    @property
    def user(self) -> U_co:
        """What the upgrade hook returned, or ``serve`` was given."""
        return cast("U_co", self._session.user)

    @property
    def state(self) -> State:
        """The application's own notes, for the connection's life: ``ctx.state.tenant = …``."""
        state = self._state
        if state is None:
            state = self._state = State()
        return state

    @property
    def topics(self) -> Set[str]:
        """The topics that the socket wants; the ``close`` handler still sees them."""
        return Topics(self._session)

    @property
    def connection(self) -> Connection:
        """The connection: the peer's address, the subprotocol, how much waits to be sent.

        What is needed of headers, cookies and the query is taken in the upgrade hook: a request is not
        kept for the life of its socket.
        """
        return self._session.connection

    @property
    def emitter(self) -> E_co:
        """The application's emitter."""
        return cast("E_co", self._session.app.emitter)

    async def subscribe(self, *topics: str) -> None:
        """Return when the topics are live: what is published from now on reaches the client.

        Raises:
            InvalidTopic: a topic can't be used; nothing was subscribed. In a handler it becomes
                ``Validation failed``.
            SocketError: more topics than ``Limits.topics``, or more in a second than ``Limits.joins_per_s``.
            NotLive: the broker did not confirm within its limit. The wish stands.
            TopicRefused: the broker forbids the topic.
            NotConnected: the socket has gone.
        """
        session = self._session
        wanted = self.topics
        limit = session.app.limits.topics
        if len(wanted) + len(topics) > limit and len(wanted) + len(set(topics) - wanted) > limit:
            session.violated(TOO_MANY_TOPICS)
            raise SocketError(TOO_MANY_TOPICS)
        if not session.may_ask_for(len(topics)):
            session.violated(TOO_MANY_JOINS)
            raise SocketError(TOO_MANY_JOINS)
        await session.provider.subscribe(session.id, *topics)

    async def unsubscribe(self, *topics: str) -> None:
        """Take the wishes back.  Raises InvalidTopic."""
        await self._session.provider.unsubscribe(self._session.id, *topics)

    def send(self, message: str | bytes | Emittable) -> Done:
        """Send to this socket, after what was sent before.  To one that has gone it does nothing.

        Nothing is waited for: the call itself sends, so that a handler which is a plain function may leave out
        the ``await``.

        Raises:
            InvalidMessage: the message does not fit its own definition.
        """
        self._session.connection.send(*payload_of(message))
        return DONE

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close the socket; what was sent before still goes out.

        Raises:
            ValueError: a code that can't be sent.
        """
        check_close_code(code)
        self._session.close(code, reason)

    def __repr__(self) -> str:
        return f"<SocketContext {self.id}>"
