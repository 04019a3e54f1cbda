"""Both sides with their defaults: who comes with as many rooms and messages as they allow is not refused."""

from __future__ import annotations

import contextlib

import anyio
import pytest

from serving import LIMIT_S, serving
from wigwag.client import ClientError, Event, SendBufferFull, SocketClient
from wigwag.settings.known import ServiceSettings


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_rooms_and_a_full_buffer_fit_what_the_stock_service_takes_at_once() -> None:
    rooms = ServiceSettings().topics_per_socket
    seen: list[object] = []  # states and errors
    heard: list[int] = []
    kept = 0
    is_over = anyio.Event()
    with serving() as service:
        client = SocketClient(service.ws)
        client.on_state_change(seen.append)

        def failed(error: ClientError) -> None:
            seen.append(error)
            is_over.set()

        def said(event: Event) -> None:
            heard.append(event.data)
            if len(heard) == kept:
                is_over.set()

        client.on_error(failed)
        client.on("said", said)
        for number in range(rooms):
            await client.join_room(f"room-{number}")
        with contextlib.suppress(SendBufferFull):
            while True:
                content = {"topic": f"room-{kept % rooms}", "name": "said", "data": kept}
                await client.send("publish", content)
                kept += 1
        assert kept >= rooms
        async with client:
            with anyio.fail_after(LIMIT_S):
                await is_over.wait()
            await client.request("heartbeat")
            assert seen == ["connecting", "connected"]
        assert sorted(heard) == list(range(kept))
