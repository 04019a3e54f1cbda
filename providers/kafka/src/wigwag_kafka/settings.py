"""What can be set of the Kafka provider, and what of it does not fit together."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

from wigwag.errors import SettingsError
from wigwag.settings import Secret, setting
from wigwag.settings.tls import tls_context, tls_files_set

_is_topic_name = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}", re.ASCII).fullmatch
_address = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})", re.ASCII).fullmatch

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Address(str):
    """Where a Kafka broker listens, as ``HOST:PORT``."""

    __slots__ = ()
    accepted: ClassVar[str] = "HOST:PORT, like kafka-1.internal:9092 or [::1]:9092"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ValueError unless it is ``HOST:PORT``, or ``[HOST]:PORT`` for IPv6."""
        found = _address(text)
        if found is None or not 1 <= int(found[2]) <= 65535:
            raise ValueError(text)
        return cls(text)


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Each is ``WIGWAG_KAFKA_`` and its name."""

    bootstrap_servers: tuple[Address, ...] = setting(
        (Address("127.0.0.1:9092"),),
        "Brokers to ask for the rest of the cluster; list several, so that one may be down.",
    )
    topic: str = setting(
        "wigwag",
        "The one Kafka topic that carries everything. Fleets that must not meet have different ones.",
    )
    partitions: int | None = setting(
        None,
        "How many partitions the topic is made with: 16 unless set. One that exists keeps its own number, and "
        "a different one set here is an error.",
        at_least=1,
    )
    replication: int | None = setting(
        None,
        "The replication factor that the topic is made with; the cluster's default unless set.",
        at_least=1,
    )
    retention_s: float = setting(
        3600.0,
        "How long the topic that is made keeps messages, which is how long an outage may last without loss.",
        at_least=60,
    )
    security_protocol: Protocol = setting("PLAINTEXT", "What the listener speaks: TLS, a login, or both.")
    sasl_mechanism: Mechanism = setting("PLAIN", "How to log in, where the protocol is one with SASL.")
    sasl_username: str | None = setting(None, "Who logs in.")
    sasl_password: Secret | None = setting(None, "The password of that user.")
    tls_ca_file: Path | None = setting(
        None, "The authorities to trust (PEM), instead of the machine's; for a protocol with SSL."
    )
    tls_cert_file: Path | None = setting(None, "The certificate to show to brokers that ask for one (PEM).")
    tls_key_file: Path | None = setting(None, "The key of that certificate (PEM), unless it is in its file.")
    connect_timeout: float = setting(
        8.0, "How long a session has to begin, in seconds: connect, log in, look at the topic.", above=0
    )
    request_timeout_s: float = setting(
        3.0, "How long a broker may leave a request without an answer before another connection is tried."
    )
    compression: Literal["none", "gzip"] = setting(
        "none", "How batches are compressed: less traffic and disk, more CPU on every node."
    )

    @property
    def bootstrap(self) -> str:
        """The brokers to ask first, as one text."""
        return ",".join(self.bootstrap_servers)

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def has_login(self) -> bool:
        """Whether connections log in by SASL."""
        return self.security_protocol.startswith("SASL")


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """What aiokafka's connections take; reads the TLS files.

    Raises:
        SettingsError: the settings do not fit together; one line, with the variable to change.
    """
    if not settings.bootstrap_servers:
        _refuse("bootstrap_servers", f"names no broker: it must be comma-separated, each {Address.accepted}")
    if not _is_topic_name(settings.topic):
        _refuse("topic", "is no name of a Kafka topic: at most 249 of A-Z a-z 0-9 . _ -, and not . or ..")
    options: dict[str, Any] = {
        "request_timeout_ms": max(1, round(settings.request_timeout_s * 1000)),
        "security_protocol": settings.security_protocol,
        "client_id": "wigwag",
        "ssl_context": _tls_context(settings),
    }
    return options | _login(settings)


def _login(settings: KafkaSettings) -> dict[str, Any]:
    username, password = settings.sasl_username, settings.sasl_password
    if not settings.has_login:
        if username is not None or password is not None:
            field = "sasl_password" if username is None else "sasl_username"
            _refuse(field, f"is set, and {_protocol(settings)} has no login: take SASL_PLAINTEXT or SASL_SSL")
        return {}
    if username is None or password is None:
        field = "sasl_username" if username is None else "sasl_password"
        _refuse(field, f"is not set, and {_protocol(settings)} needs it")
    return {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": username,
        "sasl_plain_password": password.reveal(),
    }


def _tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if not settings.has_tls:
        for field in tls_files_set(settings):
            _refuse(field, f"is set, and {_protocol(settings)} has no TLS: take SSL or SASL_SSL")
        return None
    return tls_context(settings, "WIGWAG_KAFKA_")


def _protocol(settings: KafkaSettings) -> str:
    return f"{_variable('security_protocol')}={settings.security_protocol}"


def _variable(field: str) -> str:
    return f"WIGWAG_KAFKA_{field.upper()}"


def _refuse(field: str, text: str, cause: Exception | None = None) -> NoReturn:
    raise SettingsError(f"{_variable(field)} {text}", variable=_variable(field)) from cause
