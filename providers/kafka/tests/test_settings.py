"""Settings that can't be used: one line each, with the variable to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servers.certificates import Certificates
from wigwag.errors import SettingsError
from wigwag.settings import Secret, load_settings
from wigwag_kafka import Address, KafkaBroker, KafkaSettings

PASSWORD = "not to be shown"
LOGIN = {"sasl_username": "bob", "sasl_password": Secret(PASSWORD)}


def test_from_the_environment() -> None:
    environ = {
        "WIGWAG_KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092, [::1]:9093",
        "WIGWAG_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "WIGWAG_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "WIGWAG_KAFKA_SASL_PASSWORD": PASSWORD,
        "WIGWAG_KAFKA_PARTITIONS": "64",
    }
    settings = load_settings(KafkaSettings, "WIGWAG_KAFKA_", environ)
    assert settings.bootstrap_servers == ("kafka-1:9092", "[::1]:9093")
    assert (settings.partitions, settings.sasl_mechanism) == (64, "SCRAM-SHA-512")
    assert PASSWORD not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOOTSTRAP_SERVERS", "localhost"),
        ("BOOTSTRAP_SERVERS", "kafka://localhost:9092"),
        ("BOOTSTRAP_SERVERS", "localhost:0"),
        ("BOOTSTRAP_SERVERS", "localhost:65536"),
        ("BOOTSTRAP_SERVERS", ":9092"),
        ("PARTITIONS", "0"),
        ("REPLICATION", "0"),
        ("RETENTION_S", "59"),
        ("CONNECT_TIMEOUT", "0"),
        ("REQUEST_TIMEOUT_S", "0"),
        ("SECURITY_PROTOCOL", "TLS"),
        ("SASL_MECHANISM", "GSSAPI"),
        ("COMPRESSION", "zstd"),
    ],
)
def test_a_value_of_another_form_is_refused(variable: str, value: str) -> None:
    name = f"WIGWAG_KAFKA_{variable}"
    with pytest.raises(SettingsError) as caught:
        load_settings(KafkaSettings, "WIGWAG_KAFKA_", {name: value})
    assert caught.value.variable == name


@pytest.mark.parametrize(
    ("settings", "variable", "text"),
    [
        ({"bootstrap_servers": ()}, "BOOTSTRAP_SERVERS", "names no broker"),
        ({"topic": ""}, "TOPIC", "is no name of a Kafka topic"),
        ({"topic": ".."}, "TOPIC", "is no name of a Kafka topic"),
        ({"topic": "a b"}, "TOPIC", "is no name of a Kafka topic"),
        ({"topic": "a" * 250}, "TOPIC", "at most 249"),
        (LOGIN, "SASL_USERNAME", "PLAINTEXT has no login"),
        ({"sasl_password": Secret(PASSWORD)}, "SASL_PASSWORD", "has no login"),
        ({"security_protocol": "SSL", **LOGIN}, "SASL_USERNAME", "SSL has no login"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "SASL_USERNAME", "is not set"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "bob"}, "SASL_PASSWORD", "is not set"),
        ({"tls_ca_file": Path("ca.pem")}, "TLS_CA_FILE", "PLAINTEXT has no TLS"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "tls_cert_file": Path("c"), **LOGIN},
            "TLS_CERT_FILE",
            "has no TLS",
        ),
        ({"security_protocol": "SSL", "tls_ca_file": Path("none.pem")}, "TLS_CA_FILE", "no file none.pem"),
        (
            {"security_protocol": "SSL", "tls_cert_file": Path("none.pem")},
            "TLS_CERT_FILE",
            "there is no file",
        ),
        ({"security_protocol": "SSL", "tls_key_file": Path("none.pem")}, "TLS_CERT_FILE", "is not set"),
    ],
)
def test_settings_that_do_not_fit_are_refused_when_the_broker_is_made(
    settings: dict[str, Any], variable: str, text: str
) -> None:
    with pytest.raises(SettingsError, match=text) as caught:
        KafkaBroker(KafkaSettings(**settings))
    line = str(caught.value)
    assert caught.value.variable == f"WIGWAG_KAFKA_{variable}"
    assert line.startswith(f"WIGWAG_KAFKA_{variable} ")
    assert "\n" not in line
    assert PASSWORD not in line


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for field in ("tls_ca_file", "tls_cert_file"):
        with pytest.raises(SettingsError, match="no PEM file") as caught:
            KafkaBroker(KafkaSettings(security_protocol="SSL", **{field: empty}))  # type: ignore[arg-type]
        assert caught.value.variable == f"WIGWAG_KAFKA_{field.upper()}"


@pytest.mark.needs("openssl")
def test_a_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    with pytest.raises(SettingsError, match="does not fit its key"):
        KafkaBroker(
            KafkaSettings(
                security_protocol="SSL",
                tls_cert_file=certificates.client_cert,
                tls_key_file=certificates.server_key,
            )
        )


def test_an_address_shows_as_it_was_written() -> None:
    assert str(Address.parse("kafka-1.internal:9092")) == "kafka-1.internal:9092"
