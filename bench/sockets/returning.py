"""Many connections that come, are idle, and go, again and again: whether what they cost comes back."""

from __future__ import annotations

from collections.abc import Iterator

from sockets.results import Sample
from sockets.stage import Stage


def play_returning(stage: Stage) -> Iterator[Sample]:
    """Memory of the server, while they are connected and when they have gone, time after time."""
    scale = stage.scale
    for time in range(1, scale.returns + 1):
        stage.load.open("guests", scale.returning)
        stage.load.hold(scale.settle_s)
        yield Sample(f"returning/{time}", f"{stage.way.name}, connected", value=stage.server.memory_bytes())
        stage.load.close("guests")
        stage.load.hold(scale.settle_s)
        yield Sample(f"returning/{time}", f"{stage.way.name}, gone", value=stage.server.memory_bytes())
