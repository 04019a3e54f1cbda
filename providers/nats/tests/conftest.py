"""For all tests of the NATS provider."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Return the only one that nats-py knows."""
    return "asyncio"
