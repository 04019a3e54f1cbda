"""aiokafka's consumer and producer as a session has them, and their end.

Their own ``stop()`` flushes: with a broker that is gone it never returns, and what was given up is sent when the
broker is back.  aiokafka keeps no list of its tasks either, so they are found by whose method they run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from wigwag_kafka.settings import KafkaSettings

# A consumer that waits longer notices a partition that was resumed later; one that waits less costs more when idle.
_FETCH_WAIT_MS = 50

#: What of a consumer, producer or client runs tasks; the last attribute of each is its client.
_PARTS = ("_sender", "_message_accumulator", "_fetcher", "_coordinator", "_client", "client")
_LIMIT_S = 1.0


def new_consumer(settings: KafkaSettings, options: Mapping[str, Any], max_message_bytes: int) -> Any:
    """A consumer of no group, not started."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        auto_offset_reset="none",  # the others jump over what is missing, in silence
        enable_auto_commit=False,
        fetch_min_bytes=1,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=max(1024 * 1024, max_message_bytes),
        **options,
    )


def new_producer(settings: KafkaSettings, options: Mapping[str, Any], max_message_bytes: int) -> Any:
    """A producer whose retries neither double nor reorder, not started."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,  # core has made the batches
        max_batch_size=max_message_bytes,
        max_request_size=max_message_bytes,
        compression_type=None if settings.compression == "none" else settings.compression,
        **options,
    )


async def abort(clients: Iterable[Any]) -> None:
    """Cut the connections of consumers, producers and clients, and return when none of their tasks is left.

    Nothing is flushed; it takes a second at most. For those that were not started, too.
    """
    clients = list(clients)
    owners = {id(owner): owner for owner in _owners(clients)}
    connections = [
        connection
        for owner in owners.values()
        for connection in getattr(owner, "_conns", {}).values()
        if connection is not None
    ]
    for connection in connections:
        connection._on_close_cb = None  # it would ask for new metadata
        if connection._writer is not None:
            connection._writer.transport.abort()
    tasks = [task for task in asyncio.all_tasks() if id(_owner_of(task)) in owners]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_LIMIT_S)
    closed = {asyncio.ensure_future(future) for future in map(_close, connections) if future is not None}
    if closed:
        await asyncio.wait(closed, timeout=_LIMIT_S)
    for client in clients:
        if hasattr(client, "_closed"):
            client._closed = True  # else it complains when it is collected


def _owners(clients: Iterable[Any]) -> Iterable[Any]:
    for client in clients:
        yield client
        for name in _PARTS:
            part = getattr(client, name, None)
            if part is not None:
                yield part


def _owner_of(task: asyncio.Task[Any]) -> object:
    """Whose method a task runs; None where it is none, or has ended."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    if frame is None or "/aiokafka/" not in frame.f_code.co_filename.replace("\\", "/"):
        return None
    return frame.f_locals.get("self")


def _close(connection: Any) -> Any:
    with contextlib.suppress(Exception):
        return connection.close()
