"""One server that is measured: a process of its own on a processor of its own, ended by its process id."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from servers.process import spawn, wait_until
from sockets.machine import SERVER_CORE, pinned
from sockets.process_tree import Memory, memory_bytes, pids_below
from sockets.roster import Peer

START_LIMIT_S = 30.0


class NotServing(Exception):
    """It did not start; the message holds the end of what it printed."""


class Server:
    """Serves inside its ``with`` block. ``url``: of its broker, if it has one."""

    def __init__(self, peer: Peer, url: str | None = None) -> None:
        self._peer = peer
        self._folder = tempfile.TemporaryDirectory(prefix="wigwag-bench-")
        self._log = Path(self._folder.name) / "log"
        self._environ = {name: value.format(url=url) for name, value in peer.environ.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.port: int = 0
        #: What it said of itself beside its port: the class that speaks WebSocket.
        self.remark: str = ""

    def __enter__(self) -> Self:
        command = pinned(SERVER_CORE, [str(word) for word in self._peer.command()])
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("WIGWAG_", "PYTHON"))
        }
        self._process = spawn(
            command, log=self._log, cwd=Path(self._folder.name), env={**clean, **self._environ}
        )
        try:
            wait_until(self._is_ready, "its start", START_LIMIT_S)
        except TimeoutError as exc:
            self.close()
            raise NotServing(f"{self._peer.name} did not start") from exc
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_ready(self) -> bool:
        assert self._process is not None
        printed = self.last_words()
        for line in printed.splitlines():
            word, _, rest = line.partition(" ")
            if word == "ready":
                port, _, self.remark = rest.partition(" ")
                self.port = int(port)
                return True
        if self._process.poll() is not None:
            raise NotServing(f"{self._peer.name} ended: {printed.strip()[-500:]}")
        return False

    def last_words(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        assert self._process is not None
        return pids_below(self._process.pid)

    def memory_bytes(self, which: Memory = "VmRSS") -> int:
        """Of all of its processes."""
        return memory_bytes(self.pids, which)

    def close(self) -> None:
        """End it, and what it started."""
        process, self._process = self._process, None
        if process is not None:
            for pid in reversed(pids_below(process.pid)[1:]):
                os.kill(pid, 9)
            process.kill()
            process.wait()
        self._folder.cleanup()
