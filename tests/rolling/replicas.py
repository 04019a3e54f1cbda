"""Replicas of the stock service: ``wigwag serve`` as processes of their own, on ports of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from servers.process import HOST, HeldPort, ServerProcess, spawn

WIGWAG = Path(sys.executable).with_name("wigwag")
LIMIT_S = 60.0


class Replica(ServerProcess):
    """One of them; ``variables`` are its settings."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__()
        self._internal = HeldPort()
        self.internal_port = self._internal.number
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WIGWAG_")}
        self._environment = {**kept, **variables}
        self.exit_code: int | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command_line(self) -> Sequence[str]:
        public, internal = f"{HOST}:{self.port}", f"{HOST}:{self.internal_port}"
        return [str(WIGWAG), "serve", "--listen", public, "--internal-listen", internal]

    def launch(self) -> None:
        self.process = spawn(self.command_line(), log=self.log, cwd=self.directory, env=self._environment)

    def answers(self) -> bool:
        return httpx.get(f"http://{HOST}:{self.internal_port}/readyz", trust_env=False).status_code == 200

    async def end(self, sent: signal.Signals) -> int:
        """Send it a signal, and return its exit code when it has ended."""
        process = self.process
        assert process is not None
        process.send_signal(sent)
        async with asyncio.timeout(LIMIT_S):
            while process.poll() is None:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
        self.process = None
        self.exit_code = process.returncode
        return process.returncode

    def close(self) -> None:
        super().close()
        self._internal.close()


class Replicas:
    """All that ever ran, by number, and whether each is ready."""

    def __init__(self, variables: Callable[[], Mapping[str, str]]) -> None:
        self._variables = variables
        self.all: list[Replica] = []
        self._http = httpx.AsyncClient(timeout=1.0, trust_env=False)

    async def __aenter__(self) -> Replicas:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        for replica in self.all:
            replica.close()

    def launch(self) -> int:
        """Start one more, and don't wait for it; returns its number."""
        self.all.append(Replica(self._variables()))
        self.all[-1].launch()
        return len(self.all) - 1

    async def is_ready(self, number: int) -> bool:
        """What its ``/readyz`` says."""
        replica = self.all[number]
        if replica.process is None:
            return False
        with contextlib.suppress(httpx.HTTPError):
            answer = await self._http.get(f"http://{HOST}:{replica.internal_port}/readyz")
            return answer.status_code == 200
        return False
