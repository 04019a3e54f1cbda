"""Echo and typed requests, handshakes and idle connections: what each connection costs by itself."""

from __future__ import annotations

from collections.abc import Iterator

from sockets.results import Sample
from sockets.stage import Stage

ECHO, ECHO_PIPELINED, TYPED = "echo/one outstanding", "echo/16 outstanding", "echo/typed"
HANDSHAKE, MEMORY = "idle/handshake", "idle/memory"


def play_echo(stage: Stage) -> Iterator[Sample]:
    """128 B that come back, from connections that wait for them, or have 16 under way; then typed requests."""
    dialect, scale = stage.way.peer.dialect, stage.scale
    stage.load.open("echo", scale.echoing, path=dialect.echo_path)
    for cell, in_flight in ((ECHO, 1), (ECHO_PIPELINED, 16)):
        yield stage.sample(cell, stage.load.echo("echo", stage.timing(in_flight, 128), dialect.echo))
    if dialect.typed is not None:
        stage.load.open("typed", scale.echoing, path=dialect.typed_path)
        yield stage.sample(TYPED, stage.load.echo("typed", stage.timing(1, 128), dialect.typed))


def play_idle(stage: Stage) -> Iterator[Sample]:
    """The memory of those who came, joined the topic, and are silent; then handshakes.

    64 come at a time, and each joins as soon as it may.  Were all to join in one moment, what the tasks of that moment
    took would count for each, though those who come later use it again.
    """
    dialect, scale = stage.way.peer.dialect, stage.scale
    count = scale.idle_slow if stage.way.peer.is_slow else scale.idle
    stage.load.open("first", scale.idle_before, then=dialect.join)
    stage.load.hold(scale.settle_s / 2)
    before = stage.server.memory_bytes()
    stage.load.open("idle", count, then=dialect.join)
    stage.load.hold(scale.settle_s)
    yield Sample(MEMORY, stage.way.name, value=(stage.server.memory_bytes() - before) / count)
    yield stage.sample(HANDSHAKE, stage.load.open("handshakes", count))
