"""The places where the client runs: Chromium, Node and Bun, each of which evaluates what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

HERE = Path(__file__).parent
PRELUDE = (HERE / "prelude.js").read_text()
MODULES = HERE / "node_modules"
LIMIT_S = 25.0


class JavaScriptError(AssertionError):
    """What the JavaScript threw."""


class Runtime(Protocol):
    """Something that runs JavaScript; the prelude has run, and ``wigwag`` is the package."""

    async def run(self, js: str) -> Any:
        """Run the body of an async function; return what it returns."""


class Answers:
    """Commands by number, and who waits for what came of them."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    def new(self) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        return number, future

    def came(self, message: dict[str, Any]) -> None:
        future = self._waiting.pop(message.get("id", 0), None)
        if future is not None and not future.done():
            future.set_result(message)

    def ended(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(AssertionError("it has ended"))


# Node and Bun


class Agent:
    """A process that runs ``agent.mjs``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers = Answers()

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._answers.came(json.loads(line))
        self._answers.ended()

    async def run(self, js: str) -> Any:
        """See :class:`Runtime`."""
        assert self._process.stdin is not None
        number, answer = self._answers.new()
        self._process.stdin.write(json.dumps({"id": number, "js": js}).encode() + b"\n")
        message = await asyncio.wait_for(answer, LIMIT_S)
        if "error" in message:
            raise JavaScriptError(message["error"])
        return message["value"]


@contextlib.asynccontextmanager
async def agent(*command: str, project: Path) -> AsyncGenerator[Agent]:
    """Run ``agent.mjs`` in a project that has the package."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=project, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    started = Agent(process)
    reader = asyncio.create_task(started.read())
    try:
        await started.run(PRELUDE)
        yield started
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
        await reader


# Chromium


class Chromium:
    """A headless Chromium, spoken to in its own protocol.

    Playwright keeps every page visible; here a tab that is behind another is hidden, as for a person.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._answers = Answers()

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self._connection:
                self._answers.came(json.loads(message))
        self._answers.ended()

    async def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number, answer = self._answers.new()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        await self._connection.send(json.dumps(message))
        came = await asyncio.wait_for(answer, LIMIT_S)
        assert "error" not in came, f"{method}: {came}"
        result: dict[str, Any] = came["result"]
        return result

    @contextlib.asynccontextmanager
    async def tab(self, url: str) -> AsyncGenerator[Tab]:
        """Open a page that has the package, in front."""
        target = (await self.command("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.command("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = Tab(self, target, session)
        try:
            await self.command("Page.navigate", session, url=url)
            await tab.run(
                f"while (!globalThis.wigwag) await new Promise((r) => setTimeout(r, 10)); {PRELUDE}"
            )
            yield tab
        finally:
            await self.command("Target.closeTarget", targetId=target)


class Tab:
    """A page, which may be hidden and taken offline."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self._other: str | None = None

    async def run(self, js: str) -> Any:
        """See :class:`Runtime`."""
        answer = await self._browser.command(
            "Runtime.evaluate",
            self._session,
            expression=f"(async () => {{ {js} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise JavaScriptError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def hide(self) -> None:
        """Put another tab in front; return when the page knows."""
        self._other = (await self._browser.command("Target.createTarget", url="about:blank"))["targetId"]
        await self.run("await until(() => document.visibilityState === 'hidden')")

    async def show(self) -> None:
        """Close that tab; return when the page knows."""
        assert self._other is not None
        await self._browser.command("Target.activateTarget", targetId=self._target)
        await self._browser.command("Target.closeTarget", targetId=self._other)
        await self.run("await until(() => document.visibilityState === 'visible')")

    async def set_offline(self, offline: bool) -> None:
        """Cut the page off from its network, or end that; return when it knows."""
        await self._browser.command(
            "Network.emulateNetworkConditions",
            self._session,
            offline=offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )
        await self.run(f"await until(() => navigator.onLine === {json.dumps(not offline)})")


@contextlib.asynccontextmanager
async def chromium(path: str) -> AsyncGenerator[Chromium]:
    """Run a headless Chromium."""
    profile = tempfile.mkdtemp(prefix="wigwag-chromium-")
    process = await asyncio.create_subprocess_exec(
        path,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        found = None
        async with asyncio.timeout(LIMIT_S):
            while found is None:
                line = await process.stderr.readline()
                assert line, "Chromium has ended"
                found = re.search(rb"listening on (ws://\S+)", line)
        drain = asyncio.create_task(process.stderr.read())
        async with connect(found[1].decode(), max_size=None, proxy=None) as connection:
            browser = Chromium(connection)
            reader = asyncio.create_task(browser.read())
            yield browser
            process.terminate()
            await reader
        await drain
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        shutil.rmtree(profile, ignore_errors=True)
