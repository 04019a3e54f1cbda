"""MQTT as a provider of wigwag."""

from wigwag_mqtt.broker import MqttBroker
from wigwag_mqtt.settings import MqttSettings

__all__ = ["MqttBroker", "MqttSettings"]
