"""What a replica has to be told of each broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from servers.kafka import KafkaServer
from servers.nats import NatsServer
from servers.process import ServerProcess
from servers.redis import RedisServer

SERVERS: Mapping[str, Callable[[], ServerProcess]] = {
    "redis": RedisServer,
    "nats": NatsServer,
    "kafka": KafkaServer,
}


def variables_of(broker: str, server: ServerProcess) -> dict[str, str]:
    """The settings that lead to a broker."""
    where = {
        "redis": ("WIGWAG_REDIS_URL", server.url),
        "nats": ("WIGWAG_NATS_SERVERS", server.url),
        "kafka": ("WIGWAG_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{server.port}"),
    }
    name, value = where[broker]
    return {"WIGWAG_PROVIDER": broker, name: value, "WIGWAG_LOG_LEVEL": "warning"}
