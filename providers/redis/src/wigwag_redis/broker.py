"""Redis pub/sub, on one server or on the master that sentinels name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox, Refused
from wigwag.errors import SettingsError
from wigwag_redis.dialing import Dialer
from wigwag_redis.limits import see_limits
from wigwag_redis.link import Hello, Loss
from wigwag_redis.pair import PLAIN, Pair
from wigwag_redis.sentinel import find_master, find_new_master
from wigwag_redis.settings import RedisSettings
from wigwag_redis.url import Address

#: How long the sentinels have to name another master; a check must not wait for those that are down.
_ASKING_S = 0.25


class RedisBroker(Broker):
    """A session is two connections to one server, the channel of a topic ``{key_prefix}:{topic}``."""

    capabilities: ClassVar[Capabilities] = Capabilities(scope="fleet", order="session")

    def __init__(self, settings: RedisSettings) -> None:
        """Raises SettingsError where the settings do not fit together."""
        if settings.url.kind == "cluster":
            raise SettingsError("a cluster's URL is for RedisClusterBroker", variable="WIGWAG_REDIS_URL")
        self.envelope = settings.envelope
        self._settings = settings
        self._dialer = Dialer(settings)
        #: The session's connections; none without one.
        self.pairs: list[Pair] = []
        self._master: Address | None = None
        self._stragglers_until: float | None = None
        self._stragglers: asyncio.TimerHandle | None = None

    async def run(self, inbox: Inbox) -> None:
        loss = Loss()
        address = await self._address()
        prefix = f"{self._settings.key_prefix}:"
        pair = Pair(self._dialer, address, prefix, PLAIN, loss, inbox.deliver)
        self.pairs = [pair]
        _check_role(await pair.open(), address)
        limits = await see_limits(pair.sender)
        inbox.ready(max_payload_bytes=limits.max_payload_bytes)
        self._expect_stragglers(address, inbox)
        await loss.wait()

    def _expect_stragglers(self, address: Address, inbox: Inbox) -> None:
        """After a failover each node finds the new master at its own next probe.

        Until then it publishes to the old one, if that lives, and who has moved does not hear it, in this session or
        in those that follow.
        """
        loop = asyncio.get_running_loop()
        if self._master not in (None, address):
            self._stragglers_until = loop.time() + self._settings.failover_s
        self._master = address
        if self._stragglers_until is not None:
            self._stragglers = loop.call_at(self._stragglers_until, self._tell_of_stragglers, inbox)

    def _tell_of_stragglers(self, inbox: Inbox) -> None:
        self._stragglers_until = None
        inbox.gap()

    async def _address(self) -> Address:
        url = self._settings.url
        return await find_master(self._dialer, url) if url.kind == "sentinel" else url.addresses[0]

    @property
    def _session(self) -> Pair:
        if not self.pairs:
            raise BrokerLost("there is no session with Redis")
        return self.pairs[0]

    async def subscribe(self, topics: Sequence[str]) -> None:
        refused = await self._session.subscribe(topics)
        if refused:
            raise Refused(refused)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        refused = await self._session.unsubscribe(topics)
        if refused:
            raise Refused(refused)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        refused = await self._session.publish(messages)
        if refused:
            raise Refused(refused)

    async def check(self) -> None:
        """A demoted master takes publishes and brings the probe back, but hears no other node."""
        pair = self._session
        _check_role(await pair.sender.hello(), pair.address)
        if self._settings.url.kind == "sentinel":
            master = await find_new_master(self._dialer, self._settings.url, _ASKING_S)
            if master not in (None, pair.address):
                raise BrokerLost(f"the sentinels name {master} the master, no longer {pair.address}")

    async def close(self) -> None:
        if self._stragglers is not None:
            self._stragglers.cancel()
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            await pair.close()


def _check_role(hello: Hello, address: Address) -> None:
    """Raises BrokerLost where a session with this server would not reach the fleet."""
    if hello.mode == "sentinel":
        raise BrokerLost(
            f"{address} is a sentinel; the URL for that is redis+sentinel://{address}/SERVICE (WIGWAG_REDIS_URL)"
        )
    if hello.mode != "cluster" and not hello.is_master:  # a cluster's nodes pass all on to each other
        raise BrokerLost(
            f"{address} is a replica: what is published elsewhere does not come here. "
            "WIGWAG_REDIS_URL must name the master, or its sentinels"
        )
