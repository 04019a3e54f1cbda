"""What the tests of Kafka share."""

from __future__ import annotations

import itertools

import pytest

_names = itertools.count(1)


@pytest.fixture
def anyio_backend() -> str:
    """aiokafka is an asyncio library."""
    return "asyncio"


@pytest.fixture
def topic_name() -> str:
    """A Kafka topic of the test's own, on a server that tests share."""
    return f"test-{next(_names)}"
