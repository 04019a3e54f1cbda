"""What a real server exports."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from serving import serving


@pytest.fixture(scope="session")
def page() -> Generator[str]:
    """The metrics of a service that has all there is to count: workers, and a hub between them."""
    with serving("--workers", "1") as service:
        yield service.get(f"{service.internal}/metrics")[2].decode()


@pytest.fixture(scope="session")
def exported(page: str) -> set[str]:
    """The names of its metrics."""
    return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")}
