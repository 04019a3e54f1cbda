"""Runs one of the Python peers with uvicorn: ``serve.py MODULE [--ws auto|websockets-sansio|websockets|MODULE:CLASS]``.

All have the same server, loop and parser, no access log and no compression. Its first line says when it serves, on
which port and by which WebSocket class: ``ready 40123 websockets-sansio``.
"""

from __future__ import annotations

import argparse
import importlib.util
import socket
import sys

import uvicorn

OURS = "wigwag.uvicorn:WebSocketProtocol"


class Server(uvicorn.Server):
    """Tells when it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn's."""
        await super().startup(sockets)
        if sockets and self.started:
            sys.stdout.write(f"ready {sockets[0].getsockname()[1]} {self.config.ws}\n")
            sys.stdout.flush()


def protocol(asked: str) -> str:
    """What uvicorn is given; ``auto`` is wigwag's own class, where this wigwag has it."""
    if asked != "auto":
        return asked
    is_here = importlib.util.find_spec(OURS.partition(":")[0]) is not None
    return OURS if is_here else "websockets-sansio"


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("--ws", default="auto")
    options = parser.parse_args()
    config = uvicorn.Config(
        f"{options.module}:app",
        loop="uvloop",
        http="httptools",
        ws=protocol(options.ws),
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        lifespan="auto",  # Django's knows none; a failing one still ends the server
        backlog=4096,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    Server(config).run([listener])


if __name__ == "__main__":
    main()
