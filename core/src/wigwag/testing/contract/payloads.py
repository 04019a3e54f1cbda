"""Payloads are bytes: what goes in comes out, up to the size that the broker says it takes."""

from __future__ import annotations

import random

from wigwag.testing.contract.checks import check, until
from wigwag.testing.contract.session import ContractSession
from wigwag.testing.contract.theme import Theme, fresh

SMALL_PAYLOADS = (
    b"",
    b"\0",
    b"x",
    b"\0\0\0",
    b"\xff\xfe\x80",
    b"\xc3\x28",
    "ä€😀".encode(),
    b"\r\n",
    b"$-1\r\n",
    b"'\"\\",
    b" ",
    b" x ",
    b"{}",
    b"null",
    b"-ERR",
    bytes(range(256)),
)


class PayloadTests(Theme):
    """Bit-exactness."""

    async def test_payloads_arrive_as_they_were(self) -> None:
        """Empty, NUL, not UTF-8, line ends: each alone in its call, and all in one."""
        topic = fresh("bits")
        async with self.two_nodes() as (publisher, subscriber):
            await subscriber.subscribe(topic)
            for payload in SMALL_PAYLOADS:
                await publisher.publish((topic, payload))
            await publisher.publish(*((topic, payload) for payload in SMALL_PAYLOADS), (topic, b"end"))
            await self._expect(subscriber, topic, [*SMALL_PAYLOADS, *SMALL_PAYLOADS, b"end"])

    async def test_large_payloads_arrive_as_they_were(self) -> None:
        """Around the powers of two at which lengths change their form and buffers their number."""
        topic, noise = fresh("large"), random.Random(1)
        async with self.two_nodes() as (publisher, subscriber):
            limit = self._limit(publisher)
            sizes = [2**n + d for n in (7, 8, 12, 14, 16, 17, 20) for d in (-1, 0, 1)]
            sent = [noise.randbytes(size) for size in sizes if size <= limit]
            await subscriber.subscribe(topic)
            for payload in sent:
                await publisher.publish((topic, payload))
            await publisher.publish(*((topic, payload) for payload in sent[:12]), (topic, b"end"))
            await self._expect(subscriber, topic, [*sent, *sent[:12], b"end"])

    async def test_the_largest_payload_goes_through(self) -> None:
        """``max_payload_bytes`` is honest, also for the longest topic; beyond it core refuses."""
        topic = fresh("largest").ljust(256, "x")
        async with self.two_nodes() as (publisher, subscriber):
            limit = self._limit(publisher)
            payload = random.Random(2).randbytes(limit)
            await subscriber.subscribe(topic)
            try:
                await publisher.publish((topic, payload))
                await publisher.publish((topic, b"end"))
            except Exception as exc:
                check(False, f"{self._lie(publisher, limit)}: publish() raised {exc!r}")
                raise
            await until(
                lambda: subscriber.inbox.of(topic) or subscriber.is_over,
                self.patience_s,
                f"{self._lie(publisher, limit)}: it did not arrive within {self.patience_s:g} s",
            )
            check(
                not subscriber.is_over,
                f"{self._lie(publisher, limit)}: it ended the session of who received it",
            )
            check(
                subscriber.inbox.of(topic)[0] == payload,
                f"{self._lie(publisher, limit)}: what arrived is {len(subscriber.inbox.of(topic)[0])} bytes",
            )

    def _limit(self, session: ContractSession) -> int:
        said = session.max_payload_bytes
        return self.largest_payload_bytes if said is None else min(said, self.largest_payload_bytes)

    def _lie(self, session: ContractSession, size: int) -> str:
        return (
            f"ready() said max_payload_bytes={session.max_payload_bytes}, and a payload of {size} bytes does not go "
            "through; say what is left when the topic and the protocol's own bytes are counted"
        )

    async def _expect(self, subscriber: ContractSession, topic: str, sent: list[bytes]) -> None:
        inbox = subscriber.inbox
        await until(
            lambda: b"end" in inbox.of(topic) or subscriber.is_over,
            self.patience_s,
            lambda: f"{len(inbox.of(topic))} of {len(sent)} payloads arrived, and then nothing",
        )
        got = inbox.of(topic)
        for number, payload in enumerate(sent):
            arrived = got[number] if number < len(got) else None
            kind = type(arrived).__name__
            check(
                arrived is None or type(arrived) is bytes,
                f"deliver() was given a {kind}: payloads are bytes, so convert it",
            )
            check(
                arrived == payload,
                f"payloads must arrive bit-exact and in order: the {number + 1}. of them, {_shown(payload)}, came as "
                f"{_shown(arrived)}",
            )
        check(len(got) == len(sent), f"{len(sent)} payloads were published and {len(got)} arrived")


def _shown(payload: bytes | None) -> str:
    if payload is None or len(payload) <= 40:
        return "nothing" if payload is None else repr(payload)
    return f"{payload[:10]!r}… ({len(payload)} bytes)"
