"""What an application says of its lifespan, on its way to the server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from wigwag.service.loading import Watched

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("when", ["starting", "serving"])
async def test_an_application_that_is_cancelled_has_not_failed(when: str) -> None:
    said: list[Message] = []
    reached, returned = anyio.Event(), anyio.Event()

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        if when == "starting":
            reached.set()
            await anyio.sleep_forever()
        yield

    async def receive() -> Message:
        if said:
            reached.set()
            await anyio.sleep_forever()
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message)

    async def serve() -> None:
        """As uvicorn, which logs a traceback of whatever comes out of it."""
        await Watched(Starlette(lifespan=lifespan))({"type": "lifespan"}, receive, send)
        returned.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await reached.wait()
        tasks.cancel_scope.cancel()
    assert returned.is_set()
    assert [message["type"] for message in said] == ["lifespan.startup.complete"][: when == "serving"]


async def test_an_application_that_exits_as_it_starts_has_failed() -> None:
    said: list[Message] = []

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        if app is not None:
            sys.exit(3)
        yield

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message)

    await Watched(Starlette(lifespan=lifespan))({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in said] == ["lifespan.startup.failed"]
    assert "SystemExit: 3" in said[0]["message"]


async def test_an_application_that_fails_as_it_ends_says_so() -> None:
    said: list[Message] = []

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        yield
        raise ValueError("bad")

    async def receive() -> Message:
        return {"type": "lifespan.shutdown" if said else "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message)

    await Watched(Starlette(lifespan=lifespan))({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert "ValueError: bad" in said[-1]["message"]
