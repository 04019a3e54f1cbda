"""From messages to batches that Kafka has acknowledged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from wigwag.broker import BrokerLost
from wigwag_kafka.words import why

#: What the largest record of ours takes beside its payload: the batch's header, a key of 256, the lengths.
OVERHEAD_BYTES: Final = 512
_TOO_LARGE: Final = "it has {} bytes, which is more than the Kafka topic's max.message.bytes allows"


def largest_payload(max_message_bytes: int) -> int:
    """The largest payload that fits with any topic, where the Kafka topic has this ``max.message.bytes``."""
    return max(1, max_message_bytes - OVERHEAD_BYTES)


async def send(producer: Any, partition: Any, messages: Sequence[tuple[str, bytes]]) -> dict[int, str]:
    """Send messages to a partition, in order, and return when all are taken, but for these: why, by their index.

    A whole batch is one future and, per message, one call of C; ``producer.send`` takes twenty times as long.

    Raises:
        BrokerLost: the producer failed; what was sent is in doubt.
    """
    now_ms = int(time.time() * 1000)
    refused: dict[int, str] = {}
    batch, first = producer.create_batch(), 0
    for index, (topic, payload) in enumerate(messages):
        key = topic.encode()
        if batch.append(key=key, value=payload, timestamp=now_ms) is None:
            refused |= await _send_batch(producer, partition, batch, messages, first)
            batch, first = producer.create_batch(), index
            batch.append(key=key, value=payload, timestamp=now_ms)
    return refused | await _send_batch(producer, partition, batch, messages, first)


async def _send_batch(
    producer: Any, partition: Any, batch: Any, messages: Sequence[tuple[str, bytes]], first: int
) -> dict[int, str]:
    """Send one batch, whose first message has this index."""
    count = batch.record_count()
    try:
        await (await producer.send_batch(batch, partition.topic, partition=partition.partition))
    except MessageSizeTooLargeError:
        # max.message.bytes is less than it was when the session began. Nothing was taken, so that the next batch
        # must have the same numbers; aiokafka does not go back, and would be stuck (its issue 1017).
        producer._txn_manager.increment_sequence_number(partition, -count)
    except (KafkaError, AssertionError) as exc:
        raise BrokerLost(f"Kafka {why(exc)}") from exc
    else:
        return {}
    if count == 1:
        return {first: _TOO_LARGE.format(len(messages[first][1]))}
    refused: dict[int, str] = {}
    for index in range(first, first + count):
        single, (topic, payload) = producer.create_batch(), messages[index]
        single.append(key=topic.encode(), value=payload, timestamp=None)
        refused |= await _send_batch(producer, partition, single, messages, index)
    return refused
