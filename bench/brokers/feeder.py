"""Publishes for a measurement of receiving, from a process of its own: ``feeder.py BROKER URL BYTES GROUP``.

For each byte on standard input it publishes one group of messages, so that the receiver bounds what is under way;
it ends when its input does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import hiredis
from ways import PREFIX, TOPIC

from wigwag.local.protocol import HELLO, MESSAGE, VERSION, encode
from wigwag.wire.envelope import Kind, encode_envelope


def connect(url: str) -> socket.socket:
    """A connection to a server's URL, or to a Unix socket's path."""
    if url.startswith("/"):
        link = socket.socket(socket.AF_UNIX)
        link.connect(url)
        return link
    parts = urlsplit(url)
    link = socket.create_connection((parts.hostname or "", parts.port or 0))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def feed_socket(url: str, hello: bytes, group: bytes) -> None:
    """Write groups; what the server says is thrown away."""
    with connect(url) as link:
        link.sendall(hello)
        while asked := os.read(0, 64):
            link.sendall(group * len(asked))
            try:
                while link.recv(1 << 20, socket.MSG_DONTWAIT):
                    pass
            except BlockingIOError:
                pass


def feed_local(url: str, payload: bytes, size: int) -> None:
    """A frame a message, in one write a group."""
    hello = encode(HELLO, b"%d feeder" % VERSION, b"feeder")
    feed_socket(url, hello, encode(MESSAGE, payload, TOPIC.encode()) * size)


def feed_redis(url: str, payload: bytes, size: int) -> None:
    """PUBLISH, in one write a group."""
    command = hiredis.pack_command((b"PUBLISH", f"{PREFIX}:{TOPIC}".encode(), payload))  # type: ignore[arg-type]
    feed_socket(url, b"", command * size)


def feed_nats(url: str, payload: bytes, size: int) -> None:
    """PUB, in one write a group."""
    command = b"PUB %b.t.%b %d\r\n%b\r\n" % (PREFIX.encode(), TOPIC.encode(), len(payload), payload)
    feed_socket(url, b'CONNECT {"verbose":false}\r\n', command * size)


def feed_kafka(url: str, payload: bytes, size: int) -> None:
    """One batch of records a group."""
    asyncio.run(_feed_kafka(url, payload, size))


async def _feed_kafka(url: str, payload: bytes, size: int) -> None:
    from aiokafka import AIOKafkaProducer
    from kafka_ways import KAFKA_TOPIC, KEY, partition_of

    loop = asyncio.get_running_loop()
    producer = AIOKafkaProducer(
        bootstrap_servers=url, acks="all", max_batch_size=1 << 20, max_request_size=1 << 20
    )
    await producer.start()
    while asked := await loop.run_in_executor(None, os.read, 0, 64):
        for _ in asked:
            batch = producer.create_batch()
            for _ in range(size):
                batch.append(key=KEY, value=payload, timestamp=None)
            await producer.send_batch(batch, KAFKA_TOPIC, partition=partition_of(TOPIC))
    await producer.stop()


FEED: dict[str, Callable[[str, bytes, int], None]] = {
    "local": feed_local,
    "redis": feed_redis,
    "nats": feed_nats,
    "kafka": feed_kafka,
}


def main() -> None:
    """Feed until the input ends."""
    broker, url, size, group = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    payload = encode_envelope(Kind.TEXT, TOPIC, b"x" * size, sent_at=time.time())
    FEED[broker](url, payload, group)


if __name__ == "__main__":
    main()
