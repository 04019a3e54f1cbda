"""Readers that stall or trickle, among others that read: what the others see of it, and the server's memory."""

from __future__ import annotations

from collections.abc import Iterator

from sockets.results import Sample
from sockets.stage import Stage

WITHOUT, STALLED, TRICKLING = "all read", "one stalled", "one stalled, one trickling"
FEW, MANY = "slow/few", "slow/many"
PAYLOAD_BYTES = 8 * 1024  # so that the kernel's buffers are full soon
STUCK_S = 3.0


def play_slow(stage: Stage) -> Iterator[Sample]:
    """16 publishes in flight, complete when those have them that read; the slow are of their number.

    The server runs long enough before it is measured that what the kernel buffers for the slow is full.
    """
    is_few = stage.way.variant.startswith("few")
    situation = stage.way.variant.partition(": ")[2]
    slow = {WITHOUT: (), STALLED: ("nothing",), TRICKLING: ("nothing", "trickle")}[situation]
    readers = (stage.scale.beside_slow if is_few else stage.scale.beside_slow_many) - len(slow)
    stage.join_topic(readers)
    for reading in slow:
        stage.load.open(reading, reading=reading, then=stage.way.peer.dialect.join)
    before = stage.server.memory_bytes()
    longer = {"warm_s": stage.scale.slow_s / 2, "run_s": stage.scale.slow_s, "limit_s": STUCK_S}
    window = stage.load.fan_out("subscribers", stage.timing(16, PAYLOAD_BYTES) | longer)
    grown = stage.server.memory_bytes("VmHWM") - before
    yield stage.sample(FEW if is_few else MANY, window, grown_bytes=grown)
