"""A real Kafka for tests: one broker that is its own controller, in a JVM, from Maven and without Docker.

    with KafkaServer(listeners=["scram_tls"]) as server:
        consumer = AIOKafkaConsumer("t", bootstrap_servers=server.bootstrap)
        producer = AIOKafkaProducer(**server.client_options("scram_tls"))

Maven's jars are fetched once and kept; ``python -m servers.kafka`` does that ahead of the tests.
"""

from servers.kafka.installation import is_available
from servers.kafka.listeners import PASSWORD, USER, Secured
from servers.kafka.server import KafkaServer

__all__ = ["PASSWORD", "USER", "KafkaServer", "Secured", "is_available"]
