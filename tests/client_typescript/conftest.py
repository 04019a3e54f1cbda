"""The package as npm would install it, the application, and the places where the client runs."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from client_typescript.runtimes import HERE, MODULES, Chromium, Runtime, Tab, agent, chromium
from e2e.process import ROOT, Service, service

CLIENT = ROOT / "clients/typescript"
WITHOUT = shutil.ignore_patterns("node_modules", "dist")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Subprocesses and the proxy are asyncio's."""
    return "asyncio"


def npm(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        ("npm", *arguments, "--no-audit", "--no-fund", "--loglevel=error"),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty project in which the packed package was installed, without a network."""
    sources = tmp_path_factory.mktemp("sources") / "typescript"
    shutil.copytree(CLIENT, sources, ignore=WITHOUT)  # so that others may build there meanwhile
    (sources / "node_modules").symlink_to(CLIENT / "node_modules")
    project = tmp_path_factory.mktemp("project")
    npm("pack", "--pack-destination", str(project), cwd=sources)
    (package,) = project.glob("wigwag-client-*.tgz")
    (project / "package.json").write_text('{"private": true, "type": "module"}\n')
    npm("install", "--offline", f"./{package.name}", cwd=project)
    (project / "node_modules/ws").symlink_to(MODULES / "ws")
    for name in ("agent.mjs", "thousand.mjs", "orijs_style.mjs"):
        shutil.copy(HERE / name, project)
    return project


@pytest.fixture(scope="session")
def minified(project: Path) -> Path:
    """Return the one file for pages."""
    return project / "node_modules/wigwag-client/dist/wigwag-client.min.js"


@pytest.fixture(scope="module")
def module_server(minified: Path) -> Generator[Service]:
    """Return the application, served."""
    arguments = ("client_typescript.app:app", "--app-dir", str(HERE.parent))
    with service(*arguments, CLIENT_JS=str(minified)) as started:
        yield started


@pytest.fixture
def server(module_server: Service) -> Service:
    """Return the application, which a test may stop and start."""
    if not module_server.is_running:
        module_server.start()
    return module_server


async def start(server: Service) -> None:
    """Start it again, where it was."""
    await anyio.to_thread.run_sync(server.start)


# Where the client runs


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


@pytest.fixture(scope="module")
async def places(project: Path, chromium: str) -> AsyncGenerator[Places]:
    """Return what opens runtimes."""
    opened = Places(project, chromium)
    async with opened.stack:
        yield opened
