"""The package as npm would install it, the application, and the places where the client runs."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from client_typescript.places import CLIENT, Places
from client_typescript.runtimes import HERE, MODULES
from e2e.process import Service, service

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
def project(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return an empty project in which the packed package was installed, without a network.

    Made once for all of pytest-xdist's workers.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    made = shared / "client-project"
    with open(shared / "client-project.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make_project(shared / "client-sources", shared / "client-begun").rename(made)
    return made


def make_project(sources: Path, project: Path) -> Path:
    shutil.copytree(CLIENT, sources, ignore=WITHOUT)  # so that others may build there meanwhile
    (sources / "node_modules").symlink_to(CLIENT / "node_modules")
    project.mkdir()
    npm("pack", "--pack-destination", str(project), cwd=sources)
    (package,) = project.glob("wigwag-client-*.tgz")
    (project / "package.json").write_text('{"private": true, "type": "module"}\n')
    npm("install", "--offline", f"./{package.name}", cwd=project)
    (project / "node_modules/ws").symlink_to(MODULES / "ws")
    for name in ("agent.mjs", "thousand.mjs", "orijs_style.mjs", "full_buffer.mjs"):
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


@pytest.fixture(scope="module")
async def places(project: Path, chromium: str) -> AsyncGenerator[Places]:
    """Return what opens runtimes."""
    opened = Places(project, chromium)
    async with opened.stack:
        yield opened
