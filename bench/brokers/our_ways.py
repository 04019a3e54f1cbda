"""wigwag's own way, the same on every broker: a provider, with a socket that counts."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from meter import Meter
from ways import IN_FLIGHT, TOPIC, Publish, Receive, in_tasks

from wigwag import create_provider
from wigwag.frames import Frame
from wigwag.provider import Provider


class CountingSocket:
    """A socket without a wire."""

    user_id: str | None = None

    def __init__(self, socket_id: str, count: Callable[[object], object]) -> None:
        self.id = socket_id
        self._count = count

    def write(self, frame: Frame) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""
        self._count(frame)

    def close(self, code: int, reason: str) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""


def receive_from(broker: str, variable: str) -> Receive:
    """The way to receive; ``variable`` says where the server is."""

    async def receive(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
        async with _provider(broker, variable, url) as provider:
            socket = CountingSocket(provider.new_socket_id(), count)
            provider.attach(socket)
            await provider.subscribe(socket.id, TOPIC)
            ready()
            await anyio.sleep_forever()

    return receive


def _the_topic(_: Provider) -> str:
    return TOPIC


def publish_to(
    broker: str, variable: str, tasks: int = IN_FLIGHT, topic_for: Callable[[Provider], str] = _the_topic
) -> Publish:
    """The way to publish, in so many tasks, on a node that has no socket."""

    async def publish(url: str, text: str, meter: Meter) -> None:
        async with _provider(broker, variable, url) as provider:
            topic = topic_for(provider)
            await in_tasks(lambda: provider.publish(topic, text), meter, tasks)

    return publish


def _provider(broker: str, variable: str, url: str) -> Provider:
    return create_provider(broker, environ={variable: url})
