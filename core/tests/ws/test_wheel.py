"""Deadlines: each is told once, never early and two ticks late at most, whatever else is set, moved and dropped."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from thoroughness import ALWAYS_THE_SAME, examples
from wigwag.uvicorn.wheel import Wheel

TICK_S = 0.25
TURN = 256  # ticks: the wheel's circumference
#: In sixteenths of a second, so that all sums are exact.
LONGEST = 2 * 16 * 64 + 40


class Deadline:
    """One that counts how often it was told; see :class:`Timed`."""

    def __init__(self, told: Callable[[Deadline], None] = lambda _: None) -> None:
        self.slot: int | None = None
        self.turns = 0
        self.told = 0
        self._tell = told

    def is_due(self) -> None:
        self.told += 1
        self._tell(self)


def ticks_until(wheel: Wheel, deadline: Deadline, limit: int = 5 * TURN) -> int:
    """How many ticks pass before it is told."""
    before = deadline.told
    for tick in range(1, limit):
        wheel.advance()
        if deadline.told != before:
            return tick
    raise AssertionError(f"not told within {limit} ticks")


WHOLE_TURNS = [n * TURN - 1 for n in (1, 2, 3)]  # with the tick that has begun, so many turns


@pytest.mark.parametrize("ticks", [0, 1, 2, 100, TURN - 2, TURN, TURN + 1, 2 * TURN, 3 * TURN, 4 * TURN + 7])
@pytest.mark.parametrize("part", [0.0, 0.5])
@pytest.mark.parametrize("passed", [0, 1, 200, TURN - 1, TURN, 1000])
def test_a_deadline_is_never_early_and_two_ticks_late_at_most(ticks: int, part: float, passed: int) -> None:
    """It may have been set at any time since the last tick: a whole tick has to be added for that."""
    wheel, deadline = Wheel(TICK_S), Deadline()
    for _ in range(passed):
        wheel.advance()
    wheel.set(deadline, (ticks + part) * TICK_S)
    assert ticks + part + 1 <= ticks_until(wheel, deadline) <= ticks + part + 2
    assert wheel.is_empty


@pytest.mark.parametrize("ticks", WHOLE_TURNS)
def test_a_deadline_of_whole_turns_is_not_a_turn_late(ticks: int) -> None:
    wheel, deadline = Wheel(TICK_S), Deadline()
    wheel.set(deadline, ticks * TICK_S)
    assert ticks_until(wheel, deadline) == ticks + 1


@pytest.mark.parametrize("ticks", [*WHOLE_TURNS, TURN, 2 * TURN, 10])
def test_who_is_moved_by_another_that_was_due_with_it_is_not_told_at_once(ticks: int) -> None:
    """Even where its new place is the old one."""
    wheel = Wheel(TICK_S)
    moved = Deadline()
    wheel.set(Deadline(lambda _: wheel.set(moved, ticks * TICK_S)), TICK_S)
    wheel.set(moved, TICK_S)
    assert ticks_until(wheel, moved) == 2 + ticks + 1


def test_who_is_dropped_by_another_that_was_due_with_it_is_not_told() -> None:
    wheel = Wheel(TICK_S)
    dropped = Deadline()
    wheel.set(Deadline(lambda _: wheel.drop(dropped)), TICK_S)
    wheel.set(dropped, TICK_S)
    for _ in range(2 * TURN):
        wheel.advance()
    assert not dropped.told
    assert wheel.is_empty


def test_a_deadline_is_told_once() -> None:
    wheel, deadline = Wheel(TICK_S), Deadline()
    wheel.set(deadline, 1)
    for _ in range(3 * TURN):
        wheel.advance()
    assert deadline.told == 1


def test_setting_it_again_takes_the_place_of_the_first() -> None:
    wheel, deadline = Wheel(TICK_S), Deadline()
    wheel.set(deadline, 1)
    wheel.set(deadline, 20)
    assert ticks_until(wheel, deadline) >= 80
    wheel.set(deadline, 100)
    wheel.set(deadline, 1)
    assert ticks_until(wheel, deadline) <= 6
    assert wheel.is_empty


def test_what_is_dropped_is_not_told_nor_kept() -> None:
    wheel = Wheel(TICK_S)
    deadlines = [Deadline() for _ in range(10)]
    gone = [weakref.ref(deadline) for deadline in deadlines]
    for number, deadline in enumerate(deadlines):
        wheel.set(deadline, number * 30.0)
    for deadline in deadlines:
        wheel.drop(deadline)
        wheel.drop(deadline)  # which changes nothing
    assert wheel.is_empty
    for _ in range(6 * TURN):
        wheel.advance()
    assert not any(deadline.told for deadline in deadlines)
    del deadline
    deadlines.clear()
    assert [ref() for ref in gone] == [None] * 10


def test_what_was_told_is_not_kept() -> None:
    wheel, deadline = Wheel(TICK_S), Deadline()
    gone = weakref.ref(deadline)
    wheel.set(deadline, 0)
    ticks_until(wheel, deadline)
    del deadline
    assert gone() is None
    assert wheel.is_empty


def test_who_was_told_may_set_its_next_deadline() -> None:
    wheel = Wheel(TICK_S)
    deadline = Deadline(lambda it: wheel.set(it, 5.0))
    wheel.set(deadline, 1)
    assert [ticks_until(wheel, deadline) for _ in range(40)][1:] == [21] * 39


#: What to do, to which, and for how long: also while one is told.
Step = tuple[str, int, int]
steps = st.tuples(st.sampled_from(["set", "set", "drop"]), st.integers(0, 5), st.integers(0, LONGEST))
passing = st.one_of(st.integers(0, 9), st.integers(200, 600))
programs = st.lists(st.one_of(steps, st.tuples(st.just("advance"), st.just(0), passing)), max_size=25)


class Model:
    """Six deadlines, when each was set and for how long, and what each does when it is told."""

    def __init__(self, reactions: Sequence[Step | None]) -> None:
        self.wheel = Wheel(TICK_S)
        self.deadlines = [Deadline(self.is_due) for _ in range(6)]
        self.reactions = dict(zip(self.deadlines, reactions, strict=True))
        self.now = 0
        self.pending: dict[Deadline, tuple[int, float]] = {}

    def do(self, what: str, which: int, number: int) -> None:
        if what == "advance":
            for _ in range(number):
                self.advance()
            return
        deadline = self.deadlines[which]
        if what == "drop":
            self.wheel.drop(deadline)
            self.pending.pop(deadline, None)
        else:
            self.wheel.set(deadline, number / 16)
            self.pending[deadline] = self.now, number / 16

    def is_due(self, deadline: Deadline) -> None:
        since, delay_s = self.pending.pop(deadline)  # not there: told twice, or though it was dropped
        assert (self.now - since) * TICK_S >= delay_s + TICK_S, "early, where it was set just before a tick"
        reaction = self.reactions.get(deadline)
        if reaction is not None:
            self.do(*reaction)

    def advance(self) -> None:
        self.now += 1
        self.wheel.advance()
        for since, delay_s in self.pending.values():
            assert (self.now - since) * TICK_S < delay_s + 2 * TICK_S, "late"
        assert self.wheel.is_empty is (not self.pending)


@settings(
    max_examples=examples(200),
    derandomize=ALWAYS_THE_SAME,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate] + ([] if "WIGWAG_NO_SHRINK" in os.environ else [Phase.shrink]),
)
@given(programs, st.lists(st.one_of(st.none(), steps), min_size=6, max_size=6))
def test_whatever_is_set_moved_and_dropped_each_is_told_in_its_time(
    program: list[Step], reactions: list[Step | None]
) -> None:
    model = Model(reactions)
    for step in program:
        model.do(*step)
    model.reactions.clear()
    model.do("advance", 0, LONGEST // 4 + 2)
    assert not model.pending
    assert model.wheel.is_empty
