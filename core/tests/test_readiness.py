"""When clients are to be sent elsewhere: a loss of the broker's link has to last, all else counts at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from clocks import backend, settle
from wigwag.provider import Provider, ProviderSettings
from wigwag.service.publishing import NO_PROVIDER
from wigwag.service.readiness import Readiness
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio

#: A link that is lost comes back at once, if it may; one that is deaf is given up after a second.
SETTINGS = ProviderSettings(
    backoff_base_s=0.001, backoff_cap_s=0.001, probe_interval_s=1, probe_timeout_s=1, probe_limit_s=1
)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")


def readiness(provider: Provider, spread: float = 0.0, **options: Any) -> Readiness:
    return Readiness([provider], unready_after_s=30, spread=lambda: spread, **options)


def started(broker: FakeBroker) -> Provider:
    return Provider(broker, name="fake", settings=SETTINGS)


def lose(broker: FakeBroker) -> None:
    broker.connecting.shut()
    broker.cut("pulled")


def go_deaf(broker: FakeBroker) -> None:
    """Every session becomes ready, and none hears anything."""
    broker.is_deaf = True
    broker.cut("deaf")


async def test_it_is_not_ready_until_it_was_heard_once() -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    async with started(broker) as provider:
        rule = readiness(provider)
        await anyio.sleep(1)
        (why,) = rule.look().why
        assert why.startswith("provider fake: the broker link is down (")
        assert why.endswith("; starting")
        broker.connecting.open()
        await settle()
        assert rule.look() == ([], [])


@pytest.mark.parametrize("trouble", [lose, go_deaf])
@pytest.mark.parametrize(("spread", "patience_s"), [(0.0, 30.0), (0.5, 45.0), (1.0, 60.0)])
async def test_a_loss_counts_when_it_has_lasted_so_long(
    trouble: Callable[[FakeBroker], None], spread: float, patience_s: float
) -> None:
    broker = FakeBroker()
    async with started(broker) as provider:
        await settle()
        rule = readiness(provider, spread)
        trouble(broker)
        await anyio.sleep(patience_s - 1)
        why, warnings = rule.look()
        assert (why, len(warnings)) == ([], 1)
        assert warnings[0].endswith(f", for {patience_s - 1:.0f} s; not ready after {patience_s:.0f} s")
        await anyio.sleep(1.01)
        why, warnings = rule.look()
        assert (len(why), warnings) == (1, [])


async def test_who_is_back_is_ready_at_once_and_has_all_its_time_again() -> None:
    broker = FakeBroker()
    async with started(broker) as provider:
        await settle()
        rule = readiness(provider)
        for _ in range(3):
            lose(broker)
            await anyio.sleep(29)
            assert rule.look().why == []
            broker.connecting.open()
            await settle()
            assert rule.look() == ([], [])
        lose(broker)
        await anyio.sleep(31)
        assert rule.look().why
        broker.connecting.open()
        await settle()
        assert rule.look() == ([], [])


async def test_what_else_is_in_the_way_counts_at_once() -> None:
    broker = FakeBroker()
    obstacles: list[str] = []
    async with started(broker) as provider:
        await settle()
        rule = readiness(provider, obstacles=lambda: obstacles)
        obstacles.append("draining")
        assert rule.look().why == ["draining"]
        obstacles.clear()
        assert rule.look().why == []


async def test_a_provider_that_was_started_anew_is_starting() -> None:
    broker = FakeBroker()
    provider = started(broker)
    async with provider:
        await settle()
        rule = readiness(provider)
    assert rule.look().why == [NO_PROVIDER]
    broker.connecting.shut()
    async with provider:
        await settle()
        assert rule.look().why[0].endswith("; starting")


def test_nodes_are_spread_over_once_to_twice_the_time() -> None:
    random.seed(7)
    patience = [Readiness([], unready_after_s=30).patience_s for _ in range(200)]
    assert 30 <= min(patience) < 32
    assert 58 < max(patience) <= 60


def test_without_patience_a_loss_counts_at_once() -> None:
    assert Readiness([], unready_after_s=0).patience_s == 0
