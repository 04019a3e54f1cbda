"""The plugin: what ``WIGWAG_PROVIDER=kafka`` means."""

from __future__ import annotations

from wigwag.plugins import ProviderPlugin, hookimpl
from wigwag_kafka.broker import KafkaBroker
from wigwag_kafka.check import check
from wigwag_kafka.settings import KafkaSettings


@hookimpl
def wigwag_provider() -> ProviderPlugin[KafkaSettings]:
    """The plugin: found by its entry point, like any other."""
    return ProviderPlugin(
        name="kafka",
        summary="Kafka 2.8 or newer: nothing is lost within retention, across outages too",
        settings=KafkaSettings,
        create=KafkaBroker,
        check=check,
    )
