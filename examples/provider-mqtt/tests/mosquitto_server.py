"""A real mosquitto, and a proxy that makes its links slow or cuts them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path

PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
# What the README asks of an operator; tests of a mosquitto as it comes leave it away.
LIMITS = (
    "set_tcp_nodelay true",
    "max_inflight_messages 1000",
    "max_queued_messages 0",
    "max_packet_size 1048576",
)


class Mosquitto:
    """A mosquitto on a port of its own, which it keeps over restarts."""

    def __init__(self, directory: Path, *lines: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = directory / "mosquitto.conf"
        # It gives up root for a user who may not read the directory: hence the user.
        base = ("user root", f"listener {self.port} 127.0.0.1", "persistence false", "sys_interval 1", *lines)
        self._config.write_text("\n".join(base) + "\n")
        self._log = directory / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it serves when this returns."""
        assert PROGRAM is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.01)
        raise RuntimeError(f"mosquitto does not serve: {self._log.read_text()}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()  # SIGKILL ends a stopped one too

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()


@contextlib.contextmanager
def serving(directory: Path, *lines: str) -> Generator[Mosquitto]:
    """Run one in the body of the with statement."""
    server = Mosquitto(directory, *lines)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class TcpProxy:
    """Passes bytes on to a port of this machine, each way `delay_s` late; in threads, so that it needs no loop."""

    def __init__(self, target: int, delay_s: float = 0.0) -> None:
        self._target, self._delay_s = target, delay_s
        self._links: list[tuple[socket.socket, socket.socket]] = []
        self.flows = threading.Event()  # cleared: nothing moves, and the links stay
        self.flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links.append((near, far))
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                time.sleep(self._delay_s)
                self.flows.wait()
                sink.sendall(data)
        self._shut(source, sink)

    def _shut(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break all links; new ones are accepted."""
        self.flows.set()
        links, self._links = self._links, []
        for link in links:
            self._shut(*link)

    def close(self) -> None:
        """Break all links, and accept no more."""
        self._shut(self._listener)
        self.cut()
