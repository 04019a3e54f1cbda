"""The plugin, which the entry point names."""

from __future__ import annotations

from wigwag.plugins import ProviderPlugin, hookimpl
from wigwag_redis.check import check, make_broker
from wigwag_redis.settings import RedisSettings


@hookimpl
def wigwag_provider() -> ProviderPlugin[RedisSettings]:
    """The plugin: found by its entry point."""
    return ProviderPlugin(
        name="redis",
        summary="Redis or Valkey pub/sub: a server, its sentinels, or a cluster",
        settings=RedisSettings,
        create=make_broker,
        check=check,
    )
