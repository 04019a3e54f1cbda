"""The load generator: a C program in a process and on a processor of its own, told by lines what to do."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from sockets.dialect import Dialect, Exchange, Step
from sockets.machine import LOAD_CORE, pinned
from sockets.server import Server
from sockets.toolchains import load_program


class LoadFailed(Exception):
    """What the generator says of a server that failed it: lost messages, closed connections."""


@dataclass(frozen=True)
class Window:
    """What was measured: so many deliveries or replies (``units``) of so many messages, in how much time.

    Of a handshake or a step ``units`` are the connections.
    """

    units: int
    wall_s: float
    server_cpu_s: float
    own_cpu_s: float
    p50_us: float
    p99_us: float
    messages: int = 0
    reads: int = 0


class Generator:
    """Plays on one server, inside its ``with`` block.

    Each method raises LoadFailed where the server did not do its part: each message once, in order, to all.
    """

    def __init__(self, server: Server, dialect: Dialect) -> None:
        self._server = server
        self._dialect = dialect
        self._process = subprocess.Popen(
            pinned(LOAD_CORE, [str(load_program())]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for us, who then stop it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def open(
        self,
        name: str,
        count: int = 1,
        *,
        path: str | None = None,
        then: Sequence[Step] = (),
        reading: str = "all",
    ) -> Window:
        """Open so many connections, or bring a group to so many; what the dialect greets with comes first."""
        asked = self._dialect.path if path is None else path
        pairs = {"name": name, "port": self._server.port, "path": asked, "count": count, "reading": reading}
        return self._ask("open", pairs, (*self._dialect.hello, *then))

    def ask(self, name: str, steps: Sequence[Step]) -> Window:
        """Let each of a group take these steps."""
        return self._ask("ask", {"name": name}, steps)

    def hold(self, run_s: float) -> None:
        """Stay connected and idle for so long."""
        self._ask("hold", {"run_s": run_s})

    def close(self, name: str) -> None:
        """Close all of a group."""
        self._tell("close", {"name": name})

    def fan_out(self, name: str, numbers: Mapping[str, float]) -> Window:
        """Publish from the group ``publisher`` to this one."""
        return self._ask("fanout", {"name": name, **numbers, **self._dialect.publish._asdict()})

    def echo(self, name: str, numbers: Mapping[str, float], exchange: Exchange) -> Window:
        """Send to each of a group, and wait for what comes back."""
        return self._ask("echo", {"name": name, **numbers, **exchange._asdict()})

    def _ask(self, verb: str, pairs: Mapping[str, object], steps: Sequence[Step] = ()) -> Window:
        return Window(**self._tell(verb, pairs, steps))

    def _tell(self, verb: str, pairs: Mapping[str, object], steps: Sequence[Step] = ()) -> dict[str, Any]:
        words = [f"{key}={quote(str(value), safe='')}" for key, value in pairs.items()]
        words += [f"{kind}={quote(text, safe='')}" for kind, text in steps]
        words.append(f"pids={','.join(str(pid) for pid in self._server.pids)}")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{' '.join([verb, *words])}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or '{"error": "the load generator has ended"}')
        if "error" in answer:
            raise LoadFailed(answer["error"])
        return answer
