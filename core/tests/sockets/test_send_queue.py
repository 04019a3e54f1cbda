"""What waits for a slow socket, exactly: order, notice, counts, bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wigwag import Limits
from wigwag.frames import Frame
from wigwag.messages import encode_named
from wigwag.sockets.queue import SendQueue

Policy = Literal["close", "drop", "latest"]


def queue(slow: Policy, messages: int = 3, bytes: int = 100) -> SendQueue:
    return SendQueue(Limits(slow=slow, send_messages=messages, send_bytes=bytes))


def event(text: str, topic: str = "t") -> Frame:
    return Frame.of(text, topic)


def reply(text: str) -> Frame:
    return Frame.of(text)


def taken(queue: SendQueue) -> list[Any]:
    """All that the client gets now; a notice as its count."""
    return [shown(frame) for frame in iter(queue.pop, None)]


def shown(frame: Frame) -> Any:
    if frame.text.startswith('{"name":"wigwag.dropped"'):
        return json.loads(frame.text)["data"]["count"]
    return frame.text


def push(queue: SendQueue, *frames: Frame) -> list[tuple[bool, int]]:
    return [queue.push(frame) for frame in frames]


@pytest.mark.parametrize("slow", ["close", "drop", "latest"])
def test_within_its_limits_it_keeps_everything_in_order(slow: Policy) -> None:
    q = queue(slow)
    assert push(q, event("a"), reply("b"), event("c")) == [(True, 0)] * 3
    assert (len(q), q.bytes, q.is_full) == (3, 3, False)
    assert taken(q) == ["a", "b", "c"]
    assert (len(q), q.bytes, q.is_full) == (0, 0, False)
    assert not q.was_drained()


def test_close_gives_up_at_one_too_many() -> None:
    q = queue("close")
    push(q, event("a"), event("b"), event("c"))
    assert q.push(event("d")) == (False, 0)
    assert q.push(reply("d")) == (False, 0)
    assert not q.is_full


def test_close_gives_up_at_one_byte_too_many() -> None:
    q = queue("close", bytes=4)
    assert push(q, event("12"), event("34"), event("5")) == [(True, 0), (True, 0), (False, 0)]


@pytest.mark.parametrize("slow", ["close", "drop", "latest"])
def test_a_frame_larger_than_the_limit_goes_through_alone(slow: Policy) -> None:
    q = queue(slow, bytes=4)
    assert q.push(event("larger")) == (True, 0)
    assert q.push(event("x")) != (True, 0) or slow == "latest"
    assert q.pop() is not None


def test_drop_drops_what_is_published_until_all_that_waited_is_taken() -> None:
    q = queue("drop")
    push(q, event("a"), event("b"), event("c"))
    assert push(q, event("d"), event("e", "u")) == [(True, 1), (True, 1)]
    assert q.is_full
    assert [shown(frame) for frame in (q.pop(), q.pop()) if frame] == ["a", "b"]
    assert q.push(event("f")) == (True, 1)  # there is room, but none is made of what came before
    assert (taken(q), q.is_full) == (["c", 3], False)
    assert q.push(event("g")) == (True, 0)
    assert taken(q) == ["g"]


def test_what_came_while_full_follows_the_notice_only_after_it() -> None:
    q = queue("drop")
    push(q, event("a"), event("b"), event("c"), event("lost"))
    for text in "abc":
        frame = q.pop()
        assert frame is not None
        assert frame.text == text
    assert q.push(event("lost too")) == (True, 1)  # nobody has noticed yet that it is empty
    assert taken(q) == [2]


def test_latest_keeps_the_newest_of_each_topic_in_the_order_of_the_newest() -> None:
    q = queue("latest")
    push(q, event("a"), event("b"), event("c"))
    assert push(q, event("t1", "t"), event("u1", "u"), event("t2", "t"), event("v1", "v")) == [
        (True, 0),
        (True, 0),
        (True, 1),
        (True, 0),
    ]
    assert (len(q), q.bytes) == (6, 9)
    assert taken(q) == ["a", "b", "c", 1, "u1", "t2", "v1"]
    assert (len(q), q.bytes) == (0, 0)


def test_latest_says_nothing_where_nothing_was_lost() -> None:
    q = queue("latest")
    push(q, event("a"), event("b"), event("c"), event("d"))
    assert taken(q) == ["a", "b", "c", "d"]
    assert q.was_drained()


def test_latest_keeps_the_newest_topics_where_the_newest_of_each_are_too_much() -> None:
    q = queue("latest", bytes=10)
    push(q, event("a"), event("b"), event("c"))
    assert q.push(event("12345", "t")) == (True, 0)
    assert q.push(event("123456", "t")) == (True, 1)
    assert q.push(event("12345", "u")) == (True, 1)
    assert q.push(event("x" * 11, "v")) == (True, 1)  # larger than the limit, but alone
    assert taken(q) == ["a", "b", "c", 3, "x" * 11]


@pytest.mark.parametrize("slow", ["drop", "latest"])
def test_replies_are_never_dropped_but_closed_at_twice_the_limit(slow: Policy) -> None:
    q = queue(slow)
    push(q, event("a"), event("b"), event("c"), event("d"), event("e"))
    assert push(q, reply("1"), reply("2"), reply("3")) == [(True, 0)] * 3
    assert q.push(reply("4")) == (False, 0)
    kept = ["a", "b", "c", "1", "2", "3"]
    assert taken(q) == ([*kept, 2] if slow == "drop" else [*kept, 1, "e"])


@pytest.mark.parametrize("slow", ["drop", "latest"])
def test_replies_are_closed_at_twice_the_bytes(slow: Policy) -> None:
    q = queue(slow, bytes=5)
    push(q, event("12345"), event("x"))
    assert push(q, reply("67890"), reply("1")) == [(True, 0), (False, 0)]


def test_pongs_go_first_and_are_bounded() -> None:
    q = queue("close")
    push(q, event("a"), event("b"), event("c"))
    for _ in range(1000):
        q.push_pong()
    assert len(q) == 3 + 64
    assert taken(q) == ["3"] * 64 + ["a", "b", "c"]


def test_pongs_take_no_room_from_messages() -> None:
    q = queue("close", messages=1, bytes=1)
    q.push_pong()
    assert q.push(event("a")) == (True, 0)
    assert q.bytes == 1


def test_it_is_drained_once_when_all_is_taken_that_waited_in_a_full_one() -> None:
    q = queue("drop")
    push(q, event("a"), event("b"), event("c"), event("d"))
    for expected in ("a", "b", "c", 1):
        assert not q.was_drained()
        frame = q.pop()
        assert frame is not None
        assert shown(frame) == expected
    assert q.was_drained()
    assert not q.was_drained()
    q.push(event("a"))
    assert taken(q) == ["a"]
    assert not q.was_drained()


def test_clear_forgets_all() -> None:
    q = queue("latest")
    push(q, event("a"), event("b"), event("c"), event("d"))
    q.push_pong()
    q.clear()
    assert (len(q), q.bytes) == (0, 0)


# Against a model: what a client gets, said as slowly and as plainly as possible


@dataclass
class Model:
    """One list of what waits; what is missing from it is counted."""

    slow: Policy
    messages: int
    bytes: int
    waiting: list[Frame] = field(default_factory=list)
    newest: list[Frame] = field(default_factory=list)
    dropped: int = 0
    full: bool = False

    def size(self, frames: list[Frame]) -> int:
        return sum(len(frame.payload) for frame in frames)

    def push(self, frame: Frame) -> bool:
        """Whether the socket lives."""
        size = len(frame.payload)
        fits = len(self.waiting) < self.messages
        fits = fits and (not self.waiting or self.size(self.waiting) + size <= self.bytes)
        if not self.full and fits:
            self.waiting.append(frame)
            return True
        if self.slow == "close":
            return False
        self.full = True
        if frame.topic is None:
            self.waiting.append(frame)
            return len(self.waiting) <= 2 * self.messages and self.size(self.waiting) <= 2 * self.bytes
        if self.slow == "drop":
            self.dropped += 1
            return True
        older = [kept for kept in self.newest if kept.topic == frame.topic]
        self.dropped += len(older)
        self.newest = [kept for kept in self.newest if kept.topic != frame.topic] + [frame]
        while self.size(self.newest) > self.bytes and len(self.newest) > 1:
            self.newest.pop(0)
            self.dropped += 1
        return True

    def pop(self) -> Any:
        if not self.waiting and self.full:
            self.full = False
            if self.dropped:
                notice = encode_named("wigwag.dropped", b'{"count":%d}' % self.dropped)
                self.waiting.append(Frame(notice, is_text=True))
            self.waiting += self.newest
            self.newest, self.dropped = [], 0
        return shown(self.waiting.pop(0)) if self.waiting else None


FRAMES = st.builds(event, st.text("x", min_size=1, max_size=6), st.sampled_from("tuvw")) | st.builds(
    reply, st.text("r", max_size=4)
)


def numbered(frames: list[Frame | None]) -> Iterator[Frame | None]:
    for number, frame in enumerate(frames):
        yield None if frame is None else Frame.of(f"{number}{frame.text}", frame.topic)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["close", "drop", "latest"]),
    st.integers(1, 5),
    st.integers(1, 40),
    st.lists(st.none() | FRAMES, max_size=60),
)
def test_it_does_what_the_model_does(
    slow: Policy, messages: int, bytes: int, steps: list[Frame | None]
) -> None:
    q = queue(slow, messages, bytes)
    model = Model(slow, messages, bytes)
    lost = told = 0
    for frame in numbered(steps):
        if frame is None:  # the client takes one
            got = q.pop()
            assert (got and shown(got)) == model.pop()
            if got is not None and isinstance(shown(got), int):
                told += shown(got)
        else:
            lives, dropped = q.push(frame)
            lost += dropped
            assert lives == model.push(frame)
            if not lives:
                return
        assert q.is_full == model.full
        assert len(q._frames) <= max(2 * messages, len("tuvw") + 1)
        assert q.bytes == model.size(model.waiting) + model.size(model.newest)
    rest = taken(q)
    assert rest == list(iter(model.pop, None))
    assert told + sum(text for text in rest if isinstance(text, int)) == lost
