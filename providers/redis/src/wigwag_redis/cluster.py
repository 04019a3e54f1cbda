"""Redis Cluster, by sharded pub/sub: each topic belongs to a shard, and nothing goes to all nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import ClassVar, TypeVar

import anyio

from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox, Refused
from wigwag.errors import SettingsError
from wigwag_redis.dialing import Dialer
from wigwag_redis.limits import see_limits
from wigwag_redis.link import Loss
from wigwag_redis.pair import SHARDED, Pair
from wigwag_redis.settings import RedisSettings
from wigwag_redis.shards import UNKNOWN, find_shards, see_shards

T = TypeVar("T")
R = TypeVar("R")


class RedisClusterBroker(Broker):
    """A session is two connections to each master, and ends when one is lost or a slot moves."""

    capabilities: ClassVar[Capabilities] = Capabilities(scope="fleet", order="session")

    def __init__(self, settings: RedisSettings) -> None:
        """Raises SettingsError where the settings do not fit together."""
        if settings.url.kind != "cluster":
            raise SettingsError("RedisClusterBroker takes a cluster's URL", variable="WIGWAG_REDIS_URL")
        self.envelope = settings.envelope
        self._settings = settings
        self._dialer = Dialer(settings)
        self._prefix = f"{settings.key_prefix}:"
        self._shards = UNKNOWN
        #: The session's connections, in the order of the shards; none without one.
        self.pairs: list[Pair] = []

    async def run(self, inbox: Inbox) -> None:
        loss = Loss()
        shards = await find_shards(self._dialer, self._settings.url.addresses)
        self.pairs = [
            Pair(self._dialer, address, self._prefix, SHARDED, loss, inbox.deliver)
            for address in shards.masters
        ]
        await _at_once(Pair.open, self.pairs)
        limits = await _at_once(see_limits, [pair.sender for pair in self.pairs])
        self._shards = shards
        inbox.ready(max_payload_bytes=min(limit.max_payload_bytes for limit in limits))
        await loss.wait()

    def lane(self, topic: str) -> int:
        """The place of the topic's shard, as the last session knew it."""
        return self._shards.place(self._prefix + topic)

    def _by_shard(self, topics: Iterable[str]) -> dict[int, list[int]]:
        """The indices of the topics, by shard.  A batch that waited since the last session may have several."""
        if not self.pairs:
            raise BrokerLost("there is no session with the cluster")
        found: dict[int, list[int]] = {}
        for index, topic in enumerate(topics):
            found.setdefault(self._shards.place(self._prefix + topic), []).append(index)
        return found

    async def subscribe(self, topics: Sequence[str]) -> None:
        await self._tell(Pair.subscribe, topics)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        await self._tell(Pair.unsubscribe, topics)

    async def _tell(
        self, tell: Callable[[Pair, Sequence[str]], Awaitable[dict[str, str]]], topics: Sequence[str]
    ) -> None:
        parts = self._by_shard(topics)
        refused: dict[str, str] = {}

        async def to_shard(place: int) -> None:
            refused.update(await tell(self.pairs[place], [topics[index] for index in parts[place]]))

        await _at_once(to_shard, list(parts))
        if refused:
            raise Refused(refused)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        parts = self._by_shard(topic for topic, _ in messages)
        refused: dict[int, str] = {}

        async def to_shard(place: int) -> None:
            indices = parts[place]
            reasons = await self.pairs[place].publish([messages[index] for index in indices])
            refused.update({indices[at]: reason for at, reason in reasons.items()})

        await _at_once(to_shard, list(parts))
        if refused:
            raise Refused(refused)

    async def check(self) -> None:
        """Each link answers, each server is a master, and none knows of slots elsewhere.

        Core's probe goes through one shard; this finds the others deaf.
        """

        async def check_one(pair: Pair) -> None:
            await pair.prove_receiving()
            if not (await pair.sender.hello()).is_master:
                raise BrokerLost(f"{pair.address} is a replica now")
            if await see_shards(pair.sender) != self._shards:
                raise BrokerLost(f"slots have moved, says {pair.address}")

        await _at_once(check_one, self.pairs)

    async def close(self) -> None:
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            pair.abort()
        await _at_once(Pair.close, pairs)


async def _at_once(do: Callable[[T], Awaitable[R]], each: Sequence[T]) -> list[R]:
    """The results, in order; or the first failure, once the others have been cancelled."""
    if len(each) == 1:
        return [await do(each[0])]
    results: dict[int, R] = {}

    async def one(index: int, item: T) -> None:
        results[index] = await do(item)

    try:
        async with anyio.create_task_group() as tasks:
            for index, item in enumerate(each):
                tasks.start_soon(one, index, item)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [results[index] for index in range(len(each))]
