"""What one socket may do, and cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wigwag.errors import SocketError
from wigwag.wire.client import TOO_MANY_MESSAGES

if TYPE_CHECKING:
    from wigwag.sockets.context import SocketContext

SlowPolicy = Literal["close", "drop", "latest"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of each socket of one ``Sockets``.  Times in seconds, sizes in bytes.

    Raises ValueError for a limit that can't be.
    """

    #: The largest message that a client may send; a larger one closes its socket with 1009.
    message_bytes: int = 64 * 1024
    #: How many messages a second a client may send, on average.  Those over it are refused with an error;
    #: who goes on is closed with 1008.
    messages_per_s: float | None = None
    #: How many at once; None: two seconds' worth and ``topics``, so that a client that comes back can join all of
    #: its rooms at once, and send what waited besides.
    messages_burst: int | None = None
    #: How many topics a socket may want at once; more are refused likewise.
    topics: int = 1000
    #: How many topics a second a socket may ask for, on average and at once (None: ``burst`` is two seconds' worth, and
    #: at least ``topics``, so that all of them can be joined again at once); likewise.
    joins_per_s: float | None = None
    joins_burst: int | None = None
    #: How many sockets a user may have at once on this node; one more is closed with 1013.  Who has no id
    #: (``Sockets(user_id=…)``) is not counted.
    sockets_per_user: int | None = None
    #: How many refusals a minute, of any kind, before the socket is closed with 1008.
    violations_per_minute: int = 10
    #: How many messages may wait to be sent to a slow client.
    send_messages: int = 1024
    #: How many bytes of them.
    send_bytes: int = 4 * 1024 * 1024
    #: What happens to a socket for which more waits.  ``close``: it is closed with 1013.  ``drop``:
    #: what is published meanwhile is dropped, until all that waits is sent.  ``latest``: the same, but
    #: the newest of each topic is kept, of as many topics as fit.  The client is told by
    #: ``wigwag.dropped`` how many it missed.  A client that asks is answered as fast as it reads.
    #: Direct messages are never dropped: who is too slow for them is closed with 1013.
    slow: SlowPolicy = "close"
    #: How many messages of a client may wait for its handlers before no more are read.
    inbox_messages: int = 64
    #: How long the ``upgrade`` hook may take; then the socket is closed with 1013.
    upgrade_timeout_s: float = 10.0
    #: How long a closing socket has to take what was sent before; and its handlers, after it has gone,
    #: to finish what it had asked for; and its ``close`` handler.
    close_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "slow" or (value is None and name in _OPTIONAL):
                continue
            if not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"Limits.{name} must be greater than 0, not {value!r}")
        if self.slow not in ("close", "drop", "latest"):
            raise ValueError(f"Limits.slow is 'close', 'drop' or 'latest', not {self.slow!r}")


_OPTIONAL = ("messages_per_s", "messages_burst", "joins_per_s", "joins_burst", "sockets_per_user")


class TokenBucket:
    """``burst`` at once, ``per_s`` a second on average."""

    __slots__ = ("_at", "_burst", "_clock", "_per_s", "_tokens")

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self, count: int = 1) -> bool:
        """Take so many tokens, if they are there."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True


class RateLimit:
    """A guard: each socket may send so many of the messages that it guards.

    ::

        @router.on("say", guards=[RateLimit(5, per_s=1)])

    More are refused with ``Too many messages``.
    """

    def __init__(self, messages: int, per_s: float = 1.0, *, burst: int | None = None) -> None:
        """``messages`` in ``per_s`` seconds on average; ``burst`` at once (default: ``messages``)."""
        if messages < 1 or not per_s > 0 or (burst is not None and burst < 1):
            raise ValueError("RateLimit takes at least 1 message, in more than 0 s, and a burst of 1")
        self._rate = messages / per_s
        self._burst = burst or messages

    def __call__(self, ctx: SocketContext[Any, Any]) -> bool:
        """Whether one more may pass.  Raises SocketError where not."""
        buckets = ctx._session.buckets
        bucket = buckets.get(self)
        if bucket is None:
            bucket = buckets[self] = TokenBucket(self._rate, self._burst)
        if not bucket.take():
            raise SocketError(TOO_MANY_MESSAGES)
        return True


def is_larger(message: str | bytes, limit: int) -> bool:
    """Whether it is larger than the limit in bytes; a text is encoded only where that decides."""
    size = len(message)
    if size > limit:
        return True
    if isinstance(message, bytes) or 4 * size <= limit:
        return False
    return len(message.encode("utf-8", "surrogatepass")) > limit
