"""When each of many is due, and that whoever does it keeps to that without holding anybody else up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocks import backend, jump, settle
from wigwag.pacing import moments, pace

COUNTS = st.integers(0, 2000)
RATES = st.floats(0.5, 5000)
LIMITS = st.floats(0, 60)
JITTERS = st.integers(0, 2**32).map(
    lambda seed: Random(seed).random
)  # thousands of draws, one of them Hypothesis's
Jitter = Callable[[], float]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


@settings(deadline=None, max_examples=50)
@given(COUNTS, RATES, LIMITS, JITTERS)
def test_each_has_its_moment_in_order_and_none_is_beyond_the_limit(
    count: int, per_s: float, limit_s: float, jitter: Jitter
) -> None:
    plan = list(moments(count, per_s=per_s, limit_s=limit_s, jitter=jitter))
    assert len(plan) == count
    assert plan == sorted(plan)
    assert all(0 <= moment <= limit_s for moment in plan)


@settings(deadline=None, max_examples=50)
@given(COUNTS, RATES, st.floats(0.01, 60), JITTERS, st.floats(0.01, 10))
def test_in_no_stretch_of_time_are_there_more_than_the_rate_and_the_limit_ask_for(
    count: int, per_s: float, limit_s: float, jitter: Jitter, window_s: float
) -> None:
    plan = list(moments(count, per_s=per_s, limit_s=limit_s, jitter=jitter))
    rate = max(per_s, count / limit_s)
    most = 2 + math.ceil(window_s * rate)
    for first in range(0, count, 97):
        within = sum(
            plan[first] <= moment < plan[first] + window_s for moment in plan[first : first + most + 1]
        )
        assert within <= most


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 2000), RATES, JITTERS)
def test_where_there_is_time_the_rate_is_kept_and_not_gone_below(
    count: int, per_s: float, jitter: Jitter
) -> None:
    plan = list(moments(count, per_s=per_s, limit_s=count / per_s + 1, jitter=jitter))
    for number, moment in enumerate(plan):
        assert number / per_s <= moment * (1 + 1e-9) + 1e-9
        assert moment <= (number + 1) / per_s * (1 + 1e-9)


def test_two_plans_differ() -> None:
    """Several processes that end together close nobody in step."""
    assert list(moments(10, per_s=1, limit_s=60)) != list(moments(10, per_s=1, limit_s=60))


@pytest.mark.anyio
async def test_each_is_done_at_about_its_moment() -> None:
    done: list[float] = []
    began = anyio.current_time()
    await pace(range(200), lambda _: done.append(anyio.current_time() - began), per_s=20, limit_s=60)
    assert len(done) == 200
    assert all(number / 20 - 0.02 <= at <= (number + 1) / 20 + 0.02 for number, at in enumerate(done))


@pytest.mark.anyio
async def test_50000_in_no_time_leave_every_turn_to_others() -> None:
    done: list[int] = []
    others: list[int] = []

    async def other() -> None:
        while len(done) < 50_000:
            others.append(len(done))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await pace(range(50_000), done.append, per_s=1, limit_s=0)
    assert done == list(range(50_000))
    assert max(after - before for before, after in itertools.pairwise(others)) <= 100


@pytest.mark.anyio
@pytest.mark.parametrize(("limit_s", "in_next_s"), [(60, (90, 125)), (12, (500, 1000))])
async def test_after_the_process_stood_still_the_pace_is_kept_as_far_as_time_allows(
    limit_s: float, in_next_s: tuple[int, int]
) -> None:
    done: list[float] = []
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_pace_thousand, done, limit_s)
        await anyio.sleep(1.5)
        before = len(done)
        jump(9)  # nine hundred are due
        await settle()
        await anyio.sleep(1)
        assert in_next_s[0] <= len(done) - before <= in_next_s[1]
    assert len(done) == 1000
    assert done[-1] - began <= limit_s + 0.1


async def _pace_thousand(done: list[float], limit_s: float) -> None:
    await pace(range(1000), lambda _: done.append(anyio.current_time()), per_s=100, limit_s=limit_s)


@pytest.mark.anyio
async def test_cancelled_it_leaves_the_rest() -> None:
    done: list[int] = []
    with anyio.move_on_after(1):
        await pace(range(1000), done.append, per_s=100, limit_s=60)
    assert 95 <= len(done) <= 105
