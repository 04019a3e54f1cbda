"""What can be set: each field is the variable WIGWAG_MQTT_ and its name."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from wigwag.errors import SettingsError
from wigwag.settings import Secret, setting

# A first $ would be the broker's own channels, or a shared subscription, of which each node gets a share.
PREFIX = re.compile(r"[^$+#/\x00][^+#\x00]*(?<!/)")
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, kw_only=True)
class MqttSettings:
    """Raises SettingsError where a value can't be used; never shows a password."""

    url: str = setting(
        "mqtt://127.0.0.1", "Where the broker listens: mqtt://[USER@]HOST[:PORT], mqtts:// for TLS."
    )
    prefix: str = setting(
        "ws", "What the names of all channels begin with: two fleets on one broker need two."
    )
    password: Secret | None = setting(None, "The password of the user in the URL.")
    ca_file: Path | None = setting(
        None, "A PEM file with the authority that signed the broker's certificate; the system's unless set."
    )
    watch_drops: bool = setting(
        True, "Tell all sockets when the broker's count of dropped messages grows, whoever they were for."
    )

    def __post_init__(self) -> None:
        """See the class."""
        if not PREFIX.fullmatch(self.prefix):
            raise SettingsError(
                "WIGWAG_MQTT_PREFIX: no + or # in it, no $ or / at its start, no / at its end"
            )
        if not is_url(self.url):
            raise SettingsError(
                "WIGWAG_MQTT_URL: it must be mqtt://[USER@]HOST[:PORT] or mqtts://…, with no password in it: "
                "that is WIGWAG_MQTT_PASSWORD"
            )

    @property
    def host(self) -> str:
        """The broker's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's port."""
        return urlsplit(self.url).port or PORTS[urlsplit(self.url).scheme]

    @property
    def user(self) -> str | None:
        """Who logs in."""
        name = urlsplit(self.url).username
        return unquote(name) if name else None

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what TLS needs, None for mqtt://; SettingsError if the file can't be used."""
        if urlsplit(self.url).scheme == "mqtt":
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as exc:
            raise SettingsError(
                f"WIGWAG_MQTT_CA_FILE: no PEM file of certificates: {exc.strerror or exc}"
            ) from exc


def is_url(text: str) -> bool:
    """Whether a broker can be found by it, and it holds no password."""
    try:
        url: SplitResult = urlsplit(text)
        has_port = url.port != 0
    except ValueError:
        return False
    more = url.path.strip("/") or url.query or url.fragment
    return bool(url.scheme in PORTS and url.hostname and has_port and url.password is None and not more)
