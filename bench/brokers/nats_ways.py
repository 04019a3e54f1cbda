"""NATS: beside wigwag, nats-py as its documentation shows it, with its own defaults."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import nats
from meter import Meter
from nats.aio.msg import Msg
from our_ways import publish_to, receive_from
from ways import IN_FLIGHT, OURS, PREFIX, TOPIC, Publish, Ways, in_groups

VARIABLE = "WIGWAG_NATS_SERVERS"
SUBJECT = f"{PREFIX}.t.{TOPIC}"


async def callback(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
    """``await client.subscribe(subject, cb=…)``."""

    async def on_message(message: Msg) -> None:
        count(message)

    client = await nats.connect(url)
    await client.subscribe(SUBJECT, cb=on_message)
    await client.flush()
    ready()
    await anyio.sleep_forever()


async def iterator(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
    """``async for message in subscription.messages``."""
    client = await nats.connect(url)
    subscription = await client.subscribe(SUBJECT)
    await client.flush()
    ready()
    async for message in subscription.messages:
        count(message)


def publish_and_flush(size: int) -> Publish:
    """``await client.publish(…)``, and ``await client.flush()`` after so many."""

    async def publish(url: str, text: str, meter: Meter) -> None:
        client = await nats.connect(url)
        payload = text.encode()

        async def group() -> None:
            for _ in range(size):
                await client.publish(SUBJECT, payload)
            await client.flush()

        await in_groups(group, meter, size)
        await client.close()

    return publish


WAYS = Ways(
    receive={
        OURS: receive_from("nats", VARIABLE),
        "nats-py callback": callback,
        "nats-py async iterator": iterator,
    },
    publish={
        OURS: publish_to("nats", VARIABLE),
        "nats-py 64 publish, flush": publish_and_flush(IN_FLIGHT),
    },
    publish_singly={
        OURS: publish_to("nats", VARIABLE, 1),
        "nats-py publish, flush": publish_and_flush(1),
    },
)
