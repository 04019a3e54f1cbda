"""Each test of the Starlette side runs on asyncio and on trio, with a clock that jumps."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clocks import backend

pytest.register_assert_rewrite("sockets.scripted_asgi")

from sockets.scripted_asgi import World  # noqa: E402 - its asserts are rewritten
from wigwag.memory import MemoryBroker  # noqa: E402
from wigwag.provider import Provider  # noqa: E402


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


@pytest.fixture
async def world(anyio_backend: Any) -> AsyncIterator[World]:
    async with World() as world:
        yield world


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's shell has set is not for these tests."""
    for name in list(os.environ):
        if name.startswith("WIGWAG_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def environment_says_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look for what plugins are installed, which takes longer than most tests do.

    A module whose tests are about the environment has a fixture of this name that does nothing.
    """
    monkeypatch.setattr("wigwag.sockets.sockets.create_provider", lambda: Provider(MemoryBroker()))
