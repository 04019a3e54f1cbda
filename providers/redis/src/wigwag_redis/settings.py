"""What can be set of the Redis provider."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wigwag.broker import EnvelopeFormat
from wigwag.errors import SettingsError
from wigwag.settings import Secret, setting
from wigwag_redis.url import RedisUrl


@dataclass(frozen=True, kw_only=True)
class RedisSettings:
    """From the environment each is ``WIGWAG_REDIS_`` and its name.

    In code, ``url`` may be a text too: it is taken apart here.
    """

    url: RedisUrl = setting(
        RedisUrl.parse("redis://127.0.0.1:6379"), "Where Redis is: a server, its sentinels, or a cluster."
    )
    key_prefix: str = setting(
        "ws",
        "What the channels begin with: `ws:lobby`. Fleets with the same prefix on one Redis are one fleet.",
    )
    connect_timeout: float = setting(
        2.0, "How long, in seconds, a server has to take a connection and to let us in.", above=0
    )
    username: str | None = setting(None, "The ACL user; counts before the URL's.")
    password: Secret | None = setting(None, "The password; counts before the URL's.")
    sentinel_username: str | None = setting(None, "The ACL user at the sentinels, if they want one.")
    sentinel_password: Secret | None = setting(None, "The password at the sentinels, if they want one.")
    tls_ca_file: Path | None = setting(
        None, "PEM: the authorities that are trusted; the system's unless it is set."
    )
    tls_cert_file: Path | None = setting(None, "PEM: the certificate that we show, if the server wants one.")
    tls_key_file: Path | None = setting(None, "PEM: its key, without a passphrase.")
    failover_s: float = setting(
        12.0,
        "How long, after a Sentinel failover, other nodes may still publish to the old master: what they need to "
        "find the new one, probe interval and timeout. Then sockets are told once more.",
    )
    envelope: EnvelopeFormat = setting(
        "compact", "How messages are written: wigwag's way, or `json` as OriJS does. Both are read."
    )

    def __post_init__(self) -> None:
        """Raises SettingsError where ``url`` is a text that can't be read."""
        if isinstance(self.url, str):
            try:
                object.__setattr__(self, "url", RedisUrl.parse(self.url))
            except ValueError:
                raise SettingsError(
                    f"the URL of Redis must be {RedisUrl.accepted}", variable="WIGWAG_REDIS_URL"
                ) from None
