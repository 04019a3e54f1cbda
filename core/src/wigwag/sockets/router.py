"""Message types to handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from wigwag.messages import check_message_name
from wigwag.sockets.context import SocketContext
from wigwag.sockets.handlers import Guard, MessageGuard, Route, arity, data_schema

U = TypeVar("U")
P = ParamSpec("P")
R = TypeVar("R")


class SocketRouter(Generic[U]):
    """Handlers by message type, for sockets whose user is a ``U``.

    ::

        chat = SocketRouter[User]()

        @chat.on("say")
        async def say(ctx: SocketContext[User], data: Say) -> None: ...

    A handler takes ``(ctx)`` or ``(ctx, data)``, sync or async; ``data`` arrives validated by its
    annotation.  What it returns is the reply's data.  Handlers of one socket run one after the other, in
    the order in which its messages came, on the event loop, not in a thread: await what waits.

    Guards run in the order application, router, route, before validation.
    """

    def __init__(
        self,
        *,
        connection_guards: Sequence[Guard] | None = None,
        guards: Sequence[Guard] | None = None,
    ) -> None:
        """``connection_guards`` are asked once a socket, ``guards`` before every message of the router.

        A guard returns true to let pass.  A connection guard that does not, or raises, closes the socket
        with 1008; a message guard answers ``Forbidden``, or the text of the SocketError it raises.
        """
        for guard in connection_guards or ():
            arity(guard, "a connection guard", (1,))
        self.connection_guards: list[Guard] = list(connection_guards or ())
        self._guards = [MessageGuard(guard) for guard in guards or ()]
        self._routes: dict[str, Route] = {}
        self._used = False

    def on(
        self, type: str, *, guards: Sequence[Guard] | None = None, data: Any = None
    ) -> Callable[
        [Callable[Concatenate[SocketContext[U, Any], P], R]],
        Callable[Concatenate[SocketContext[U, Any], P], R],
    ]:
        """Handle messages of this type with the function below.

        ``data`` is the type of its data where its annotation can't say.

        Raises:
            TypeError: it is handled already; the function takes something else; its annotation can't be
                seen; or the router is in use.
        """
        route_guards = [*self._guards, *(MessageGuard(guard) for guard in guards or ())]

        def register(
            function: Callable[Concatenate[SocketContext[U, Any], P], R],
        ) -> Callable[Concatenate[SocketContext[U, Any], P], R]:
            self._add(Route(type, function, route_guards, data_schema(function, data, depth=1)))
            return function

        check_message_name(type)
        return register

    def _add(self, route: Route) -> None:
        if self._used:
            raise TypeError(f"{route.name!r} comes too late: sockets use this router already")
        if route.name in self._routes:
            raise TypeError(f"messages of type {route.name!r} are handled already")
        self._routes[route.name] = route

    @property
    def routes(self) -> Mapping[str, Route]:
        """The routes so far."""
        return MappingProxyType(self._routes)

    def use(self) -> dict[str, Route]:
        """The routes, which from now on stay as they are: called when the first socket connects."""
        self._used = True
        return self._routes
