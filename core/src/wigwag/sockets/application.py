"""What one ``Sockets`` was given, ready to serve: handlers, guards, routes, limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from wigwag.emitter import Emitter
from wigwag.pacing import pace
from wigwag.provider.counters import Counters
from wigwag.sockets.handlers import Guard, Handler, MessageGuard, Route, arity
from wigwag.sockets.limits import Limits
from wigwag.sockets.router import SocketRouter
from wigwag.wire.client import GOING_AWAY

if TYPE_CHECKING:
    from wigwag.sockets.session import Session


class Application:
    """Shared by all sockets of one ``Sockets``."""

    emitter: Emitter

    def __init__(
        self,
        *,
        routers: Sequence[SocketRouter[Any]],
        connection_guards: Sequence[Guard],
        guards: Sequence[Guard],
        handlers: dict[str, Handler | None],
        user_id: Callable[[Any], str | None] | None,
        limits: Limits,
    ) -> None:
        """Raises TypeError for a handler or guard that takes something else."""
        for guard in connection_guards:
            arity(guard, "a connection guard", (1,))
        for name, count in _ARITY.items():
            if handlers[name] is not None:
                arity(handlers[name], f"{name}=", (count,))
        self.on_open: Handler | None = handlers["open"]
        self.on_message: Handler | None = handlers["message"]
        self.on_close: Handler | None = handlers["close"]
        self.on_ping: Handler | None = handlers["ping"]
        self.on_pong: Handler | None = handlers["pong"]
        self.on_drain: Handler | None = handlers["drain"]
        self._routers = list(routers)
        self.connection_guards: list[Guard] = [
            *connection_guards,
            *(guard for router in routers for guard in router.connection_guards),
        ]
        self.guards: list[MessageGuard] = [MessageGuard(guard) for guard in guards]
        self.limits = limits
        self.counters: Counters = Counters()
        self.sessions: set[Session] = set()
        self._sockets_of: Counter[str] = Counter()
        self._ended: anyio.Event | None = None
        #: Whether no more sockets are let in, since those that are there are being sent away.
        self.is_draining: bool = False
        self._user_id = user_id
        #: Whether all messages go to ``on_message`` as they are.
        self.takes_raw_only: bool = self.on_message is not None and not self._routers
        self._routes: dict[str, Route] | None = None

    @property
    def routes(self) -> dict[str, Route]:
        """Message types to routes; fixed when first asked for."""
        if self._routes is None:
            routes: dict[str, Route] = {}
            for router in self._routers:
                for name, route in router.use().items():
                    if name in routes:
                        raise TypeError(f"messages of type {name!r} are handled by two routers")
                    routes[name] = route
            self._routes = routes
        return self._routes

    def user_id(self, user: Any) -> str | None:
        """By what ``disconnect_user`` knows a user: what ``user_id=`` says, or a user that is a string."""
        if self._user_id is not None:
            return self._user_id(user)
        return user if isinstance(user, str) else None

    def may_have_another(self, user_id: str | None) -> bool:
        """Whether the user may have one more socket; it is counted, until :meth:`has_one_less`."""
        limit = self.limits.sockets_per_user
        if limit is None or user_id is None:
            return True
        if self._sockets_of[user_id] >= limit:
            return False
        self._sockets_of[user_id] += 1
        return True

    def has_one_less(self, user_id: str | None) -> None:
        """A socket of the user's has ended, or did not come about."""
        if user_id is not None and user_id in self._sockets_of:
            self._sockets_of[user_id] -= 1
            if not self._sockets_of[user_id]:
                del self._sockets_of[user_id]

    def forget(self, session: Session) -> None:
        """A session has ended."""
        self.sessions.discard(session)
        self.has_one_less(session.user_id)
        if self._ended is not None and not self.sessions:
            self._ended.set()

    async def drain(self, per_s: float, limit_s: float) -> None:
        """Let nobody in any more, and close every socket at a pace; return when all are told."""
        self.is_draining = True
        ends_at = anyio.current_time() + limit_s
        while left := [session for session in self.sessions if not session.connection.is_closing]:
            await pace(left, _send_away, per_s=per_s, limit_s=max(0.0, ends_at - anyio.current_time()))

    async def close_sessions(self, code: int, reason: str) -> None:
        """Close every socket, and return when their close handlers have run; each has its limits."""
        if not self.sessions:
            return
        self._ended = anyio.Event()
        for session in list(self.sessions):
            session.close(code, reason)
        with anyio.move_on_after(_CLOSE_STEPS * self.limits.close_timeout_s):
            await self._ended.wait()


def _send_away(session: Session) -> None:
    session.close(GOING_AWAY, "going away")


#: What a socket has yet to send, its handlers, its close handler: each has ``close_timeout_s``.
_CLOSE_STEPS = 3
_ARITY = {"open": 1, "message": 2, "close": 3, "ping": 2, "pong": 2, "drain": 1}
