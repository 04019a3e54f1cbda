"""One broker session: reconcile, publish and probe, until any of them ends it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import anyio
import anyio.abc

from wigwag.broker import Broker, BrokerLost, Position, Refused
from wigwag.provider.channels import Channels, Join, Leave
from wigwag.provider.outbox import Lane, Outbox
from wigwag.provider.settings import ProviderSettings
from wigwag.provider.signal import Signal

logger: logging.Logger = logging.getLogger("wigwag.provider")

_PROBE_TICKS = 10


class Node(Protocol):
    """What a session asks of the provider; all synchronous, but for the telling."""

    #: The channel on which the node hears itself, or None for one that only publishes.
    probe_channel: str | None

    def session_ready(self, *, kept: bool) -> None: ...
    def live(self, topics: Sequence[str]) -> None: ...
    def refused(self, topic: str, reason: str) -> None: ...
    def arrived(self, topic: str, payload: bytes, position: Position | None) -> None: ...
    def gap(self, topics: Sequence[str] | None) -> None: ...
    def new_probe(self) -> tuple[int, bytes]: ...
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
        self._hears = anyio.Event()  # the node's own channel is live
        self._scope = anyio.CancelScope()
        self._cause: BaseException | None = None
        self._inbound = 0
        self._sent = 0
        self._echoed = 0
        self._echo = Signal()
        self.is_ready: bool = False
        self.is_proved: bool = False
        #: How long the last probe took, in seconds.
        self.probe_s: float | None = None
        self.max_payload_bytes: int | None = None

    # Inbox: what the plugin calls

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._over or self.is_ready:
            return
        self.is_ready = True
        self.is_proved = self._broker.in_process
        self.max_payload_bytes = max_payload_bytes
        self._node.session_ready(kept=kept)
        self._ready.set()

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._over:
            return
        self._inbound += 1
        try:
            self._node.arrived(topic, payload, position)
        except Exception:
            logger.exception("a message on %r could not be handled", topic)

    def gap(self, topics: Sequence[str] | None = None) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if not self._over:
            self._node.gap(topics)

    def echo(self, number: int) -> None:
        """A probe of the node's came back; one of an earlier session says nothing of this one."""
        if number == self._sent:
            self._echoed = number
            self._echo.set()

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
            tasks.start_soon(self._guard, lambda: self._outbox.serve(lane, lambda: self._over))

        tasks.start_soon(self._guard, self._reconcile)
        if not self._broker.in_process:
            has_probe = self._node.probe_channel is not None
            tasks.start_soon(self._guard, self._probe if has_probe else self._outlast)
        for lane in self._outbox.lanes.values():
            serve_lane(lane)
        self._outbox.on_new_lane = serve_lane

    def _end(self, cause: BaseException) -> None:
        self._over = True
        self._cause = self._cause or cause
        self._scope.cancel()

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task of the session: any exception ends the session, as its cause."""
        try:
            await task()
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

    async def _join(self, topics: list[str]) -> None:
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
        if self._node.probe_channel in topics:
            self._hears.set()

    async def _probe(self) -> None:
        """Publish to the node's own channel, and require it back: finds a link that is up but deaf."""
        channel = self._node.probe_channel
        if channel is None:  # pragma: no cover - not started then
            return
        await self._hears.wait()
        while not self._over:
            with anyio.fail_after(self._settings.probe_timeout_s):
                await self._broker.check()
            started = anyio.current_time()
            await self._await_echo(channel)
            self.probe_s = anyio.current_time() - started
            self.is_proved = True
            await anyio.sleep(self._settings.probe_interval_s)

    async def _outlast(self) -> None:
        """What proves a session that has no probe: that it lasts."""
        await anyio.sleep(self._settings.probe_interval_s)
        self.is_proved = True

    async def _await_echo(self, channel: str) -> None:
        """Send a probe and wait for it, in ticks: a loop that stalls loses one tick, not the session.

        Whatever comes in shows that the link is alive, and begins the count anew, up to a limit.  The
        probe is sent again half-way: a gap may have swallowed it.
        """
        tick_s = self._settings.probe_timeout_s / _PROBE_TICKS
        self._sent, payload = self._node.new_probe()
        self._outbox.send_first(channel, payload)
        quiet = 0
        ticks = 0
        while True:
            inbound = self._inbound
            await self._echo.wait(tick_s)
            ticks += 1
            quiet = quiet + 1 if self._inbound == inbound else 0
            if self._echoed == self._sent:
                return
            if quiet >= _PROBE_TICKS or ticks * tick_s >= self._settings.probe_limit_s:
                raise BrokerLost(f"the link is deaf: a probe did not come back within {ticks * tick_s:.1f} s")
            if ticks % (_PROBE_TICKS // 2) == 0:
                self._outbox.send_first(channel, payload)
