"""What a provider counts: plain integers, read by the metrics page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from wigwag.provider.histogram import Histogram


@dataclass(slots=True)
class Counters:
    """Since the provider was made; none is ever reset."""

    #: Sockets that attached.
    opened: int = 0
    #: Sockets that detached, by the close code.
    closed: Counter[str] = field(default_factory=Counter)
    #: Messages that clients sent.
    received: int = 0
    #: Publishes, sends and broadcasts that this node was asked for.
    published: int = 0
    #: Frames handed to local sockets.
    delivered: int = 0
    #: Frames that a slow socket did not get, by its policy.
    dropped: Counter[str] = field(default_factory=Counter)
    #: Messages on our channels that are not ours, by what is wrong with them.
    foreign: Counter[str] = field(default_factory=Counter)
    #: Connections and messages that were refused, by why.
    refused: Counter[str] = field(default_factory=Counter)
    #: Broker sessions that became ready.
    sessions: int = 0
    #: Sockets that were told that they may have missed messages.
    resyncs: int = 0
    #: Messages for the broker that it did not take, or may not have, by why.
    publish_errors: Counter[str] = field(default_factory=Counter)
    #: How long a message waited until the broker had it, from the first of its batch on.
    publish_s: Histogram = field(default_factory=Histogram)
    #: How long a message was on its way to this node, by the clocks of two machines.
    lag_s: Histogram = field(default_factory=Histogram)
