"""Applications that workers serve in these tests."""

from __future__ import annotations

from pathlib import Path

CHAT = """
import os
import anyio
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from wigwag import SocketContext, Sockets

VERSION = 1
UPGRADE_S = 0

async def opened(ctx: SocketContext) -> None:
    await ctx.subscribe("lobby")
    await ctx.send(f"{os.getpid()} {VERSION}")

async def said(ctx: SocketContext, message: str | bytes) -> None:
    if message == "die":
        os._exit(7)
    await ctx.emitter.publish("lobby", message)

async def anybody(connection: HTTPConnection) -> str:
    await anyio.sleep(UPGRADE_S)
    return "somebody"

sockets = Sockets(upgrade=anybody, open=opened, message=said)
app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)
"""


def write_chat(directory: Path, version: int = 1, upgrade_s: float = 0) -> None:
    """``chat:app``: who connects is in the lobby, and told which process and version it met."""
    text = CHAT.replace("VERSION = 1", f"VERSION = {version}")
    (directory / "chat.py").write_text(text.replace("UPGRADE_S = 0", f"UPGRADE_S = {upgrade_s}"))


def write_failing(directory: Path, statement: str) -> None:
    """``failing:app``, which does this as it starts."""
    (directory / "failing.py").write_text(
        "import os, signal\n"
        "from contextlib import asynccontextmanager\n"
        "from starlette.applications import Starlette\n"
        "@asynccontextmanager\n"
        "async def lifespan(app):\n"
        f"    {statement}\n"
        "    yield\n"
        "app = Starlette(lifespan=lifespan)\n"
    )
