"""Applications that workers serve in these tests."""

from __future__ import annotations

from pathlib import Path

CHAT = """
import os
from starlette.applications import Starlette
from wigwag import SocketContext, Sockets

VERSION = 1

async def opened(ctx: SocketContext) -> None:
    await ctx.subscribe("lobby")
    await ctx.send(f"{os.getpid()} {VERSION}")

async def said(ctx: SocketContext, message: str | bytes) -> None:
    if message == "die":
        os._exit(7)
    await ctx.emitter.publish("lobby", message)

sockets = Sockets(open=opened, message=said)
app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)
"""


def write_chat(directory: Path, version: int = 1) -> None:
    """``chat:app``: who connects is in the lobby, and told which process and version it met."""
    (directory / "chat.py").write_text(CHAT.replace("VERSION = 1", f"VERSION = {version}"))


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
