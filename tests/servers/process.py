"""A server as a process: started until it answers, paused, killed, started again on the same port."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

HOST = "127.0.0.1"
LIMIT_S = 30.0
POLL_S = 0.01


class NotStarted(Exception):
    """A server that ended or stayed silent; the message holds the end of what it printed."""


def wait_until(holds: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    """Ask until it holds; raise TimeoutError, which says what did not come, after the limit in seconds."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(POLL_S)


class HeldPort:
    """A free port of 127.0.0.1 that nobody else is given, and that a server of ours may listen on.

    The socket is bound and never listens: with SO_REUSEADDR on both, as servers have it, that lets one in.
    """

    def __init__(self, preferred: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, preferred))
        except OSError:  # somebody has it
            self._socket.bind((HOST, 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="servers")


def spawn(
    command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that dies with this one, where the machine can do that; it prints into ``log``.

    All are started by one thread that lasts: the kernel's "parent" is a thread, and one of a pool
    may end long before this process does.
    """
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    with log.open("ab") as output:
        return _spawner().submit(_popen, command, output, cwd, env).result()


def _popen(
    command: Sequence[str], output: BinaryIO, cwd: Path, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=env,
        process_group=0,  # Ctrl-C is for us, who then stop it
    )


class ServerProcess(ABC):
    """A server with a port and a directory of its own, which last until the ``with`` block ends.

    ``start`` returns when the server answers, and raises NotStarted where it does not.
    """

    #: Taken if it is free; 0 for any.
    preferred_port: ClassVar[int] = 0

    def __init__(self) -> None:
        self._port = HeldPort(self.preferred_port)
        self.port = self._port.number
        self.directory = Path(tempfile.mkdtemp(prefix="wigwag-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where a client finds it."""

    @abstractmethod
    def command_line(self) -> Sequence[str]:
        """What to run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves now; False or OSError where it does not yet."""

    @property
    def log(self) -> Path:
        """What it printed, over all its starts."""
        return self.directory / "log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def launch(self) -> None:
        """Start it and don't wait for it."""
        if self.process is not None:
            raise RuntimeError(f"{type(self).__name__} runs already")
        self.process = spawn(self.command_line(), log=self.log, cwd=self.directory)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.await_answer()

    def await_answer(self) -> None:
        """Wait until it answers; where it does not, end it."""
        try:
            wait_until(self._answers_or_ended, "an answer")
        except TimeoutError as exc:
            self.kill()
            raise NotStarted(f"{type(self).__name__} did not answer: {self._last_words()}") from exc

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            code = self.process.returncode
            self.process = None
            raise NotStarted(f"{type(self).__name__} ended with {code}: {self._last_words()}")
        try:
            return self.answers()
        except OSError:
            return False

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:]) or "it printed nothing"

    def send(self, sent: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is None:
            raise RuntimeError(f"{type(self).__name__} does not run")
        self.process.send_signal(sent)

    def pause(self) -> None:
        """Let it hang: its connections stay open, and nothing is answered."""
        self.send(signal.SIGSTOP)
        assert self.process is not None
        # The signal is on its way when kill() returns; here it has arrived.
        os.waitpid(self.process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word, as a crash would; nothing where it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, limit_s: float = 10.0) -> None:
        """Ask it to end, and end it after the limit; nothing where it does not run."""
        process = self.process
        if process is None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)  # a paused one would not hear of it
        try:
            wait_until(lambda: process.poll() is not None, "its end", limit_s)
        except TimeoutError:
            self.kill()
        self.process = None

    def restart(self) -> None:
        """Kill it and start it again: same port, same directory."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End it, and give back what it held."""
        self.kill()
        self._port.close()
        shutil.rmtree(self.directory, ignore_errors=True)
