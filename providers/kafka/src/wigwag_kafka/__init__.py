"""Kafka for wigwag: the plugin is :mod:`wigwag_kafka.plugin`; here is what code may use."""

from wigwag_kafka.broker import KafkaBroker
from wigwag_kafka.settings import Address, KafkaSettings

__all__ = ["Address", "KafkaBroker", "KafkaSettings"]
