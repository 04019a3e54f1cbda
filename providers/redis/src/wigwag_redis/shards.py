"""Which server of a cluster serves which slots."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import anyio
from hiredis import ReplyError
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from wigwag.broker import BrokerLost
from wigwag_redis.dialing import Dialer
from wigwag_redis.link import Hello, Link, Loss
from wigwag_redis.url import Address


class Shards(NamedTuple):
    """The masters, and who of them serves which slot."""

    #: In the order of their first slots.
    masters: tuple[Address, ...]
    #: For each slot, the place of its master.
    slots: tuple[int, ...]

    def place(self, channel: str) -> int:
        """The place of the master that serves a channel."""
        return self.slots[key_slot(channel.encode())]


#: Before anything is known.
UNKNOWN = Shards((), (0,) * REDIS_CLUSTER_HASH_SLOTS)


async def find_shards(dialer: Dialer, addresses: Sequence[Address]) -> Shards:
    """Ask the nodes until one says.  Raises BrokerLost, in one line.

    In any order: who always asked the same would never get away from one that is cut off, and knows what was.
    """
    failures = []
    for address in random.sample(addresses, len(addresses)):
        link = Link(dialer, address, Loss())
        try:
            _check_mode(await link.open(), address)
            with dialer.in_time(address):
                return await see_shards(link)
        except BrokerLost as exc:
            failures.append(str(exc))
        finally:
            with anyio.CancelScope(shield=True):
                await link.close()
    raise BrokerLost("; ".join(sorted(failures)))


def _check_mode(hello: Hello, address: Address) -> None:
    if hello.mode != "cluster":
        raise BrokerLost(f"{address} is not part of a cluster; WIGWAG_REDIS_URL for it is redis://{address}")
    if hello.major < 7:
        raise BrokerLost(f"Redis {hello.version} at {address} is too old: a cluster needs 7.0 or later")


async def see_shards(link: Link) -> Shards:
    """The shards as this node sees them.  Raises BrokerLost where they can't be used."""
    (reply,) = await link.call([("CLUSTER", "SLOTS")])
    if isinstance(reply, ReplyError):
        raise BrokerLost(
            f"{link.address} does not tell its slots: {reply} (the ACL user needs +cluster|slots)"
        )
    try:
        return read_slots(reply, link.address)
    except (TypeError, LookupError, AttributeError, ValueError):
        raise BrokerLost(f"{link.address} does not answer CLUSTER SLOTS as Redis does") from None


def read_slots(reply: Sequence[Any], asked: Address) -> Shards:
    """Read what CLUSTER SLOTS says: ``[first, last, [host, port, …], replicas…]`` for each range.

    Raises:
        BrokerLost: a slot is served by nobody.
    """
    places: dict[Address, int] = {}
    slots: list[int | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, (host, port, *_), *_ in sorted(reply, key=lambda span: int(span[0])):
        # A node that does not know its own address leaves it out: it is where we asked.
        address = Address((host or b"").decode() or asked.host, port)
        place = places.setdefault(address, len(places))
        slots[first : last + 1] = [place] * (last - first + 1)
    missing = slots.count(None)
    if missing:
        raise BrokerLost(
            f"the cluster at {asked} has {missing} slots that no master serves; see CLUSTER INFO"
        )
    return Shards(tuple(places), tuple(place for place in slots if place is not None))
