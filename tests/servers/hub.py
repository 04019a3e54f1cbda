"""The hub of the provider ``local``, as a process."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from servers.process import ServerProcess


class HubServer(ServerProcess):
    """``wigwag hub``, with a path of its own."""

    def __init__(self) -> None:
        super().__init__()
        #: Where it listens.
        self.path = self.directory / "hub"

    @property
    def url(self) -> str:
        """What ``WIGWAG_LOCAL_PATH`` is to be."""
        return str(self.path)

    def command_line(self) -> Sequence[str]:
        return [str(Path(sys.executable).with_name("wigwag")), "hub", "--path", str(self.path)]

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.path))
        return True
