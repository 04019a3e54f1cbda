"""Both event loops that uvicorn knows."""

from __future__ import annotations

from typing import Any

import pytest

LOOPS = ("asyncio", "uvloop")


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}
