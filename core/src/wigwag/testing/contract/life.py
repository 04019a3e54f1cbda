"""A session's life: ready, lost, closed, and another one on the same broker."""

# ruff: noqa: D102 - a test's name is what it says

from __future__ import annotations

from collections.abc import Hashable

import anyio
import anyio.lowlevel

from wigwag.broker import Broker, BrokerLost, Refused
from wigwag.testing.contract.checks import check, together
from wigwag.testing.contract.hooks import needs
from wigwag.testing.contract.remains import (
    descriptors_at_most,
    expect_nothing_new,
    open_descriptors,
    running,
)
from wigwag.testing.contract.session import ContractSession
from wigwag.testing.contract.subscribing import AWKWARD_TOPICS
from wigwag.testing.contract.theme import Theme, fresh


class LifeTests(Theme):
    """Race rows 5, 8 and 15 as far as a broker alone can show them."""

    async def test_ready_is_called_once(self) -> None:
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe("a")
            await publisher.publish(("a", b"x"))
            await subscriber.hear("a", b"x")
        for session in (publisher, subscriber):
            readies = session.inbox.readies
            check(
                len(readies) == 1,
                f"inbox.ready() was called {len(readies)} times in one session: call it once, when the link is up, "
                "and after a reconnect end run() instead",
            )
            limit, kept = readies[0]
            check(
                limit is None or (type(limit) is int and limit > 0),
                f"ready(max_payload_bytes={limit!r}): say a number of bytes above 0, or None where there is no limit",
            )
            check(
                not kept or session.broker.capabilities.keeps_messages,
                "ready() said kept=True, and capabilities.keeps_messages is False: say both or neither",
            )

    async def test_a_session_that_works_passes_its_own_check(self) -> None:
        async with self.session() as session:
            for _ in range(3):
                await session.check()
        check(session.cause is None, f"check() ended a session that works: {session.cause!r}")

    async def test_lanes_are_known_at_any_time_and_stay(self) -> None:
        broker = self.make_broker()
        topics = [*AWKWARD_TOPICS, *(f"lane:{number}" for number in range(50))]

        def lanes() -> list[Hashable]:
            try:
                found = [broker.lane(topic) for topic in topics]
                set(found)
            except Exception as exc:
                check(
                    False, f"lane() must return something hashable at any time, in a session or not: {exc!r}"
                )
                raise
            return found

        lanes()
        async with self.session(broker) as session:
            first = lanes()
            await session.subscribe(*topics)
            check(lanes() == first, "a topic's lane must not change within a session")
        lanes()

    async def test_a_closed_session_leaves_nothing_running(self) -> None:
        before = running()
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe("a", "b")
            await publisher.publish(("a", b"x"))
        await expect_nothing_new(before, "after a session")

    async def test_many_sessions_leave_nothing_behind(self) -> None:
        broker = self.make_broker()
        before = running()
        for _ in range(2):  # what a client library makes once and keeps
            await self.works(broker)
        opened = open_descriptors()
        for _ in range(self.session_count):
            await self.works(broker)
        await expect_nothing_new(before, f"after {self.session_count} sessions")
        if opened is not None:
            few = await descriptors_at_most(opened + 2)
            check(
                few,
                f"{self.session_count} sessions left {(open_descriptors() or 0) - opened} file descriptors open: "
                "close() must abort every connection of the session, also one that was being made",
            )

    @needs("filters")
    async def test_a_second_session_starts_with_nothing_live(self) -> None:
        topic, broker = fresh("second"), self.make_broker()
        async with self.session(broker) as session:
            await session.subscribe(topic)
        async with self.two_nodes(broker) as (publisher, subscriber):
            await publisher.publish((topic, b"nobody asked"))
            await self.settle(publisher, subscriber, topic)
            got = subscriber.inbox.of(topic)
            check(
                not got or subscriber.inbox.readies[0][1],
                f"the second session of a broker delivers {got} on a topic of the first: core begins each session with "
                "nothing live and subscribes again to what is wanted, so forget the topics in close()",
            )
            await subscriber.subscribe(topic)
            await publisher.publish((topic, b"end"))
            await subscriber.hear(topic, b"end")

    @needs("nodes")
    async def test_what_comes_between_two_sessions_is_kept_if_it_is_said_to_be(self) -> None:
        """A broker that keeps nothing may be asked no more than that it doesn't claim to."""
        topic, broker = fresh("between"), self.make_broker()
        async with self.session() as publisher:
            async with self.session(broker) as session:
                await session.subscribe(topic)
                await publisher.publish((topic, b"before"))
                await session.hear(topic, b"before")
            await publisher.publish((topic, b"between"))
            async with self.session(broker) as session:
                kept, keeps = session.inbox.readies[0][1], broker.capabilities.keeps_messages
                check(
                    kept == keeps,
                    f"capabilities.keeps_messages is {keeps}, and ready() of a second session said kept={kept}: "
                    "where positions are held across sessions both are true, else neither is",
                )
                await session.subscribe(topic)
                await publisher.publish((topic, b"end"))
                await session.hear(topic, b"end")
                got = session.inbox.of(topic)
        wanted = [b"between", b"end"] if keeps else [b"end"]
        check(
            got == wanted,
            f"the second session said kept={kept} and brought {got} where {wanted} is due: between two sessions "
            "one message was published, and kept=True promises that it is delivered, once",
        )

    @needs("nodes")
    async def test_nothing_is_delivered_once_it_is_closed(self) -> None:
        topic, broker = fresh("late"), self.make_broker()
        async with self.two_nodes() as (publisher, witness):
            await witness.subscribe(topic)
            async with self.session(broker) as session:
                await session.subscribe(topic)
                await publisher.publish((topic, b"before"))
                await session.hear(topic, b"before")
            for number in range(20):
                await publisher.publish((topic, b"%d" % number))
            await witness.hear(topic, b"19")
            async with self.session(broker):
                await publisher.publish((topic, b"last"))
                await witness.hear(topic, b"last")
        late = session.inbox.late
        check(
            not late,
            f"the inbox of a session that is closed was called {len(late)} times, first {late[:1]}: what close() has "
            "not ended reads on. Core drops such messages, but the connection is still open, or its reader is",
        )

    @needs("cut_link")
    async def test_run_raises_broker_lost_when_the_link_is_cut(self) -> None:
        """Idle, with nothing subscribed and nothing published: only the reader can notice."""
        broker = self.make_broker()
        before = running()
        for _ in range(3):
            async with self.session(broker) as session:
                await self.cut_link(broker)
                cause = await session.end()
            check(
                isinstance(cause, BrokerLost) and len(str(cause).splitlines()) == 1,
                f"the link was cut, and run() ended with {cause!r}: raise BrokerLost('one line that says why') from "
                "the client library's exception",
            )
        await expect_nothing_new(before, "after a lost link")
        await self.works(broker)

    @needs("cut_link")
    async def test_calls_in_progress_end_when_the_link_is_cut(self) -> None:
        broker = self.make_broker()
        for _ in range(3):
            topic = fresh("cut")
            async with self.session(broker) as session:
                await session.subscribe(topic)
                errors = await together(
                    self._subscribe_for_ever(session, topic),
                    self._publish_for_ever(session, topic),
                    self._cut_under_way(broker, session, topic),
                )
            for error in errors:
                if isinstance(error, Refused):
                    check(
                        False,
                        "a call raised Refused for a lost link: it says that the broker said no; raise BrokerLost",
                    )
                if error is not None and not isinstance(error, Exception):
                    raise error
        await self.works(broker)

    async def _cut_under_way(self, broker: Broker, session: ContractSession, topic: str) -> None:
        await session.hear(topic, b"5")
        await self.cut_link(broker)
        await session.end()

    async def _publish_for_ever(self, session: ContractSession, topic: str) -> None:
        number = 0
        while not session.is_over:
            await session.publish((topic, b"%d" % number))
            await anyio.lowlevel.checkpoint()
            number += 1

    async def _subscribe_for_ever(self, session: ContractSession, topic: str) -> None:
        while not session.is_over:
            topics = [f"{topic}:{number}" for number in range(50)]
            await session.subscribe(*topics)
            await session.unsubscribe(*topics)
            await anyio.lowlevel.checkpoint()
