"""How a process ends without anybody's noticing: it says so, waits, closes its sockets at a pace, and only then stops.

All the while everything else goes on: what is published is delivered to those who are still there, the internal API
answers, and until sockets are closed new ones are let in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import anyio
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wigwag.errors import SettingsError
from wigwag.pacing import pace
from wigwag.provider import Provider, ProviderSettings
from wigwag.provider.signal import Latch
from wigwag.settings import ServiceSettings
from wigwag.uvicorn import WebSocketProtocol
from wigwag.uvicorn.http import Gate

logger: logging.Logger = logging.getLogger("wigwag.service")

#: How long requests and sockets have to end once the server stops, after a drain.  In seconds.
GRACE_S: Final = 5
#: Of the time in which sockets are to be closed, the last part is for the last to answer.
CLOSES_WITHIN: Final = 0.9
#: How often it is looked whether the last have gone, which nobody tells.
_LOOK_S: Final = 0.05


class Drain:
    """One process's drain, which is begun by a signal or over HTTP, once.  Made outside of the event loop."""

    def __init__(self, settings: ServiceSettings, gate: Gate, providers: Sequence[Provider] = ()) -> None:
        """``providers``: whose nodes tell others that they leave; those that are in it then."""
        self._gate = gate
        self._providers = providers
        self._delay_s = settings.drain_delay_s
        self._timeout_s = settings.drain_timeout_s
        self._per_s = settings.drain_per_s
        self._refuses = True
        self._ends_at = 0.0  # by the loop's clock, once sockets are being closed
        self._begun = Latch()
        self._hurried = Latch()

    @property
    def is_draining(self) -> bool:
        """Whether it has begun."""
        return self._begun.is_set

    def begin(
        self, *, delay_s: float | None = None, per_s: float | None = None, refuses: bool = True
    ) -> None:
        """Begin, unless it has begun; what is not given is as the settings say.

        A delay of 0 ends one that is being waited for, too.  ``refuses=False``: where new connections go elsewhere
        already, those that have come are let in, and closed with the rest.
        """
        if not self._begun.is_set:
            self._delay_s = self._delay_s if delay_s is None else delay_s
            self._per_s = self._per_s if per_s is None else per_s
            self._refuses = refuses
            self._begun.set()
        if delay_s == 0:
            self._hurried.set()

    async def run(self, connections: AbstractSet[object]) -> None:
        """Wait until it is begun; return when no WebSocket is left among these, or the time is over.

        ``connections`` are the server's, as they are at any time.
        """
        await self._begun.waiter()
        for provider in self._providers:
            if provider.node is not None:
                provider.node.leave()
        count = self._gate.sockets
        logger.info(
            "draining: %d sockets are closed in %g s, %g a second or more, within %g s",
            count,
            self._delay_s,
            self._per_s,
            self._timeout_s,
        )
        with anyio.move_on_after(self._delay_s):
            await self._hurried.waiter()
        self._gate.is_closing = self._refuses
        self._ends_at = anyio.current_time() + self._timeout_s
        await self.close(connections)
        logger.info("drained: %d sockets are left", self._gate.sockets)

    async def close(self, connections: AbstractSet[object]) -> None:
        """Close all at the pace, in what is left of the time; those whose handshake is under way, when it is over."""
        closed_by = self._ends_at - self._timeout_s * (1 - CLOSES_WITHIN)
        with anyio.CancelScope(deadline=self._ends_at):
            while self._gate.sockets:
                if left := sockets_of(connections):
                    limit_s = max(0.0, closed_by - anyio.current_time())
                    await pace(left, send_away, per_s=self._per_s, limit_s=limit_s)
                else:
                    await anyio.sleep(_LOOK_S)  # nobody tells


def sockets_of(connections: AbstractSet[object]) -> list[WebSocketProtocol]:
    """The open WebSockets among a server's connections, in no order.

    One whose handshake is under way would be refused, a failed attempt; open, it is closed with 1012.
    """
    return [each for each in connections if isinstance(each, WebSocketProtocol) and each.is_open]


def send_away(socket: WebSocketProtocol) -> None:
    """Close it with 1012: its client is to come back elsewhere."""
    socket.shutdown()


def most_stop_s(settings: ServiceSettings, provider: ProviderSettings) -> float:
    """How long a process may take to end, from the signal on, handlers that keep to their limits provided."""
    return settings.drain_delay_s + settings.drain_timeout_s + GRACE_S + 2 * provider.stop_timeout_s


def stop_limit_s(settings: ServiceSettings, provider: ProviderSettings) -> float:
    """How long a worker has to end, from the signal on.

    Raises:
        SettingsError: it is set to less than a drain may take.
    """
    given = settings.worker_stop_timeout_s
    least = settings.drain_delay_s + settings.drain_timeout_s + provider.stop_timeout_s
    if given is None:
        return most_stop_s(settings, provider)
    if given < least:
        variable = "WIGWAG_WORKER_STOP_TIMEOUT_S"
        raise SettingsError(
            f"{variable}={given:g} is too short: a drain may take WIGWAG_DRAIN_DELAY_S, WIGWAG_DRAIN_TIMEOUT_S and "
            f"WIGWAG_STOP_TIMEOUT_S, {least:g} s in all",
            variable=variable,
        )
    return given


class SendsElsewhere:
    """Middleware: during a drain each answer is the last of its connection.

    Who keeps connections would else stay until the process ends, when a request may be on its way, and not come back
    by the load balancer to a replica that stays.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`starlette.types.ASGIApp`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.is_draining:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_last)


class DrainCollector(Collector):
    """Tells Prometheus."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    def collect(self) -> Iterator[Metric]:
        """One family."""
        value = int(self._drain.is_draining)
        yield GaugeMetricFamily(
            "wigwag_draining", "Whether the process drains: it is about to end.", value=value
        )
