"""``wigwag serve`` as a process, on free ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The command as it is installed beside the Python that runs the tests.
WIGWAG = Path(sys.executable).with_name("wigwag")
START_LIMIT_S = 20.0
STOP_LIMIT_S = 20.0

_ADDRESS = re.compile(r"(?:page|app|internal)\s+http://(127\.0\.0\.1:\d+)/")


class Service:
    """One ``wigwag serve``, which may be stopped and started again on the ports it had."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self._arguments = arguments
        plain = {name: value for name, value in os.environ.items() if not name.startswith("WIGWAG_")}
        self._environment = {**plain, **variables, "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._listening = threading.Event()
        self.lines: list[str] = []
        self.public = self.internal = "127.0.0.1:0"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def http(self) -> str:
        return f"http://{self.public}"

    @property
    def ws(self) -> str:
        return f"ws://{self.public}"

    @property
    def api(self) -> str:
        return f"http://{self.internal}/api"

    def start(self) -> None:
        """Return when it listens on both ports."""
        self._listening.clear()
        listen = ("--listen", self.public, "--internal-listen", self.internal)
        self._process = subprocess.Popen(
            (WIGWAG, "serve", *self._arguments, *listen),
            cwd=ROOT,
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()
        listens = self._listening.wait(START_LIMIT_S)
        if not listens or self._process.poll() is not None:
            self.kill()
            raise AssertionError("wigwag serve does not start:\n" + "".join(self.lines))

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        addresses: list[str] = []
        for line in process.stderr:
            self.lines.append(line)
            addresses += _ADDRESS.findall(line)
            if len(addresses) == 2 and not self._listening.is_set():
                self.public, self.internal = addresses
                self._listening.set()
        self._listening.set()

    def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal_)
        try:
            return self._process.wait(STOP_LIMIT_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it, if it runs, and let go of all that it had."""
        process, self._process = self._process, None
        if process is not None and self._reader is not None:
            process.kill()
            process.wait()
            self._reader.join()
            assert process.stderr is not None
            process.stderr.close()

    @property
    def log(self) -> str:
        """All that it said."""
        return "".join(self.lines)


@contextmanager
def service(*arguments: str, **variables: str) -> Generator[Service]:
    """Run ``wigwag serve`` with these arguments and variables."""
    started = Service(*arguments, **variables)
    started.start()
    try:
        yield started
    finally:
        started.kill()
