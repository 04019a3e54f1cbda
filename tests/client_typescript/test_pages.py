"""The client in a page that is hidden and shown, taken offline and back, and bundled with its application."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from client_typescript.places import Places, start
from client_typescript.runtimes import MODULES, Tab
from e2e.process import Service

pytestmark = [pytest.mark.anyio, pytest.mark.needs("node", "chromium")]


@pytest.fixture
async def tab(places: Places, server: Service) -> AsyncGenerator[Tab]:
    """Return a page with a client that is connected, and in a room; a path is enough of a URL for it."""
    async with AsyncExitStack() as stack:
        tab = await places.tab(server.http, stack)
        await tab.run("begin('/ws?user=u'); await client.connect(); await client.joinRoom('a')")
        yield tab


async def attempts(tab: Tab) -> int:
    made: int = await tab.run("return attempts.length")
    return made


async def test_a_hidden_page_keeps_its_connection(tab: Tab) -> None:
    await tab.hide()
    await tab.run(
        "client.send('say', { room: 'a', text: 'hidden' }); await until(() => log.includes('hidden'))"
    )
    await tab.show()
    assert await attempts(tab) == 1


async def test_a_hidden_page_makes_no_attempt_and_one_at_once_when_it_is_shown(
    tab: Tab, server: Service
) -> None:
    await tab.hide()
    await anyio.to_thread.run_sync(server.kill)
    await tab.run("await until(() => client.connectionState === 'reconnecting')")
    await start(server)
    # Longer than the longest pause, also where timers are slowed.
    await asyncio.sleep(1.5)
    assert await attempts(tab) == 1
    await tab.show()
    await tab.run("await until(() => client.isConnected)")
    assert await attempts(tab) == 2
    assert await tab.run("return client.request('joins')") == {"a": 1}


async def test_a_page_that_is_offline_makes_no_attempt_and_one_at_once_when_it_is_back(
    tab: Tab, server: Service
) -> None:
    await tab.set_offline(True)
    await anyio.to_thread.run_sync(server.kill)
    await tab.run("await until(() => client.connectionState === 'reconnecting')")
    await start(server)
    await asyncio.sleep(0.6)
    assert await attempts(tab) == 1
    await tab.set_offline(False)
    await tab.run("await until(() => client.isConnected)")
    assert await attempts(tab) == 2
    assert await tab.run("return client.request('joins')") == {"a": 1}


async def test_nothing_is_thrown_away_unseen(tab: Tab) -> None:
    seen = await tab.run(
        """const seen = [];
        addEventListener("unhandledrejection", ({ reason }) => seen.push(String(reason)));
        client.joinRoom("forbidden");
        client.onStateChange(() => { throw new Error("mine") });
        client.disconnect();
        client.connect();
        client.disconnect();
        await new Promise((resolve) => setTimeout(resolve, 100));
        return [seen, errors.map(({ message }) => message)]"""
    )
    assert seen == [[], ["mine"] * 3]


APPLICATION = """
import { ClientMessage, SocketClient } from "wigwag-client";
const Said = ClientMessage.define("said");
globalThis.started = new Promise((resolve) => {
  const client = new SocketClient("/ws?user=bundled");
  client.on(Said, ({ text }) => resolve(text));
  client.joinRoom("b").then(() => client.send("say", { room: "b", text: "from a bundle" }));
  client.connect();
});
"""


@pytest.fixture
def bundle(project: Path) -> str:
    """Return an application and the package as one script."""
    application = project / "application.js"
    application.write_text(APPLICATION)
    esbuild = (MODULES / ".bin/esbuild", application, "--bundle", "--minify", "--platform=browser")
    done = subprocess.run(esbuild, cwd=project, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    return done.stdout


async def test_it_is_bundled_for_the_browser_with_what_is_used_of_it(
    places: Places, server: Service, bundle: str
) -> None:
    assert '"heartbeat"' not in bundle  # what is not used is left out
    async with AsyncExitStack() as stack:
        tab = await places.tab(server.http, stack)
        await tab.run(f"(0, eval)({json.dumps(bundle)})")
        assert await tab.run("return started") == "from a bundle"
