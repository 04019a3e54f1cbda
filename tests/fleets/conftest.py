"""The grounds that fleets stand on, each started once, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from fleets.grounds import GROUNDS, Ground

NEEDS = {"redis": "redis-server", "nats": "nats-server", "kafka": "kafka"}


@pytest.fixture
def anyio_backend() -> str:
    """The clients of the real brokers are asyncio libraries."""
    return "asyncio"


@pytest.fixture(
    scope="session",
    params=["local", *(pytest.param(name, marks=pytest.mark.needs(need)) for name, need in NEEDS.items())],
)
def ground(request: pytest.FixtureRequest) -> Generator[Ground]:
    """Return each in turn; one test's faults are mended before the next."""
    ground = GROUNDS[request.param]()
    try:
        with ground.server:
            yield ground
    finally:
        ground.close()
