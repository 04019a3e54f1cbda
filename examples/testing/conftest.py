"""Fixtures: the application, started for each test."""

from collections.abc import AsyncIterator

import pytest
from incidents import app

from wigwag.testing import AppClient


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client() -> AsyncIterator[AppClient]:
    async with AppClient(app) as client:
        yield client
