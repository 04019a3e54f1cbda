"""Where the client runs, each place started when it is first asked for."""

from __future__ import annotations

import functools
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import anyio

from client_typescript.runtimes import MODULES, Chromium, Runtime, Tab, agent, chromium
from e2e.process import ROOT, Service

CLIENT = ROOT / "clients/typescript"


async def start(server: Service) -> None:
    """Start it again, where it was."""
    await anyio.to_thread.run_sync(server.start)


@functools.cache
def node_command() -> tuple[str, ...]:
    """Return Node with a global WebSocket: one that has none without being told is told."""
    tried = subprocess.run(("node", "-p", "typeof WebSocket"), capture_output=True, text=True, check=True)
    return ("node",) if tried.stdout.strip() == "function" else ("node", "--experimental-websocket")


def bun_command() -> str:
    binary, *_ = MODULES.glob("@oven/bun-*/bin/bun")
    return str(binary)


class Places:
    """Each runtime is started once, when it is first asked for."""

    def __init__(self, project: Path, chromium_path: str) -> None:
        self._project = project
        self._chromium_path = chromium_path
        self._chromium: Chromium | None = None
        self._agents: dict[str, Runtime] = {}
        self.stack = AsyncExitStack()

    async def tab(self, page: str, stack: AsyncExitStack) -> Tab:
        """Return a tab with this page."""
        if self._chromium is None:
            self._chromium = await self.stack.enter_async_context(chromium(self._chromium_path))
        return await stack.enter_async_context(self._chromium.tab(page))

    async def agent(self, name: str) -> Runtime:
        """Return Node, Node with the package ws, or Bun."""
        if name not in self._agents:
            command = (bun_command(),) if name == "bun" else node_command() if name == "node" else ("node",)
            which = ("ws",) if name == "node-ws" else ()
            started = agent(*command, "agent.mjs", *which, project=self._project)
            self._agents[name] = await self.stack.enter_async_context(started)
        return self._agents[name]
