"""The send queue against a model: what a client gets, said as slowly and as plainly as possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sockets.queued import Policy, event, queue, reply, shown, taken
from thoroughness import examples
from wigwag.frames import Frame
from wigwag.messages import encode_named


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


@settings(max_examples=examples(300), deadline=None)
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
