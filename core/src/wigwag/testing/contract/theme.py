"""What the themes of the suite have in common."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

from wigwag.broker import Broker
from wigwag.testing.contract.checks import check
from wigwag.testing.contract.hooks import Hooks
from wigwag.testing.contract.session import ContractSession, open_session


class Theme(Hooks):
    """Sessions and what is done in many of them."""

    def session(self, broker: Broker | None = None) -> AbstractAsyncContextManager[ContractSession]:
        """Open a session as core does; see :func:`~wigwag.testing.contract.session.open_session`."""
        return open_session(self.make_broker() if broker is None else broker, patience_s=self.patience_s)

    @asynccontextmanager
    async def two_nodes(
        self, subscriber: Broker | None = None
    ) -> AsyncIterator[tuple[ContractSession, ContractSession]]:
        """A publisher and a subscriber; the same one twice where there is only one process."""
        broker = subscriber or self.make_broker()
        async with self.session(broker) as session:
            if broker.in_process:
                yield session, session
            else:
                async with self.session() as publisher:
                    yield publisher, session

    async def settle(self, publisher: ContractSession, subscriber: ContractSession, topic: str) -> None:
        """Return when all that was published on the topic so far has arrived, if it is to arrive at all."""
        beside = self.beside(subscriber.broker, topic)
        await subscriber.subscribe(beside)
        await publisher.publish((beside, b"beside"))
        await subscriber.hear(beside, b"beside")

    def beside(self, broker: Broker, topic: str) -> str:
        """Another topic of the same lane."""
        lane, prefix = broker.lane(topic), fresh("beside")
        return next(name for name in (f"{prefix}:{n}" for n in count()) if broker.lane(name) == lane)

    async def works(self, broker: Broker) -> None:
        """A session of the broker works: what is published arrives, once."""
        topic = fresh("works")
        async with self.session(broker) as session:
            await session.subscribe(topic)
            await session.publish((topic, b"1"), (topic, b"end"))
            await session.hear(topic, b"end")
            got = session.inbox.of(topic)
            check(
                got == [b"1", b"end"],
                f"in a later session of the same broker {got} arrived, not 1 and end once",
            )


def fresh(name: str) -> str:
    """Make a topic that no other test uses, so that nothing late can be taken for this test's."""
    return f"{name}:{secrets.token_hex(4)}"
