"""Over TLS, where all that is written goes through the transport."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from protocol.serving import serving
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
