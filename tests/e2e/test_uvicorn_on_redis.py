"""An application under plain uvicorn, over a broker whose messages come in by callbacks, where no task runs."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from e2e.wire import LIMIT_S
from servers.redis import RedisServer
from serving import environment
from wigwag import create_provider
from wigwag.provider import Provider
from wigwag_redis import RedisSettings, RedisUrl

APP = """
from starlette.applications import Starlette
from wigwag import SocketContext, Sockets

async def opened(ctx: SocketContext) -> None:
    await ctx.subscribe("lobby")
    await ctx.send("welcome")

sockets = Sockets(open=opened, user_id=lambda ctx: "ann")
app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)
"""

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(params=["websockets-sansio", "wsproto"])
def client(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path
) -> Generator[ClientConnection]:
    """A client of the application, that has joined."""
    (tmp_path / "app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "app:app",
            "--fd",
            str(listener.fileno()),
            "--ws",
            request.param,
        ]
        variables = environment(WIGWAG_PROVIDER="redis", WIGWAG_REDIS_URL=redis_server.url)
        with subprocess.Popen(command, cwd=tmp_path, env=variables, pass_fds=[listener.fileno()]) as process:
            try:
                with connect(address, open_timeout=LIMIT_S) as client:
                    while (
                        client.recv(LIMIT_S) != "welcome"
                    ):  # before it, perhaps a resync: the link was not up
                        pass
                    yield client
            finally:
                process.terminate()


async def elsewhere(provider: Provider) -> None:
    """What another node does."""
    async with provider:
        with anyio.fail_after(LIMIT_S):
            await provider.publish("lobby", "hello")
            assert sum((await provider.count_topic("lobby")).values()) == 1
            await provider.disconnect_user("ann", 1008, "revoked")


def test_messages_counts_and_closes_arrive(client: ClientConnection, redis_server: RedisServer) -> None:
    provider = create_provider("redis", RedisSettings(url=RedisUrl.parse(redis_server.url)), environ={})
    anyio.run(elsewhere, provider)
    assert client.recv(LIMIT_S) == "hello"
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(LIMIT_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "revoked")
