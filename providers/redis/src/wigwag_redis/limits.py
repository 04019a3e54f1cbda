"""What the server lets us see of its limits."""

from __future__ import annotations

from typing import Final, NamedTuple

from wigwag_redis.link import Link


class Limits(NamedTuple):
    """How large a message may be, and how far behind a subscriber; 0 means no limit."""

    #: ``proto-max-bulk-len``.
    bulk_bytes: int
    #: ``client-output-buffer-limit pubsub``: more than this, or ``soft_bytes`` for ``soft_s``, disconnects.
    hard_bytes: int
    soft_bytes: int
    soft_s: int
    #: Whether the server let us see both.
    is_seen: bool

    @property
    def max_payload_bytes(self) -> int:
        """The largest message that does no harm: Redis disconnects each subscriber to whom it owes more than
        the hard limit, so that half of it is a message and the rest is for others."""
        return min(self.bulk_bytes, self.hard_bytes // 2) if self.hard_bytes else self.bulk_bytes


#: Redis' defaults.
_ASSUMED: Final = Limits(512 * 1024 * 1024, 32 * 1024 * 1024, 8 * 1024 * 1024, 60, is_seen=False)


async def see_limits(link: Link) -> Limits:
    """Ask for the limits; what the login may not see is taken to be Redis' default."""
    seen = await see_config(link, "proto-max-bulk-len", "client-output-buffer-limit")
    try:
        bulk = int(seen["proto-max-bulk-len"])
        words = seen["client-output-buffer-limit"].split()
        at = words.index("pubsub")
        hard, soft, soft_s = map(int, words[at + 1 : at + 4])
        return Limits(bulk, hard, soft, soft_s, is_seen=True)
    except (KeyError, ValueError):  # forbidden, or another server's idea of it
        return _ASSUMED


async def see_config(link: Link, *names: str) -> dict[str, str]:
    """What the server lets us see of its configuration."""
    seen: dict[str, str] = {}
    for reply in await link.call([("CONFIG", "GET", name) for name in names]):
        if isinstance(reply, list) and len(reply) == 2:
            seen[reply[0].decode()] = reply[1].decode()
    return seen
