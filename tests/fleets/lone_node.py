"""A node in a process of its own, for a test to kill: ``python -m fleets.lone_node BROKER PREFIX PORT``."""

from __future__ import annotations

import sys

import anyio

from fleets.grounds import GROUNDS
from wigwag.provider import Provider
from wigwag.testing import FakeSocket

SOCKETS = 3


async def main(name: str, prefix: str, port: int) -> None:
    """Join, and say so for ever."""
    ground = GROUNDS[name]
    async with Provider(ground.broker_at(port, prefix), settings=ground.settings) as provider:
        for _ in range(SOCKETS):
            socket = FakeSocket(provider.new_socket_id())
            provider.attach(socket)
            await provider.subscribe(socket.id, "lobby")
        while True:
            await provider.publish("lobby", "here I am")
            await anyio.sleep(0.05)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
