"""What comes in by a transport's callback, where no task runs: what a plugin may do, and Redis' does.

Under plain asyncio, as uvicorn runs it: `anyio.run` would hide what asks anyio for the running task.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

import msgspec
import pytest

from wigwag.broker import Inbox
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeBroker, FakeSocket
from wigwag.wire.envelope import Kind, encode_envelope


async def from_a_callback(call: Callable[[], object]) -> None:
    """Call it as the event loop calls a transport's protocol."""
    done = asyncio.get_running_loop().create_future()

    def called() -> None:
        call()
        done.set_result(None)

    asyncio.get_running_loop().call_soon(called, context=contextvars.Context())
    await done


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the fake tells nobody
            await asyncio.sleep(0)


def test_messages_and_commands_are_done(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        broker = FakeBroker()
        async with Provider(broker, settings=ProviderSettings(stop_timeout_s=0.1)) as provider:
            await until(lambda: bool(broker.inboxes))
            socket = FakeSocket(provider.new_socket_id(), "ann")
            provider.attach(socket)
            await provider.subscribe(socket.id, "room")
            inbox: Inbox = broker.inboxes[-1]
            home = provider.node.probe_channel if provider.node is not None else None
            assert home is not None

            def deliver(kind: Kind, topic: str, payload: bytes) -> None:
                inbox.deliver(topic, encode_envelope(kind, topic, payload))

            def command(**fields: object) -> None:
                deliver(Kind.COMMAND, "__broadcast__", msgspec.json.encode(fields))

            await from_a_callback(lambda: deliver(Kind.TEXT, "room", b"hello"))
            assert socket.messages == ["hello"]
            await from_a_callback(lambda: command(type="count", topic="room", ask=1, node="0a0b0c0d"))
            await until(lambda: "__node__:0a0b0c0d" in broker.network.messages)
            await from_a_callback(lambda: command(type="close", code=1008, reason="bye", user="ann"))
            assert socket.closes == [(1008, "bye")]
            await from_a_callback(lambda: inbox.gap(None))

    asyncio.run(main())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
