"""Messages that clients send, defined once as classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Self, TypeVar

from wigwag.errors import Forbidden, InvalidMessage
from wigwag.messages import JoinRoom, LeaveRoom, ServerMessage
from wigwag.schema import schema_of
from wigwag.sockets.context import SocketContext
from wigwag.sockets.handlers import Guard, MessageGuard, Route, arity, call
from wigwag.sockets.router import SocketRouter
from wigwag.wire.client import Incoming

U = TypeVar("U")
M = TypeVar("M", bound=ServerMessage)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What :meth:`MessageRegistry.handle` made of a message."""

    status: Literal["handled", "unknown_type", "validation_failed"]
    #: What the handler returned.
    result: Any = None
    #: What does not fit, as ``{"path", "message"}``.
    details: list[dict[str, str]] = field(default_factory=list)


class MessageRegistry(SocketRouter[U], Generic[U]):
    """Handlers by :class:`~wigwag.ServerMessage` class; goes where a router goes.

    ::

        registry = MessageRegistry[User]().rooms(authorize=may_join).on(CursorMove, cursor_move)
        sockets = Sockets(upgrade=authenticate, routers=[registry])
    """

    def on(  # type: ignore[override]
        self,
        message: type[M],
        handler: Callable[[SocketContext[U, Any], M], object],
        *,
        guards: Sequence[Guard] | None = None,
    ) -> Self:
        """Handle messages of this class with ``handler(ctx, message)``; returns the registry.

        Raises:
            TypeError: the class has no name of its own, or is handled already.
        """
        given: Any = message  # whatever the type checker has let pass
        is_message = isinstance(given, type) and issubclass(given, ServerMessage)
        name = message.__dict__.get("__message_name__") if is_message else None
        if name is None:
            raise TypeError(f'{message!r} is no message of clients: class …(ServerMessage, name="…")')
        arity(handler, "a handler", (2,))
        route_guards = [*self._guards, *(MessageGuard(guard) for guard in guards or ())]
        self._add(Route(name, handler, route_guards, schema_of(message)))
        return self

    def rooms(
        self,
        authorize: Callable[[SocketContext[U, Any], str], object] | None = None,
        *,
        anyone: bool = False,
    ) -> Self:
        """Let clients join and leave rooms (topics) by ``room.join`` and ``room.leave``.

        ``authorize(ctx, room)``, sync or async, says who may join which; ``anyone=True`` lets every
        client join every room.  Returns the registry.

        Raises:
            TypeError: neither, or both.
        """
        if (authorize is None) is not anyone:
            raise TypeError("rooms() wants to know who may join: authorize=…, or anyone=True for everybody")
        if authorize is not None:
            arity(authorize, "authorize", (2,))

        async def join(ctx: SocketContext[U, Any], message: JoinRoom) -> None:
            if authorize is not None and not await call(authorize, ctx, message.room):
                raise Forbidden
            await ctx.subscribe(message.room)

        async def leave(ctx: SocketContext[U, Any], message: LeaveRoom) -> None:
            await ctx.unsubscribe(message.room)

        return self.on(JoinRoom, join).on(LeaveRoom, leave)

    async def handle(self, ctx: SocketContext[U, Any], message: Incoming) -> Outcome:
        """Handle one message outside a router: for a ``message`` handler of the application's own.

        Raises what guards and handlers raise; a guard that says no raises Forbidden.
        """
        route = self._routes.get(message.type)
        if route is None or route.schema is None:
            return Outcome("unknown_type")
        for guard in route.guards:
            await guard.check(ctx, message)
        try:
            data = route.schema.decode(message.data)
        except InvalidMessage as exc:
            return Outcome("validation_failed", details=exc.details)
        return Outcome("handled", await call(route.handler, ctx, data))
