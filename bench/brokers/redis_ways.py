"""Redis: beside wigwag, redis-py as its documentation shows it, with its own defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meter import Meter
from our_ways import publish_to, receive_from
from redis.asyncio import Redis
from ways import IN_FLIGHT, OURS, PREFIX, TOPIC, Publish, Ways, in_groups, in_tasks

VARIABLE = "WIGWAG_REDIS_URL"
CHANNEL = f"{PREFIX}:{TOPIC}"


async def listen(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
    """``async for message in pubsub.listen()``."""
    async with Redis.from_url(url) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        async for message in pubsub.listen():
            if message["type"] == "message":
                count(message)
            else:
                ready()


async def get_message(url: str, ready: Callable[[], object], count: Callable[[object], object]) -> None:
    """``await pubsub.get_message(timeout=…)`` in a loop."""
    async with Redis.from_url(url) as redis, redis.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        while True:
            message = await pubsub.get_message(timeout=1.0)
            if message is None:
                continue
            if message["type"] == "message":
                count(message)
            else:
                ready()


def publish_in_tasks(tasks: int) -> Publish:
    """``await redis.publish(…)``."""

    async def publish(url: str, text: str, meter: Meter) -> None:
        async with Redis.from_url(url) as redis:
            await in_tasks(lambda: redis.publish(CHANNEL, text), meter, tasks)

    return publish


async def publish_in_pipelines(url: str, text: str, meter: Meter) -> None:
    """``redis.pipeline(transaction=False)``, executed at every 64th."""
    async with Redis.from_url(url) as redis:

        async def group() -> None:
            pipeline: Any = redis.pipeline(transaction=False)
            for _ in range(IN_FLIGHT):
                pipeline.publish(CHANNEL, text)
            await pipeline.execute()

        await in_groups(group, meter)


WAYS = Ways(
    receive={
        OURS: receive_from("redis", VARIABLE),
        "redis-py PubSub.listen()": listen,
        "redis-py PubSub.get_message()": get_message,
    },
    publish={
        OURS: publish_to("redis", VARIABLE),
        "redis-py publish in 64 tasks": publish_in_tasks(IN_FLIGHT),
        "redis-py pipeline of 64": publish_in_pipelines,
    },
    publish_singly={
        OURS: publish_to("redis", VARIABLE, 1),
        "redis-py publish": publish_in_tasks(1),
    },
)
