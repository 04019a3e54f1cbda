"""Each test of the provider runs on asyncio and on trio, with a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from clocks import backend

pytest.register_assert_rewrite("provider.world")

from provider.world import World  # noqa: E402 - its asserts are rewritten


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


@pytest.fixture
async def world(anyio_backend: Any) -> AsyncIterator[World]:
    async with World() as world:
        yield world
    world.check()
