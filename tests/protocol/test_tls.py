"""Over TLS, where all that is written goes through the transport."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from protocol.serving import asking, frame, serving, until
from protocol.test_connection import application
from servers.certificates import Certificates
from wigwag import Limits, SocketContext, Sockets

pytestmark = [pytest.mark.anyio, pytest.mark.needs("openssl")]


async def test_messages_fan_out_and_closing_are_the_same(certificates: Certificates) -> None:
    joined = asyncio.Event()

    async def opened(ctx: SocketContext) -> None:
        await ctx.subscribe("t")
        joined.set()

    sockets = Sockets(
        open=opened,
        message=lambda ctx, message: ctx.send(message),
        limits=Limits(send_bytes=64 << 20, send_messages=10_000),
    )
    tls = {"ssl_certfile": certificates.server_cert, "ssl_keyfile": certificates.server_key}
    async with sockets, serving(application(sockets), **tls) as server:
        url = f"wss://127.0.0.1:{server.address[1]}/"
        async with connect(url, ssl=certificates.client_context(shown=False), max_size=None) as client:
            await client.send("over TLS")
            assert await client.recv() == "over TLS"
            await joined.wait()
            for number in range(300):  # more than the kernel takes at once
                await sockets.emitter.publish("t", f"{number} " + "x" * 100_000)
            heard = [str(await client.recv()).partition(" ")[0] for _ in range(300)]
            assert heard == [str(number) for number in range(300)]
            stopping = asyncio.create_task(server.stop())
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
            await stopping


@pytest.mark.parametrize("count", [10, 20_000])
async def test_what_a_client_says_before_it_leaves_is_handled(certificates: Certificates, count: int) -> None:
    """Over TLS the end comes at once, where a transport that is not read holds it back else."""
    handled: list[Any] = []
    sockets = Sockets(
        message=lambda ctx, message: handled.append(message),
        close=lambda ctx, code, reason: handled.append(code),
    )
    tls = {"ssl_certfile": certificates.server_cert, "ssl_keyfile": certificates.server_key}
    async with sockets, serving(application(sockets), **tls) as server:
        context = certificates.client_context(shown=False)
        reader, writer = await asyncio.open_connection(*server.address, ssl=context)
        writer.write(asking())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(Opcode.TEXT, "x") * count + frame(Opcode.CLOSE, b"\x0f\xa0"))
        writer.close()
        await until(lambda: handled and handled[-1] != "x", "the close handler")
        assert handled == ["x"] * count + [4000]
        with suppress(OSError):
            await writer.wait_closed()


async def test_who_breaks_the_protocol_over_tls_is_told_why(certificates: Certificates) -> None:
    sockets = Sockets(limits=Limits(message_bytes=100))
    tls = {"ssl_certfile": certificates.server_cert, "ssl_keyfile": certificates.server_key}
    async with sockets, serving(application(sockets), **tls) as server:
        url = f"wss://127.0.0.1:{server.address[1]}/"
        async with connect(url, ssl=certificates.client_context(shown=False)) as client:
            await client.send("x" * 101)
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009
