"""A Redis server of a test's own."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator, Sequence
from typing import BinaryIO

from servers.certificates import Certificates
from servers.process import HOST, ServerProcess
from servers.redis.resp import RedisRefused, ask

ANSWER_LIMIT_S = 10.0
# No persistence. A replica is served at once rather than after five seconds, and DEBUG is there for tests.
BASE = """\
bind {host}
daemonize no
save ""
appendonly no
repl-diskless-sync-delay 0
enable-debug-command local
dir "{directory}"
"""
TLS = """\
tls-cert-file "{0.server_cert}"
tls-key-file "{0.server_key}"
tls-ca-cert-file "{0.ca}"
tls-auth-clients optional
"""


class RedisServer(ServerProcess):
    """``redis-server`` on a free port. Lines of configuration come after ours, and so override them.

    ``tls``: TLS only; a client may show a certificate, and must with the line ``tls-auth-clients yes``.
    ``unix``: a Unix socket only, at ``path``. ``login``: how ``command`` logs in, (password,) or
    (user, password), where that is not said by a line ``requirepass``; it may be changed at any time.
    """

    def __init__(
        self,
        *lines: str,
        tls: Certificates | None = None,
        unix: bool = False,
        login: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._tls = tls
        self.path = str(self.directory / "redis.sock") if unix else None
        self.login = tuple(login)
        for line in lines:
            if line.startswith("requirepass ") and not login:
                self.login = (line.split()[1],)
        self._file = self.directory / "redis.conf"
        self._file.write_text("\n".join([self.base(), *lines, ""]))

    def base(self) -> str:
        """Return the configuration that comes before the lines of a test."""
        base = BASE.format(host=HOST, directory=self.directory)
        if self.path is not None:
            return f'{base}port 0\nunixsocket "{self.path}"'
        if self._tls is not None:
            return f"{base}port 0\ntls-port {self.port}\n{TLS.format(self._tls)}"
        return f"{base}port {self.port}"

    @property
    def url(self) -> str:
        """Where a client finds it, without any password."""
        if self.path is not None:
            return f"unix://{self.path}"
        return f"{'redis' if self._tls is None else 'rediss'}://{HOST}:{self.port}"

    def command_line(self) -> Sequence[str]:
        return ["redis-server", str(self._file)]

    def answers(self) -> bool:
        try:
            return self.command("PING") == "PONG"
        except RedisRefused as refused:
            return not str(refused).startswith("LOADING")

    @contextlib.contextmanager
    def _link(self) -> Generator[tuple[socket.socket, BinaryIO]]:
        raw = socket.socket(socket.AF_INET if self.path is None else socket.AF_UNIX)
        with contextlib.ExitStack() as held:
            held.callback(raw.close)
            raw.settimeout(ANSWER_LIMIT_S)
            raw.connect(self.path or (HOST, self.port))
            if self._tls is not None and self.path is None:
                raw = held.enter_context(self._tls.client_context().wrap_socket(raw, server_hostname=HOST))
            yield raw, held.enter_context(raw.makefile("rb"))

    def command(self, *words: str | int | bytes) -> str:
        """Run one command on a connection of its own, and return its reply as text.

        The parts of an array are lines. Raises RedisRefused with the server's error, OSError where there
        is no server, TimeoutError where it hangs.
        """
        with self._link() as (link, replies):
            if self.login:
                ask(link, replies, "AUTH", *self.login)
            return ask(link, replies, *words)
