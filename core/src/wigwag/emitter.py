"""The concrete emitter, which an application subclasses to speak in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from wigwag.interfaces import WebSocketProvider
from wigwag.messages import Emittable, MessageType, SocketMessage, SocketMessageLike

T = TypeVar("T")


class Emitter:
    """Publishes to topics, sockets and everybody.  A :class:`SocketEmitter`, with extras.

    Subclass it to give services the application's own vocabulary, and hand the class to ``Sockets``::

        class AppEmitter(Emitter):
            async def incident_created(self, incident: Incident) -> None:
                await self.emit(IncidentCreated.of(incident), topic("incidents", incident.project))

        sockets = Sockets(emitter=AppEmitter)

    A subclass with an ``__init__`` of its own takes the provider and passes it on.

    What each call raises, and what its return means, stands on :class:`SocketEmitter`.
    """

    def __init__(self, provider: WebSocketProvider) -> None:
        self._provider = provider

    async def publish(self, topic: str, message: str | bytes, *, exclude: str | None = None) -> None:
        """Deliver a text or binary message to each socket of the topic, ``exclude`` excepted."""
        await self._provider.publish(topic, message, exclude=exclude)

    async def send(self, socket_id: str, message: str | bytes | Emittable) -> None:
        """Deliver to one socket, on whichever node it hangs.  One that has gone is no error."""
        await self._provider.send(socket_id, message)

    async def broadcast(self, message: str | bytes | Emittable, *, exclude: str | None = None) -> None:
        """Deliver to every socket of every node, ``exclude`` excepted."""
        await self._provider.broadcast(message, exclude=exclude)

    @overload
    async def emit(self, message: Emittable, topic: str, *, exclude: str | None = None) -> None: ...
    @overload
    async def emit(
        self, message: SocketMessageLike[T], topic: str, data: T, *, exclude: str | None = None
    ) -> None: ...
    @overload
    async def emit(
        self,
        message: type[SocketMessage] | MessageType[Any],
        topic: str,
        data: Mapping[str, Any],
        *,
        exclude: str | None = None,
    ) -> None: ...
    async def emit(self, message: Any, topic: str, data: Any = None, *, exclude: str | None = None) -> None:
        """Deliver a typed message to each socket of the topic, after seeing that its data fits."""
        await self._provider.emit(message, topic, data, exclude=exclude)
