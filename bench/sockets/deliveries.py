"""Fan-out: in one process, through brokers, to crowds of several sizes, and beside many other topics."""

from __future__ import annotations

from collections.abc import Iterator

from sockets.dialect import Step
from sockets.results import Sample
from sockets.stage import Stage

HOLDERS = 10  # connections that hold the other topics


def fanout_cell(in_flight: int, payload_bytes: int) -> str:
    """Its name."""
    return f"fanout/{in_flight} in flight, {payload_bytes} B"


def broker_cell(in_flight: int) -> str:
    """Its name."""
    return f"brokers/{in_flight} in flight, 128 B"


def crowd_cell(subscribers: int) -> str:
    """Its name."""
    return f"crowds/{subscribers}"


def topics_cell(topics: int) -> str:
    """Its name."""
    return f"topics/{topics}"


SINGLE_SMALL, MANY_SMALL = fanout_cell(1, 128), fanout_cell(16, 128)
SINGLE_LARGE, MANY_LARGE = fanout_cell(1, 1024), fanout_cell(16, 1024)


def play_fanout(stage: Stage) -> Iterator[Sample]:
    """One publish in flight, and 16; small and larger ones. Slow servers have the first alone."""
    stage.join_topic(stage.scale.subscribers)
    for payload_bytes in (128, 1024):
        for in_flight in (1, 16):
            window = stage.fan_out(in_flight, payload_bytes)
            yield stage.sample(fanout_cell(in_flight, payload_bytes), window)
            if stage.way.peer.is_slow:
                return


def play_decisive_fanout(stage: Stage) -> Iterator[Sample]:
    """What a change's author wants to know of it."""
    stage.join_topic(stage.scale.subscribers)
    for in_flight in (1, 16):
        yield stage.sample(fanout_cell(in_flight, 128), stage.fan_out(in_flight, 128))


def play_brokers(stage: Stage) -> Iterator[Sample]:
    """The same through the server's broker."""
    stage.join_topic(stage.scale.subscribers)
    for in_flight in (1, 16):
        yield stage.sample(broker_cell(in_flight), stage.fan_out(in_flight, 128))


def play_crowds(stage: Stage) -> Iterator[Sample]:
    """To more and more subscribers, 16 in flight."""
    stage.load.open("publisher")
    for crowd in stage.scale.crowds:
        stage.load.open("subscribers", crowd, then=stage.way.peer.dialect.join)
        yield stage.sample(crowd_cell(crowd), stage.fan_out(16, 128))


def play_topics(stage: Stage) -> Iterator[Sample]:
    """To few subscribers, while more and more other topics are held: what a publish costs, not a delivery."""
    stage.join_topic(stage.scale.topic_subscribers)
    stage.load.open("holders", HOLDERS)
    held = 0
    for topics in stage.scale.topics:
        more = (topics - held) // HOLDERS
        stage.load.ask("holders", [Step("send", f"h{topics}-{{n}} {more}"), Step("await", "h")])
        held = topics
        window = stage.fan_out(1, 128)
        sample = stage.sample(topics_cell(topics), window)
        yield Sample(**{**vars(sample), "value": window.server_cpu_s / window.messages * 1e6})
