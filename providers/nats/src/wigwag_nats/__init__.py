"""NATS for wigwag: the plugin is :mod:`wigwag_nats.plugin`; here is what code may use."""

from wigwag_nats.broker import NatsBroker
from wigwag_nats.settings import NatsSettings, ServerUrl

__all__ = ["NatsBroker", "NatsSettings", "ServerUrl"]
