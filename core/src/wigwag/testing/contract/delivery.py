"""Who hears what, in which order, how often."""

# ruff: noqa: D102 - a test's name is what it says

from __future__ import annotations

from collections.abc import Sequence

from wigwag.testing.contract.checks import check, raise_first, together, until
from wigwag.testing.contract.hooks import needs
from wigwag.testing.contract.session import ContractSession
from wigwag.testing.contract.theme import Theme, fresh


class DeliveryTests(Theme):
    """Race rows 12 and 13 within a session."""

    async def test_messages_arrive_in_order_within_and_across_calls(self) -> None:
        topics = [fresh("order") for _ in range(5)]
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe(*topics)
            await self._publish_numbered(publisher, topics, b"")
            await self._expect_order(subscriber, topics, [b""])
            if subscriber.broker.capabilities.positions:
                self._check_positions(subscriber)

    async def test_two_publishers_each_keep_their_order(self) -> None:
        topics = [fresh("order.two") for _ in range(3)]
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe(*topics)
            errors = await together(
                self._publish_numbered(publisher, topics, b"x"),
                self._publish_numbered(subscriber, topics, b"y"),
            )
            raise_first(errors)
            await self._expect_order(subscriber, topics, [b"x", b"y"])

    async def _publish_numbered(self, publisher: ContractSession, topics: list[str], name: bytes) -> None:
        """In calls of 1, 2, 3 … messages a topic, as core's batches grow and shrink."""
        number, size = 0, 1
        while number < self.order_count:
            batch = range(number, min(number + size, self.order_count))
            await publisher.publish(*((topic, b"%s%d" % (name, n)) for n in batch for topic in topics))
            number, size = number + size, size % 7 + 1

    async def _expect_order(
        self, subscriber: ContractSession, topics: list[str], names: Sequence[bytes]
    ) -> None:
        of, total = subscriber.inbox.of, self.order_count * len(names)
        await until(
            lambda: all(len(of(topic)) >= total for topic in topics),
            self.patience_s,
            lambda: (
                f"of {total} messages on each topic {[len(of(topic)) for topic in topics]} arrived: publish() "
                "returned, and they were lost"
            ),
        )
        for topic in topics:
            for name in names:
                sent = [b"%s%d" % (name, number) for number in range(self.order_count)]
                got = [payload for payload in of(topic) if payload.startswith(name)]
                check(got == sent, _disorder(topic, sent, got))

    def _check_positions(self, subscriber: ContractSession) -> None:
        last: dict[tuple[str, str], int] = {}
        for topic, _, position in subscriber.inbox.got:
            check(
                position is not None, f"capabilities.positions is True, and a message on {topic!r} has none"
            )
            if position is not None:
                before = last.get((topic, position.epoch), -1)
                check(
                    position.offset > before,
                    f"the positions of {topic!r} must count up: {position.offset} came after {before}",
                )
                last[topic, position.epoch] = position.offset

    async def test_a_node_hears_what_it_publishes_itself(self) -> None:
        """Once: the probe is such a message, and a node's own sockets get theirs by this way."""
        topic = fresh("self")
        async with self.session() as session:
            await session.subscribe(topic)
            await session.publish((topic, b"1"), (topic, b"2"))
            await session.publish((topic, b"end"))
            await until(
                lambda: b"end" in session.inbox.of(topic),
                self.patience_s,
                "a node does not hear what it publishes itself: leave the broker's no-echo or no-local option off",
            )
            got = session.inbox.of(topic)
            check(
                got == [b"1", b"2", b"end"],
                f"a node must hear its own messages once, in order; it heard {got}",
            )

    async def test_what_nobody_wants_is_taken_all_the_same(self) -> None:
        topic = fresh("nobody")
        async with self.two_nodes() as (publisher, subscriber):
            await publisher.publish((topic, b"x"))
            await subscriber.subscribe(topic)
            await publisher.publish((topic, b"end"))
            await subscriber.hear(topic, b"end")

    @needs("nodes")
    async def test_every_node_hears_it(self) -> None:
        """Three nodes want the topic; each gets one copy, whoever publishes."""
        topic = fresh("every")
        async with self.session() as a, self.session() as b, self.session() as c:
            for node in (a, b, c):
                await node.subscribe(topic)
            for number, node in enumerate((a, b, c)):
                await node.publish((topic, b"%d" % number))
            for node in (a, b, c):
                await self._expect_each_once(node, topic, [b"0", b"1", b"2"])

    async def _expect_each_once(self, node: ContractSession, topic: str, sent: list[bytes]) -> None:
        await until(
            lambda: len(node.inbox.of(topic)) >= len(sent),
            self.patience_s,
            lambda: (
                f"three nodes published one message each, and one node heard {node.inbox.of(topic)}: every node must "
                "have its own copy (no queue group, no shared subscription, no consumer group)"
            ),
        )
        got = sorted(node.inbox.of(topic))
        check(got == sent, f"each node must get one copy of each message; one got {got}")

    @needs("make_stranger")
    async def test_two_prefixes_never_meet(self) -> None:
        topic = fresh("prefix")
        async with (
            self.two_nodes() as (publisher, subscriber),
            self.session(self.make_stranger()) as stranger,
        ):
            for node in (subscriber, stranger):
                await node.subscribe(topic)
            await stranger.publish((topic, b"stranger"))
            await publisher.publish((topic, b"ours"))
            await subscriber.hear(topic, b"ours")
            await stranger.hear(topic, b"stranger")
            await stranger.publish((topic, b"end"))
            await publisher.publish((topic, b"end"))
            await subscriber.hear(topic, b"end")
            await stranger.hear(topic, b"end")
            got, theirs = subscriber.inbox.of(topic), stranger.inbox.of(topic)
        check(
            (got, theirs) == ([b"ours", b"end"], [b"stranger", b"end"]),
            f"two prefixes on one server meet: one heard {got}, the other {theirs}. The prefix must be part of every "
            "name that the plugin uses on the broker",
        )


def _disorder(topic: str, sent: list[bytes], got: list[bytes]) -> str:
    doubled = len(got) - len(set(got))
    if doubled:
        return f"{doubled} messages on {topic!r} arrived more than once: each is delivered once in a session"
    missing = [payload for payload in sent if payload not in set(got)]
    if missing:
        return (
            f"{len(missing)} messages on {topic!r} were lost in a session, the first of them {missing[0]!r}"
        )
    where = next((n for n, pair in enumerate(zip(sent, got, strict=False)) if pair[0] != pair[1]), len(sent))
    return (
        f"messages on {topic!r} arrived out of order: {got[where : where + 3]} where {sent[where : where + 3]} were "
        "due. One lane is one order: write a batch in its order over one connection, wait until the broker took it, "
        "and receive by one reader"
    )
