"""What a client of the stock service costs in memory: of the process, and of the kernel.

    .venv/bin/python bench/memory.py [--sockets 5000] [--rounds 3] [--workers N]

Each client has a token and has joined some topics of its own; then nobody says anything. Resident memory is what the
process says in /metrics; the kernel's is the growth of its slabs (/proc/meminfo), halved, since both ends are on this
machine. Medians of the rounds; a container is charged for both.
"""

from __future__ import annotations

import argparse
import base64
import re
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "core/tests"))

from e2e.process import Service, service
from e2e.wire import TEXT, frame
from signing import token

SECRET = "the secret of a service that is measured"
KIB = 1024


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sockets", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    arguments = ("--workers", str(given.workers)) if given.workers else ()
    sys.stdout.write(
        f"{given.sockets} sockets, {given.rounds} rounds, KiB a socket: process, kernel; MiB before anybody comes"
        + "\n"
    )
    for topics in (0, 1, 10):
        found = [measure(arguments, given.sockets, topics) for _ in range(given.rounds)]
        process, kernel, start = (statistics.median(column) for column in zip(*found, strict=True))
        sys.stdout.write(f"{topics:3} topics each: {process:6.2f} {kernel:6.2f}   {start:6.1f}\n")


def measure(arguments: tuple[str, ...], sockets: int, topics: int) -> tuple[float, float, float]:
    """KiB a socket of the process and of the kernel, and MiB of the process before."""
    limits = {"WIGWAG_HANDSHAKES_PER_S": "100000", "WIGWAG_JOINS_PER_S": "1000"}
    with service(
        *arguments, WIGWAG_JWT_SECRET=SECRET, WIGWAG_CONNECTIONS_PER_USER="1000000", **limits
    ) as stock:
        open_ = [connect(stock, number, topics) for number in range(100)]  # what is made once, is made
        start, slabs = resident(stock), kernel()
        open_ += [connect(stock, number, topics) for number in range(100, 100 + sockets)]
        time.sleep(1)
        grown, kept = resident(stock) - start, kernel() - slabs
        for each in open_:
            each.close()
    return grown / sockets / KIB, kept / 2 / sockets / KIB, start / KIB / KIB


def connect(stock: Service, number: int, topics: int) -> socket.socket:
    """A client that has joined as many topics."""
    host, _, port = stock.public.rpartition(":")
    client = socket.create_connection((host, int(port)), timeout=30)
    key = base64.b64encode(number.to_bytes(16)).decode()
    bearer = token(SECRET, sub=f"user-{number}", topics=["**"])
    client.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {stock.public}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
    )
    assert b" 101 " in client.recv(4096)
    for topic in range(topics):
        client.sendall(
            frame(TEXT, b'{"type":"room.join","room":"of:%d:%d","correlationId":1}' % (number, topic))
        )
        client.recv(4096)
    return client


def resident(stock: Service) -> int:
    """Bytes of all its processes that have sockets."""
    host, _, port = stock.internal.rpartition(":")
    said = bytearray()
    with socket.create_connection((host, int(port)), timeout=30) as asked:
        asked.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        while data := asked.recv(65536):
            said += data
    found = re.findall(r"^process_resident_memory_bytes(?:\{.*\})? (\S+)$", said.decode(), flags=re.MULTILINE)
    return round(sum(map(float, found)))


def kernel() -> int:
    """Bytes of its slabs."""
    found = re.search(r"^Slab:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), flags=re.MULTILINE)
    return int(found[1]) * KIB if found else 0


if __name__ == "__main__":
    main()
