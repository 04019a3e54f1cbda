"""What one turn of the event loop publishes: joined, and written once to each socket; nobody gets more or less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clocks import backend, settle
from wigwag.frames import Batch, Frame
from wigwag.provider.counters import Counters
from wigwag.provider.fanout import Fanout
from wigwag.testing import FakeSocket

pytestmark = pytest.mark.anyio

A, B, C = (f"{n:08x}-0000-4000-8000-000000000000" for n in range(3))


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")  # on trio nothing is joined


class Kernel:
    """A socket that takes bytes at once: a :class:`BatchingSocket`; ``takes`` is how many, or what it raises."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.user_id: str | None = None
        self.sent: list[bytes] = []
        self.batches: list[Batch] = []
        self.rests: list[tuple[bytes, int]] = []
        self.closes: list[int] = []
        self.takes: int | OSError | None = None
        self.send_now: Callable[[bytes], int] | None = self._take
        self.flush: Callable[[], object] | None = None
        self.buffered_bytes = 0

    def _take(self, data: bytes) -> int:
        if isinstance(self.takes, OSError):
            raise self.takes
        self.sent.append(data)
        return len(data) if self.takes is None else self.takes

    def unsent(self, data: bytes, sent: int) -> None:
        self.rests.append((data, sent))
        self.send_now = None

    def write(self, frame: Frame) -> None:
        self.write_batch(Batch([frame]))

    def write_batch(self, batch: Batch) -> None:
        self.batches.append(batch)

    def close(self, code: int, reason: str) -> None:
        self.closes.append(code)

    @property
    def texts(self) -> list[str]:
        """All that it was given, in order, as one byte each."""
        data = b"".join(self.sent)
        assert len(data) % 3 == 0
        return [data[at + 2 : at + 3].decode() for at in range(0, len(data), 3)]


def fanout_of(*sockets: Any, topic: str = "t") -> Fanout:
    fanout = Fanout(Counters())
    for socket in sockets:
        fanout.join(topic, fanout.attach(socket))
    return fanout


def publish(fanout: Fanout, *texts: str, topic: str = "t", exclude: str | None = None) -> None:
    for text in texts:
        fanout.to_topic(Frame.of(text, topic), topic, exclude)


async def test_one_write_a_socket_and_the_same_bytes() -> None:
    a, b = Kernel(A), Kernel(B)
    fanout = fanout_of(a, b)
    publish(fanout, "1", "2", "3")
    assert a.sent == []
    await settle()
    assert (len(a.sent), a.texts) == (1, ["1", "2", "3"])
    assert a.sent[0] is b.sent[0]
    assert fanout._counters.delivered == 6
    publish(fanout, "4")
    await settle()
    assert a.texts == ["1", "2", "3", "4"]


async def test_who_joins_does_not_get_what_was_published_before() -> None:
    a, b = Kernel(A), Kernel(B)
    fanout = fanout_of(a)
    attached = fanout.attach(b)
    publish(fanout, "1")
    fanout.join("t", attached)
    publish(fanout, "2")
    await settle()
    assert (a.texts, b.texts) == (["1", "2"], ["2"])


async def test_who_leaves_gets_what_was_published_before() -> None:
    a, b = Kernel(A), Kernel(B)
    fanout = fanout_of(a, b)
    publish(fanout, "1")
    fanout.leave("t", b)
    publish(fanout, "2")
    await settle()
    assert (a.texts, b.texts) == (["1", "2"], ["1"])


async def test_who_is_closed_gets_what_was_published_before() -> None:
    a = Kernel(A)
    fanout = fanout_of(a)
    publish(fanout, "1")
    fanout.close([a], 4000, "")
    assert (a.texts, a.closes) == (["1"], [4000])


async def test_a_broadcast_is_for_those_who_were_there() -> None:
    a, b = Kernel(A), Kernel(B)
    fanout = fanout_of(a)
    fanout.to_all(Frame.of("1"))
    fanout.attach(b)
    fanout.to_all(Frame.of("2"), exclude=B)
    fanout.detach(A)
    fanout.to_all(Frame.of("3"))
    await settle()
    assert (a.texts, b.texts) == (["1", "2"], ["3"])


async def test_a_direct_message_does_not_overtake() -> None:
    a = Kernel(A)
    fanout = fanout_of(a)
    publish(fanout, "1")
    fanout.to_one(Frame.of("2"), A)
    assert a.texts == ["1"]
    assert [frame.text for batch in a.batches for frame in batch.frames] == ["2"]


async def test_a_turn_that_publishes_without_end_is_written_meanwhile() -> None:
    a = Kernel(A)
    fanout = fanout_of(a)
    for _ in range(10):
        fanout.to_topic(Frame(b"x" * 60_000, is_text=False, topic="t"), "t")
    assert len(a.sent) == 2  # five make 256 KiB


async def test_who_is_excluded_from_some_gets_the_others() -> None:
    a, b, c = Kernel(A), Kernel(B), FakeSocket(C)
    fanout = fanout_of(a, b, c)
    publish(fanout, "1")
    publish(fanout, "2", exclude=A)
    publish(fanout, "3", exclude=C)
    publish(fanout, "4", exclude="somebody elsewhere")
    await settle()
    assert (a.texts, b.texts) == (["1", "3", "4"], ["1", "2", "3", "4"])
    assert c.messages == ["1", "2", "4"]
    publish(fanout, "5", exclude=A)
    await settle()
    assert (a.texts[-1], b.texts[-1]) == ("4", "5")
    assert fanout._counters.delivered == 3 + 4 + 3 + 2


@pytest.mark.parametrize("takes", [0, 2, BlockingIOError(), BrokenPipeError()])
async def test_of_what_the_kernel_does_not_take_the_socket_is_told(takes: int | OSError) -> None:
    a, b = Kernel(A), Kernel(B)
    a.takes = takes
    fanout = fanout_of(a, b)
    publish(fanout, "1")
    await settle()
    assert a.rests == [(b"\x81\x011", takes if isinstance(takes, int) else 0)]
    publish(fanout, "2")
    await settle()
    assert [frame.text for batch in a.batches for frame in batch.frames] == ["2"]
    assert b.texts == ["1", "2"]


async def test_a_write_may_take_its_socket_out_of_the_table() -> None:
    a, b = Kernel(A), Kernel(B)
    fanout = fanout_of(a, b)
    a.takes = 0
    a.unsent = lambda data, sent: fanout.leave("t", a)  # type: ignore[method-assign,assignment]
    publish(fanout, "1")
    await settle()
    assert (b.texts, list(fanout.interest.sockets("t"))) == (["1"], [b])


async def test_what_nobody_wants_is_not_kept() -> None:
    fanout = fanout_of(Kernel(A))
    publish(fanout, "1", topic="other")
    assert not fanout._pending
