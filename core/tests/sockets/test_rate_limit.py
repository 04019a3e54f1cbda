"""RateLimit, a ready guard; and the bucket under all limits of messages a second."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockets.scripted_asgi import World
from wigwag import RateLimit, SocketContext, SocketRouter, Sockets
from wigwag.sockets.limits import TokenBucket


@pytest.fixture
def echo() -> SocketRouter[None]:
    router = SocketRouter[None]()

    @router.on("m")
    def handle(ctx: SocketContext[None], data: str) -> int:
        return len(data)

    return router


@pytest.mark.anyio
async def test_a_rate_limit_guards_what_it_is_given_to_for_each_socket(
    world: World, echo: SocketRouter[None]
) -> None:
    limit = RateLimit(2, per_s=1000)
    echo.on("limited", guards=[limit])(lambda ctx: "ok")
    echo.on("too", guards=[limit])(lambda ctx: "ok")
    sockets = Sockets(routers=[echo])
    peer, other = await world.connect(sockets), await world.connect(sockets)
    assert (await peer.ask("limited"))["data"] == "ok"
    assert (await peer.ask("too"))["data"] == "ok"
    assert (await peer.ask("limited"))["error"] == "Too many messages"
    assert (await peer.ask("m", "x"))["data"] == 1
    assert (await other.ask("limited"))["data"] == "ok"
    assert not peer.is_closed


@pytest.mark.anyio
async def test_a_rate_limit_may_have_a_larger_burst(world: World) -> None:
    router = SocketRouter[None](guards=[RateLimit(1, per_s=1000, burst=3)])
    router.on("m")(lambda ctx: "ok")
    peer = await world.connect(Sockets(routers=[router]))
    answers = [await peer.ask("m") for _ in range(4)]
    assert ["data" in answer for answer in answers] == [True, True, True, False]


@pytest.mark.parametrize("wrong", [(0,), (1, 0), (1, -1), (1, math.nan)])
def test_a_rate_limit_lets_something_pass(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="at least 1 message"):
        RateLimit(*wrong)
    with pytest.raises(ValueError, match="a burst of 1"):
        RateLimit(1, burst=0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_refills_at_its_rate_up_to_its_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 3, clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.now += 0.4
    assert not bucket.take()
    clock.now += 0.1
    assert bucket.take()
    assert not bucket.take()
    clock.now += 1000
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


@given(
    st.floats(0.1, 100),
    st.integers(1, 20),
    st.lists(st.floats(0, 3), max_size=50),
)
def test_a_bucket_never_lets_pass_more_than_burst_and_rate(
    per_s: float, burst: int, waits: list[float]
) -> None:
    clock = Clock()
    bucket = TokenBucket(per_s, burst, clock)
    taken = 0
    for wait in waits:
        clock.now += wait
        taken += bucket.take()
    assert taken <= burst + per_s * sum(waits) + 1e-6
