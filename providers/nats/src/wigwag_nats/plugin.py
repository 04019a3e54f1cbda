"""The plugin: what ``WIGWAG_PROVIDER=nats`` means."""

from __future__ import annotations

from wigwag.plugins import ProviderPlugin, hookimpl
from wigwag_nats.broker import NatsBroker
from wigwag_nats.check import check
from wigwag_nats.settings import NatsSettings


@hookimpl
def wigwag_provider() -> ProviderPlugin[NatsSettings]:
    """The plugin: found by its entry point, like any other."""
    return ProviderPlugin(
        name="nats",
        summary="NATS core, one server or a cluster: nodes on any machine",
        settings=NatsSettings,
        create=NatsBroker,
        check=check,
    )
