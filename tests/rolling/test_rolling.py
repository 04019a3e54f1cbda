"""Replicas are replaced under load on each broker; each client has every message, or knows of what it lacks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rolling.brokers import variables_of
from rolling.roll import DRAINED, KILLED, NO_DELAY, Load, Outcome, Way, roll
from servers.process import ServerProcess

LOAD = Load(clients=60, topics=6, publishes_per_s=10, replicas=2, lag_s=0.5, quiet_s=0.5)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        pytest.param("nats", marks=pytest.mark.needs("nats-server")),
        pytest.param("kafka", marks=pytest.mark.needs("kafka")),
    ]
)
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    server: ServerProcess = request.getfixturevalue(f"{request.param}_server")
    return variables_of(request.param, server)


def play(variables: dict[str, str], way: Way, load: Load) -> Outcome:
    outcome = asyncio.run(roll(variables, way, load))
    print("\n".join(outcome.lines()))  # noqa: T201 - shown where it fails
    assert outcome.account.silent == []
    assert outcome.account.twice == 0
    assert outcome.account.received + outcome.account.told == outcome.account.due > 100
    return outcome


def test_nobody_is_refused_and_nothing_lost_in_silence(variables: dict[str, str]) -> None:
    outcome = play(variables, DRAINED, LOAD)
    assert outcome.exit_codes == [0, 0]
    assert set(outcome.fortunes.closed) == {1012}
    assert not outcome.fortunes.failed
    assert not outcome.publishing.again
    assert outcome.account.doubt == 0


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize("way", [NO_DELAY, KILLED], ids=lambda way: way.name)
def test_the_wrong_ways_show(redis_server: ServerProcess, way: Way) -> None:
    """Clients come to a replica that is gone, since the balancer hears of it later than they."""
    load = replace(LOAD, replicas=1, lag_s=2.0)
    outcome = play(variables_of("redis", redis_server), way, load)
    assert outcome.fortunes.failed
    assert set(outcome.fortunes.closed) == ({1006} if way is KILLED else {1012})
