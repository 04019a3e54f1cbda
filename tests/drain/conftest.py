"""What the tests of this folder have in common."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from servers.redis import RedisServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def redis() -> Generator[RedisServer]:
    with RedisServer() as server:
        yield server
