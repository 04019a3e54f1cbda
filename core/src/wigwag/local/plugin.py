"""The plugin: what ``WIGWAG_PROVIDER=local`` means."""

from __future__ import annotations

from wigwag.local.broker import LocalBroker
from wigwag.local.check import check
from wigwag.local.settings import LocalSettings
from wigwag.plugins import ProviderPlugin, hookimpl


@hookimpl
def wigwag_provider() -> ProviderPlugin[LocalSettings]:
    """The plugin: found by its entry point, like any other."""
    return ProviderPlugin(
        name="local",
        summary="the processes of one machine, through a hub: wigwag serve --workers starts one, or wigwag hub",
        settings=LocalSettings,
        create=LocalBroker,
        check=check,
    )
