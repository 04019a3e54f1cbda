"""Listeners that ask for a password, or a certificate, or both."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from servers.certificates import Certificates

# The one user, of all mechanisms. SCRAM's is part of what was formatted: whoever changes it installs anew.
USER = "bob"
PASSWORD = "bob's secret"

Secured = Literal["sasl_plain", "scram", "tls", "mtls", "scram_tls"]
PROTOCOLS: Mapping[Secured, str] = {
    "sasl_plain": "SASL_PLAINTEXT",
    "scram": "SASL_PLAINTEXT",
    "tls": "SSL",
    "mtls": "SSL",
    "scram_tls": "SASL_SSL",
}
SCRAM = "SCRAM-SHA-512"
LOGIN = "org.apache.kafka.common.security"
PLAIN_JAAS = f'{LOGIN}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
SCRAM_JAAS = f"{LOGIN}.scram.ScramLoginModule required;"


def mechanism(listener: Secured) -> str | None:
    """Return the SASL mechanism that a listener takes, if any."""
    if not PROTOCOLS[listener].startswith("SASL"):
        return None
    return "PLAIN" if listener == "sasl_plain" else SCRAM


def has_tls(listener: Secured) -> bool:
    """Whether a listener shows a certificate."""
    return PROTOCOLS[listener].endswith("SSL")


def listener_properties(listener: Secured, certificates: Certificates, keystore: Path) -> dict[str, str]:
    """Return a listener's settings. ``keystore``: one file with the server's key and certificate."""
    settings: dict[str, str] = {}
    accepted = mechanism(listener)
    if accepted is not None:
        settings["sasl.enabled.mechanisms"] = accepted
        jaas = PLAIN_JAAS if accepted == "PLAIN" else SCRAM_JAAS
        settings[f"{accepted.lower()}.sasl.jaas.config"] = jaas
    if has_tls(listener):
        settings |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(certificates.ca),
            "ssl.client.auth": "required" if listener == "mtls" else "none",
        }
    return {f"listener.name.{listener}.{name}": value for name, value in settings.items()}


def client_options(listener: Secured, password: str, context: ssl.SSLContext | None) -> dict[str, Any]:
    """Return aiokafka's options for a listener, without the address."""
    options: dict[str, Any] = {"security_protocol": PROTOCOLS[listener]}
    accepted = mechanism(listener)
    if accepted is not None:
        options |= {
            "sasl_mechanism": accepted,
            "sasl_plain_username": USER,
            "sasl_plain_password": password,
        }
    if has_tls(listener):
        options["ssl_context"] = context
    return options
