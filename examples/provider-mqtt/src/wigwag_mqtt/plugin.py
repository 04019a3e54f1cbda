"""The plugin: what the entry point in pyproject.toml names."""

from __future__ import annotations

from wigwag.plugins import ProviderPlugin, hookimpl
from wigwag_mqtt.broker import MqttBroker
from wigwag_mqtt.check import check
from wigwag_mqtt.settings import MqttSettings


@hookimpl
def wigwag_provider() -> ProviderPlugin[MqttSettings]:
    """Core calls it once, when the provider has been chosen."""
    return ProviderPlugin(
        name="mqtt",
        summary="MQTT 5, over one connection: mosquitto and its like",
        settings=MqttSettings,
        create=MqttBroker,
        check=check,
    )
