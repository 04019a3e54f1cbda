"""What ``subscribe`` and ``unsubscribe`` promise: live when the call returns, one copy, gone when asked."""

# ruff: noqa: D102 - a test's name is what it says

from __future__ import annotations

from functools import partial
from itertools import cycle

import anyio

from wigwag.testing.contract.checks import check, comes_true, until
from wigwag.testing.contract.hooks import needs
from wigwag.testing.contract.session import ContractSession
from wigwag.testing.contract.theme import Theme, fresh

#: As core's batches are.
BATCH = 500

AWKWARD_TOPICS = (
    "a",
    "a.b",
    "a:b",
    "a-b",
    "a_b",
    "A",
    ".a",
    "a.",
    ".a.",
    "a..b",
    "..",
    "...",
    ".",
    ":",
    "::",
    "-",
    "--",
    "_",
    ":a:",
    "a:b.c-d_e",
    "a.b.c.d.e.f.g.h",
    "0",
    "__broadcast__",
    "__node__:aaaaaaaaaaaa",
    "__awkward",
    "x" * 256,
    "x" * 255 + ".",
    "." * 256,
    ":" * 256,
    "a." * 128,
    "NaN",
    "null",
    "CON",
)


class SubscribingTests(Theme):
    """Race rows 1 to 4 and 12 as far as a broker alone can show them."""

    async def test_what_is_published_once_subscribe_returned_arrives(self) -> None:
        """One node subscribes over a slow link; another publishes the moment the call returns."""
        prefix = fresh("race")
        topics = [f"{prefix}:{number}" for number in range(self.race_count)]
        async with self.two_nodes(self.make_slow_broker()) as (publisher, subscriber):
            start, sizes = 0, cycle((1, 2, 5, 40))
            while start < len(topics):
                batch = topics[start : start + next(sizes)]
                start += len(batch)
                await subscriber.subscribe(*batch)
                await publisher.publish(*((topic, b"at once") for topic in batch))
            missed = await self._missed(publisher, subscriber, topics)
        check(
            not missed,
            f"subscribe() returned before the broker had confirmed: {len(missed)} of {len(topics)} messages, each "
            f"published just after subscribe() of its topic had returned, were missed (the first on {missed[:1]}). "
            "Return only when the broker's own confirmation of each topic has come back over the link that "
            "receives; that the command was written, or flushed, is not enough",
        )

    async def test_a_topic_that_is_left_and_joined_again_at_once_is_live(self) -> None:
        topics = [fresh("again") for _ in range(max(1, self.race_count // 20))]
        async with self.two_nodes(self.make_slow_broker()) as (publisher, subscriber):
            await subscriber.subscribe(*topics)
            for topic in topics:
                await subscriber.unsubscribe(topic)
                await subscriber.subscribe(topic)
                await publisher.publish((topic, b"at once"))
            missed = await self._missed(publisher, subscriber, topics)
        check(
            not missed,
            f"unsubscribe() and then subscribe() of the same topic left {len(missed)} of {len(topics)} topics dead: "
            "send both in order over one link, and take the confirmation of the one not for that of the other",
        )

    async def _missed(
        self, publisher: ContractSession, subscriber: ContractSession, topics: list[str]
    ) -> list[str]:
        """On which topics `at once` did not arrive before what was published after it."""
        of, deadline = subscriber.inbox.of, anyio.current_time() + self.patience_s
        while dead := [topic for topic in topics if b"later" not in of(topic)]:
            check(
                anyio.current_time() < deadline,
                f"{len(dead)} of {len(topics)} topics are dead: nothing arrives on them within {self.patience_s:g} s "
                "of a subscribe() that returned",
            )
            for start in range(0, len(dead), BATCH):
                await publisher.publish(*((topic, b"later") for topic in dead[start : start + BATCH]))
            await comes_true(partial(subscriber.has_heard, b"later", dead), self.patience_s / 5)
        return [topic for topic in topics if b"at once" not in of(topic)]

    async def test_subscribing_again_brings_one_copy(self) -> None:
        """Twice, five-fold, in one call with others, and after five rounds of leaving and joining."""
        topic, other = fresh("copies"), fresh("copies.other")
        async with self.two_nodes() as (publisher, subscriber):
            for _ in range(5):
                await subscriber.subscribe(topic)
            await subscriber.subscribe(other, topic)
            await self._expect_one_copy(publisher, subscriber, topic, "subscribe() of a topic that is live")
            for _ in range(5):
                await subscriber.unsubscribe(topic)
                await subscriber.subscribe(topic)
            await self._expect_one_copy(publisher, subscriber, topic, "leaving and joining five times")

    async def _expect_one_copy(
        self, publisher: ContractSession, subscriber: ContractSession, topic: str, what: str
    ) -> None:
        subscriber.inbox.forget()
        sent = [b"1", b"2", b"end"]
        await publisher.publish(*((topic, payload) for payload in sent))
        await subscriber.hear(topic, sent[-1])
        await self.settle(publisher, subscriber, topic)
        got = [payload for payload in subscriber.inbox.of(topic) if payload in sent]
        check(
            got == sent,
            f"{what} made each message arrive more or less than once: {sent} were published, {got} arrived. "
            "Repeating a subscribe must be harmless: don't register a second receiver",
        )

    @needs("filters")
    async def test_a_topic_that_is_unsubscribed_stops(self) -> None:
        topic, stays = fresh("stops"), fresh("stays")
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe(topic, stays)
            await publisher.publish((topic, b"before"), (stays, b"before"))
            await subscriber.hear(topic, b"before")
            await subscriber.unsubscribe(topic)
            await publisher.publish((topic, b"after"), (stays, b"after"))
            await subscriber.hear(stays, b"after")
            await self.settle(publisher, subscriber, topic)
            got = subscriber.inbox.of(topic)
        check(
            got == [b"before"],
            f"a topic goes on after unsubscribe(): {got} arrived on it. Core would drop it, but the node pays for all "
            'of it; a broker that can\'t do without says `without = ("filters",)`',
        )

    async def test_unsubscribing_what_is_not_live_does_nothing(self) -> None:
        topic, unknown = fresh("known"), fresh("unknown")
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.unsubscribe(unknown)
            await subscriber.subscribe(topic)
            await subscriber.unsubscribe(unknown, fresh("unknown"))
            await publisher.publish((topic, b"x"))
            await subscriber.hear(topic, b"x")
            await subscriber.unsubscribe(topic)
            await subscriber.unsubscribe(topic)
            await subscriber.subscribe(topic)
            await publisher.publish((topic, b"y"))
            await subscriber.hear(topic, b"y")

    async def test_each_topic_is_itself_whatever_it_is_called(self) -> None:
        """Full stops at both ends, 256 characters, names that begin as others do, core's own channels."""
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe(*AWKWARD_TOPICS)
            await publisher.publish(*((topic, topic.encode()) for topic in AWKWARD_TOPICS))
            await publisher.publish(*((topic, b"end") for topic in AWKWARD_TOPICS))
            for topic in AWKWARD_TOPICS:
                await subscriber.hear(topic, b"end")
                got = subscriber.inbox.of(topic)
                check(
                    got == [topic.encode(), b"end"],
                    f"the topic {topic!r} does not keep to itself: its own name and then `end` were published on it, "
                    f"and {got} arrived. Map each topic to a name of its own (characters that mean something to the "
                    "broker, such as the full stop, need another form), and back",
                )

    async def test_a_topic_is_not_those_that_begin_alike(self) -> None:
        """A message carries the topic on which it was published, and only that."""
        base = fresh("alike")
        near = [base[:-1], f"{base}.b", f"{base}:b", f"{base}b", f"{base}.", f".{base}", base.upper()]
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe(base)
            await publisher.publish(*((topic, b"near") for topic in near))
            await publisher.publish((base, b"end"))
            await subscriber.hear(base, b"end")
            for topic in near:
                await self.settle(publisher, subscriber, topic)
            got = subscriber.inbox.of(base)
            check(
                got == [b"end"],
                f"messages of other topics arrived on {base!r}: {got} instead of `end` alone. Hand over what came "
                "with the topic that it was published on, compared in whole",
            )

    async def test_thousands_of_topics_in_batches(self) -> None:
        prefix = fresh("many")
        topics = [f"{prefix}:{number}" for number in range(self.topic_count)]
        batches = [topics[start : start + BATCH] for start in range(0, len(topics), BATCH)]
        async with self.two_nodes() as (publisher, subscriber):
            for batch in batches:
                await subscriber.subscribe(*batch)
            for batch in batches:
                await publisher.publish(*((topic, topic.encode()) for topic in batch))
            of = subscriber.inbox.of
            await until(
                lambda: all(of(topic) for topic in topics),
                self.patience_s,
                lambda: (
                    f"{sum(not of(topic) for topic in topics)} of {len(topics)} topics, subscribed in calls of "
                    f"{BATCH}, are dead: all of a call must be live when it returns"
                ),
            )
            wrong = [topic for topic in topics if of(topic) != [topic.encode()]]
            check(
                not wrong,
                f"{len(wrong)} topics of {len(topics)} had not exactly their one message: {wrong[:3]}",
            )
            for batch in batches:
                await subscriber.unsubscribe(*batch)
