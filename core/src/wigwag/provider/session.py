"""One broker session: reconcile, publish and probe, until any of them ends it."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Protocol

import anyio
import anyio.abc

from wigwag.broker import Broker, BrokerLost, Position, Refused
from wigwag.provider.channels import Channels, Join, Leave
from wigwag.provider.outbox import Lane, Outbox
from wigwag.provider.probe import Node as ProbedNode
from wigwag.provider.probe import Prober
from wigwag.provider.settings import ProviderSettings
from wigwag.provider.signal import Signal

logger: logging.Logger = logging.getLogger("wigwag.provider")


class Node(ProbedNode, Protocol):
    """What a session asks of the provider; all synchronous, but for the telling."""

    def session_ready(self, *, kept: bool) -> None: ...
    def live(self, topics: Sequence[str]) -> None: ...
    def refused(self, topic: str, reason: str) -> None: ...
    def arrived(self, topic: str, payload: bytes, position: Position | None) -> None: ...
    def gap(self, topics: Sequence[str] | None) -> None: ...
    async def tell(self) -> None: ...


class Session:
    """Core's side of one ``run`` of a broker; also its :class:`~wigwag.broker.Inbox`."""

    def __init__(
        self,
        broker: Broker,
        node: Node,
        channels: Channels,
        outbox: Outbox,
        changed: Signal,
        settings: ProviderSettings,
    ) -> None:
        self._broker = broker
        self._node = node
        self._channels = channels
        self._outbox = outbox
        self._changed = changed
        self._settings = settings
        self._over = False
        self._ready = anyio.Event()
        self._scope = anyio.CancelScope()
        self._cause: BaseException | None = None
        self.prober: Prober = Prober(broker, node, outbox, settings)
        self.is_ready: bool = False

    # Inbox: what the plugin calls

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._over or self.is_ready:
            return
        self.is_ready = True
        self.prober.is_proved = self._broker.in_process
        self._outbox.begin(max_payload_bytes)
        self._node.session_ready(kept=kept)
        self._ready.set()

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._over:
            return
        prober = self.prober
        prober.inbound += 1
        try:
            if prober.has_lanes:
                prober.count(topic)
            self._node.arrived(topic, payload, position)
        except Exception:
            logger.exception("a message on %r could not be handled", topic)

    def gap(self, topics: Sequence[str] | None = None) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if not self._over:
            self._node.gap(topics)

    # Core's own side

    async def run(self) -> BaseException | None:
        """Run until the session ends; returns why it did.

        Cancelled, it closes the broker first, within 2 s.
        """
        try:
            async with anyio.create_task_group() as tasks:
                with self._scope:
                    tasks.start_soon(self._guard, self._receive)
                    with anyio.move_on_after(self._settings.session_timeout_s):
                        await self._ready.wait()
                    if not self.is_ready:
                        self._end(BrokerLost("the broker did not become ready in time"))
                    elif not self._over:
                        self._serve(tasks)
                        await anyio.sleep_forever()
                tasks.cancel_scope.cancel()
        finally:
            self._outbox.on_new_lane = None
            self._outbox.forget_urgent()
            with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                try:
                    await self._broker.close()
                except Exception:
                    logger.exception("the broker plugin failed to close its session")
        return self._cause

    def _serve(self, tasks: anyio.abc.TaskGroup) -> None:
        def serve_lane(lane: Lane) -> None:
            if not self._broker.capabilities.keeps_messages:  # else what was taken is heard
                self._cover([lane.key])
            tasks.start_soon(self._guard, lambda: self._outbox.serve(lane, lambda: self._over))

        tasks.start_soon(self._guard, self._reconcile)
        if not self._broker.in_process:
            has_probe = self._node.probe_channel is not None
            tasks.start_soon(self._guard, self.prober.run if has_probe else self._outlast)
        tasks.start_soon(self._guard, self._outbox.serve_backlog)
        for lane in list(self._outbox.lanes.values()):
            serve_lane(lane)
        self._outbox.on_new_lane = serve_lane

    def _end(self, cause: BaseException) -> None:
        self._over = True
        self._cause = self._cause or cause
        self._scope.cancel()

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task of the session: any exception ends the session, as its cause.

        Also a cancellation that nobody here asked for: a future of the plugin's that was cancelled under it.
        """
        try:
            await task()
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -math.inf:
                raise
            self._end(BrokerLost("a call of the broker plugin was cancelled from within"))
        except Exception as exc:  # noqa: BLE001 - it becomes the session's end
            self._end(exc)

    async def _receive(self) -> None:
        try:
            await self._broker.run(self)
        finally:
            self._over = True  # at once: from here on no other call may begin
        raise BrokerLost("the broker plugin's run() returned")

    async def _reconcile(self) -> None:
        """Bring what is live to what is wanted: the only caller of subscribe and unsubscribe."""
        while not self._over:
            step = self._channels.next(anyio.current_time())
            if isinstance(step, Join):
                await self._join(step.topics)
                await self._node.tell()
            elif isinstance(step, Leave):
                with anyio.fail_after(self._settings.session_timeout_s):
                    try:
                        await self._broker.unsubscribe(step.topics)
                    except Refused:
                        logger.warning("the broker refused to unsubscribe from %d topics", len(step.topics))
            else:
                await self._node.tell()
                until = step.until
                await self._changed.wait(None if until is None else max(0.0, until - anyio.current_time()))

    def _cover(self, lanes: Iterable[Hashable]) -> None:
        """Probe each of these lanes."""
        if not self._broker.in_process:
            for lane in lanes:
                self.prober.cover(lane)

    async def _join(self, topics: list[str]) -> None:
        self._cover(map(self._broker.lane, topics))
        try:
            with anyio.fail_after(self._settings.session_timeout_s):
                await self._broker.subscribe(topics)
        except Refused as exc:
            if exc.reasons is None and len(topics) > 1:
                for topic in topics:
                    if not self._over:
                        await self._join([topic])
                return
            reasons = dict.fromkeys(topics, "it gives no reason") if exc.reasons is None else exc.reasons
            for topic in topics:
                if topic in reasons:
                    self._node.refused(topic, str(reasons[topic]))
            topics = [topic for topic in topics if topic not in reasons]
        self._node.live(topics)
        self.prober.live(topics)

    async def _outlast(self) -> None:
        """What proves a session that has no probe: that it lasts."""
        await anyio.sleep(self._settings.probe_interval_s)
        self.prober.is_proved = True
