"""The probe: a message of the node's to itself, the normal way, required back.

It finds a link that is up but deaf.  Each lane in use has one of its own, since one shard or partition may be
deaf while the others are not.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

import anyio

from wigwag.broker import Broker, BrokerLost
from wigwag.provider.outbox import Outbox
from wigwag.provider.settings import ProviderSettings
from wigwag.provider.signal import Signal

_TICKS = 10


class Node(Protocol):
    """What probing asks of the node."""

    #: The channel on which the node hears itself, or None for one that only publishes.
    probe_channel: str | None

    def probe_channel_in(self, lane: Hashable) -> str | None: ...
    def new_probe(self, channel: str) -> tuple[int, bytes]: ...


class LaneProbe:
    """The probe of one lane."""

    __slots__ = ("channel", "echoed", "hears", "inbound", "payload", "quiet", "seen", "sent")

    def __init__(self, channel: str) -> None:
        self.channel: str = channel
        self.hears: bool = False  # the channel is live
        self.inbound: int = 0  # messages of this lane that came, whatever they were
        self.sent: int = 0
        self.echoed: int = 0
        self.payload: bytes = b""
        self.quiet: int = 0
        self.seen: int = 0

    @property
    def is_out(self) -> bool:
        return self.echoed != self.sent

    def begin(self, number: int, payload: bytes, inbound: int) -> None:
        """A round begins; ``inbound`` is how many messages have come, of any lane where there is but one."""
        self.sent, self.payload = number, payload
        self.quiet, self.seen = 0, inbound

    def tick(self, inbound: int) -> None:
        """Time has passed: whatever came in meanwhile shows that the lane is alive."""
        self.quiet = self.quiet + 1 if inbound == self.seen else 0
        self.seen = inbound


class Prober:
    """Probes the lanes of one session, in rounds."""

    def __init__(self, broker: Broker, node: Node, outbox: Outbox, settings: ProviderSettings) -> None:
        self._broker = broker
        self._node = node
        self._outbox = outbox
        self._settings = settings
        self._known: set[Hashable] = set()
        self._lanes: dict[Hashable, LaneProbe] = {}
        self._by_channel: dict[str, LaneProbe] = {}
        self._hears = anyio.Event()  # the node's own channel is live
        self._all_back = Signal()
        #: Messages that came, of whatever lane.
        self.inbound: int = 0
        #: Whether each message is to be counted for its lane.
        self.has_lanes: bool = False
        self.is_proved: bool = False
        #: How long the last round took, in seconds.
        self.probe_s: float | None = None

    def cover(self, lane: Hashable) -> None:
        """Probe this lane too, from the round after its channel is live."""
        if lane in self._known:
            return
        self._known.add(lane)
        channel = self._node.probe_channel_in(lane)
        if channel is not None:
            self._lanes[lane] = self._by_channel[channel] = LaneProbe(channel)
            self.has_lanes = len(self._lanes) > 1

    def live(self, topics: Sequence[str]) -> None:
        """These are live: the probes' own channels are among them."""
        for topic in topics:
            probe = self._by_channel.get(topic)
            if probe is not None:
                probe.hears = True
            if topic == self._node.probe_channel:
                self._hears.set()

    def count(self, topic: str) -> None:
        """A message of this topic came; to be called where there are lanes."""
        probe = self._lanes.get(self._broker.lane(topic))
        if probe is not None:
            probe.inbound += 1

    def echo(self, channel: str, number: int) -> None:
        """A probe of the node's came back; one of an earlier session says nothing of this one."""
        probe = self._by_channel.get(channel)
        if probe is not None and probe.is_out and number == probe.sent:
            probe.echoed = number
            if not any(other.is_out for other in self._lanes.values()):
                self._all_back.set()

    async def run(self) -> None:
        """Probe, for ever.

        Raises:
            BrokerLost: a lane is deaf.
            Exception: the broker's ``check()`` says that the session must not be kept.
        """
        await self._hears.wait()
        while True:
            with anyio.fail_after(self._settings.probe_timeout_s):
                await self._broker.check()
            started = anyio.current_time()
            await self._round()
            self.probe_s = anyio.current_time() - started
            self.is_proved = True
            await anyio.sleep(self._settings.probe_interval_s)

    async def _round(self) -> None:
        """Send each probe and wait for them, in ticks: a loop that stalls loses one tick, not the session.

        What comes in on a lane begins its count anew, up to a limit.  A probe is sent again half-way: a gap
        may have swallowed it.
        """
        tick_s = self._settings.probe_timeout_s / _TICKS
        out = [probe for probe in self._lanes.values() if probe.hears]
        for probe in out:
            probe.begin(*self._node.new_probe(probe.channel), self._inbound_of(probe))
            self._outbox.send_first(probe.channel, probe.payload)
        ticks = 0
        while True:
            await self._all_back.wait(tick_s)
            ticks += 1
            out = [probe for probe in out if probe.is_out]
            if not out:
                return
            for probe in out:
                probe.tick(self._inbound_of(probe))
            waited_s = ticks * tick_s
            if any(probe.quiet >= _TICKS for probe in out) or waited_s >= self._settings.probe_limit_s:
                raise BrokerLost(f"the link is deaf: a probe did not come back within {waited_s:.1f} s")
            if ticks % (_TICKS // 2) == 0:
                for probe in out:
                    self._outbox.send_first(probe.channel, probe.payload)

    def _inbound_of(self, probe: LaneProbe) -> int:
        return probe.inbound if self.has_lanes else self.inbound
