"""How large and how long everything is: for a measurement, for a look, and for a change's author."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of connections and topics, times in seconds."""

    rounds: int = 5
    warm_s: float = 0.35
    run_s: float = 0.8
    limit_s: float = 10.0  # after which, without a delivery, a server counts as stuck
    subscribers: int = 1000
    echoing: int = 64
    idle_before: int = 200  # connected before memory is looked at, so that what is made once is there
    idle: int = 5000
    idle_slow: int = 1000  # for servers whose handshake takes milliseconds
    settle_s: float = 0.7
    returning: int = 10_000
    returns: int = 10
    crowds: tuple[int, ...] = (10, 100, 1000, 5000)
    topics: tuple[int, ...] = (10, 1000, 100_000)
    topic_subscribers: int = 10
    beside_slow: int = 100
    beside_slow_many: int = 1000
    slow_s: float = 1.5
    held_in_core: tuple[int, ...] = (10, 100, 1000, 10_000, 100_000)

    def numbers(self) -> dict[str, float]:
        """Those that a report states."""
        return {name: value for name, value in asdict(self).items() if not isinstance(value, tuple)}


FULL = Scale()
#: Shows that everything works; its numbers say little.
QUICK = Scale(
    rounds=1,
    warm_s=0.05,
    run_s=0.15,
    limit_s=5.0,
    subscribers=50,
    echoing=8,
    idle_before=20,
    idle=120,
    idle_slow=60,
    settle_s=0.1,
    returning=100,
    returns=3,
    crowds=(10, 50),
    topics=(10, 1000),
    beside_slow=20,
    beside_slow_many=40,
    slow_s=0.3,
    held_in_core=(10, 1000),
)
#: Two sources of wigwag beside each other, in a minute or two.
COMPARE = Scale(rounds=5, warm_s=0.2, run_s=0.6, idle=1500, settle_s=0.3)
