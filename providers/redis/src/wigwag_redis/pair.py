"""The two connections that a session has to one server, and what is asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from hiredis import ReplyError

from wigwag.broker import BrokerLost
from wigwag_redis.dialing import Dialer
from wigwag_redis.link import Deliver, Hello, Link, Loss
from wigwag_redis.url import Address

#: Replies by which a server says that it is not the one to ask: another session must find the one that is.
_NOT_THIS_SERVER = ("READONLY", "LOADING", "MASTERDOWN", "MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH")


class Verbs(NamedTuple):
    """The commands of pub/sub: the plain ones, or a cluster's sharded ones."""

    subscribe: bytes = b"subscribe"
    unsubscribe: bytes = b"unsubscribe"
    publish: bytes = b"publish"


PLAIN: Final = Verbs()
SHARDED: Final = Verbs(b"ssubscribe", b"sunsubscribe", b"spublish")


class Pair:
    """A link that receives and one that sends: a subscribed RESP2 connection takes no PUBLISH.

    Losing either is the end of the session, of which ``loss`` is told.
    """

    def __init__(
        self,
        dialer: Dialer,
        address: Address,
        prefix: str,
        verbs: Verbs,
        loss: Loss,
        deliver: Deliver,
    ) -> None:
        self.address: Address = address
        self._prefix = prefix
        self._verbs = verbs
        self._receiver = Link(dialer, address, loss, deliver, skip=len(prefix.encode()))
        self.sender: Link = Link(dialer, address, loss)

    async def open(self) -> Hello:
        """Connect both; what the server says of itself.  Raises BrokerLost, in one line."""
        await self._receiver.open()
        return await self.sender.open()

    async def subscribe(self, topics: Sequence[str]) -> dict[str, str]:
        """Return when all are confirmed but those that are refused: why, by topic.

        One command a channel, in one write, costs the server a microsecond more than one command for all, and
        says of each channel whether it may be had.
        """
        return await self._tell_receiver(self._verbs.subscribe, topics)

    async def unsubscribe(self, topics: Sequence[str]) -> dict[str, str]:
        """Return when all are confirmed but those that are refused: why, by topic."""
        return await self._tell_receiver(self._verbs.unsubscribe, topics)

    async def _tell_receiver(self, verb: bytes, topics: Sequence[str]) -> dict[str, str]:
        prefix = self._prefix
        replies = await self._receiver.call([(verb, prefix + topic) for topic in topics])
        return {topics[index]: why for index, why in self._refusals(replies).items()}

    async def publish(self, messages: Iterable[tuple[str, bytes]]) -> dict[int, str]:
        """Return when the server has answered for all: why, by index, for those that it refused."""
        verb, prefix = self._verbs.publish, self._prefix
        return self._refusals(
            await self.sender.call([(verb, prefix + t, payload) for t, payload in messages])
        )

    def _refusals(self, replies: Sequence[Any]) -> dict[int, str]:
        refused = {i: str(reply) for i, reply in enumerate(replies) if isinstance(reply, ReplyError)}
        for why in refused.values():
            if why.startswith(_NOT_THIS_SERVER):
                raise BrokerLost(f"{self.address} is not the server to ask any more: {why}")
        return {i: self._advised(why) for i, why in refused.items()}

    def _advised(self, why: str) -> str:
        if not why.startswith("NOPERM"):
            return why
        commands = " ".join(f"+{verb.decode()}" for verb in self._verbs)
        return f"{why} (what the ACL user needs: &{self._prefix}* {commands})"

    async def prove_receiving(self) -> None:
        """Return when the receiving link has answered; that PING is forbidden is an answer too."""
        await self._receiver.call([("PING",)])

    def abort(self) -> None:
        """Drop both."""
        self._receiver.abort()
        self.sender.abort()

    async def close(self) -> None:
        """Drop both, and return when nothing is left of them."""
        self.abort()
        await asyncio.gather(self._receiver.close(), self.sender.close())
