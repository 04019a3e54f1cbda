"""What Autobahn's client fuzzes, which it calls an agent: uvicorn with a protocol class and an application."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from autobahn.echo import MESSAGE_BYTES
from servers.process import HOST, NotStarted, ServerProcess, spawn
from serving import environment

Application = Literal["asgi", "sockets"]
APPLICATIONS: tuple[Application, ...] = ("asgi", "sockets")
#: What ``uvicorn --ws`` takes; ``AUTOBAHN_PROTOCOL=websockets-sansio`` to compare ours with another.
OURS = "wigwag.uvicorn:WebSocketProtocol"
PROTOCOL = os.environ.get("AUTOBAHN_PROTOCOL", OURS)

_TESTS = Path(__file__).parents[1]
#: A server whose every line were traced would be late for the suite's limits, of 1 s often.
_OF_COVERAGE = "COVERAGE_"


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One way to serve an application."""

    application: Application
    is_compressing: bool
    protocol: str = PROTOCOL

    def __str__(self) -> str:
        return f"{self.application}, compression {'on' if self.is_compressing else 'off'}"

    @property
    def options(self) -> Sequence[str]:
        """For uvicorn's command line."""
        return (
            *("--ws", self.protocol),
            *("--ws-max-size", str(MESSAGE_BYTES)),
            *("--ws-per-message-deflate", str(self.is_compressing)),
            *("--lifespan", "on" if self.application == "sockets" else "off"),
        )

    @property
    def variables(self) -> dict[str, str]:
        """For its environment.  Ours does not compress unless told so, and small messages not even then;
        uvicorn's own are told by an option."""
        if not self.is_compressing or self.protocol != OURS:
            return {}
        return {"WIGWAG_COMPRESSION": "true", "WIGWAG_COMPRESSION_MIN_BYTES": "0"}


class AgentProcess(ServerProcess):
    """An agent that runs."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent
        #: Whether it does compress, for a client that offers it.  Known once it has started.
        self.compresses = False

    @property
    def url(self) -> str:
        """See :class:`ServerProcess`."""
        return f"ws://{HOST}:{self.port}/"

    def command_line(self) -> Sequence[str]:
        """See :class:`ServerProcess`."""
        where = ("--host", HOST, "--port", str(self.port))
        application = ("--factory", "--app-dir", str(_TESTS), f"autobahn.echo:{self.agent.application}")
        uvicorn = (sys.executable, "-m", "uvicorn", "--log-level", "warning")
        return (*uvicorn, *where, *self.agent.options, *application)

    def launch(self) -> None:
        """See :class:`ServerProcess`."""
        variables = environment(**self.agent.variables)
        plain = {name: value for name, value in variables.items() if not name.startswith(_OF_COVERAGE)}
        self.process = spawn(self.command_line(), log=self.log, cwd=self.directory, env=plain)

    def answers(self) -> bool:
        """See :class:`ServerProcess`."""
        try:
            with connect(self.url, compression="deflate") as client:
                self.compresses = bool(client.protocol.extensions)
        except InvalidHandshake as exc:
            raise NotStarted(f"{self.agent}: {exc}\n{self._last_words()}") from exc
        return True
