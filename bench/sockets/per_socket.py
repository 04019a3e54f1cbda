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
    """Handshakes; then the memory of those who joined the topic and are silent."""
    dialect, scale = stage.way.peer.dialect, stage.scale
    count = scale.idle_slow if stage.way.peer.is_slow else scale.idle
    stage.load.open("first", scale.idle_before)
    stage.load.ask("first", dialect.join)
    stage.load.hold(scale.settle_s / 2)
    before = stage.server.memory_bytes()
    yield stage.sample(HANDSHAKE, stage.load.open("idle", count))
    stage.load.ask("idle", dialect.join)
    stage.load.hold(scale.settle_s)
    yield Sample(MEMORY, stage.way.name, value=(stage.server.memory_bytes() - before) / count)
