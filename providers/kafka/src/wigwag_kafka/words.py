"""What went wrong, as one line that says what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from aiokafka import errors

from wigwag_kafka.settings import KafkaSettings

_PROTOCOL = "WIGWAG_KAFKA_SECURITY_PROTOCOL"
OLDEST = "Kafka 2.8"


def why_not_connected(exc: BaseException, where: str, settings: KafkaSettings) -> str:
    """Why there is no connection to a broker."""
    return f"Kafka at {where} {_reason(exc, settings)}"


def _reason(exc: BaseException, settings: KafkaSettings) -> str:
    match exc:
        case errors.SaslAuthenticationFailed():
            return (
                f"refuses the login of user {settings.sasl_username!r} by {settings.sasl_mechanism}: see "
                "WIGWAG_KAFKA_SASL_USERNAME and WIGWAG_KAFKA_SASL_PASSWORD"
            )
        case errors.UnsupportedSaslMechanismError():
            return (
                f"does not take a login by {settings.sasl_mechanism}: set WIGWAG_KAFKA_SASL_MECHANISM to what "
                "its listener has enabled"
            )
        case errors.IllegalSaslStateError():
            return (
                f"has no login on this listener: {_PROTOCOL}={settings.security_protocol} wants one; take "
                f"{'SSL' if settings.has_tls else 'PLAINTEXT'}, or the port of another listener"
            )
        case ssl.SSLCertVerificationError():
            return (
                f"shows a certificate that is not trusted ({exc.verify_message or 'unverified'}): see "
                "WIGWAG_KAFKA_TLS_CA_FILE, and that WIGWAG_KAFKA_BOOTSTRAP_SERVERS has the names in it"
            )
        case ssl.SSLError():
            said = (exc.reason or "no reason given").replace("_", " ").lower()
            return f"does not agree on TLS ({said}): see {_PROTOCOL}, and WIGWAG_KAFKA_TLS_CERT_FILE if it wants one"
        case socket.gaierror():
            return "can't be found: the host's name has no address; see WIGWAG_KAFKA_BOOTSTRAP_SERVERS"
        case TimeoutError() | errors.RequestTimedOutError():
            return "does not answer: is it stalled, or behind a firewall that drops what it gets?"
        case ConnectionResetError() | BrokenPipeError() | errors.KafkaConnectionError() | EOFError():
            return (
                f"closed the connection: {_PROTOCOL}={settings.security_protocol} does not fit its listener, which "
                "may want TLS, a certificate or a login, or neither"
            )
        case OSError():
            text = exc.strerror or type(exc).__name__
            return f"can't be reached ({text}): is it running, and is WIGWAG_KAFKA_BOOTSTRAP_SERVERS right?"
        case NotImplementedError() | errors.IncompatibleBrokerVersion() | errors.UnsupportedVersionError():
            return f"is too old: {OLDEST} or newer is needed"
    return why(exc)


def why(exc: BaseException) -> str:
    """An error of aiokafka's, on one line."""
    match exc:
        case errors.TopicAuthorizationFailedError():
            return "does not let this login use the topic: grant it DESCRIBE, READ and WRITE on WIGWAG_KAFKA_TOPIC"
        case errors.ClusterAuthorizationFailedError():
            return "does not let this login publish: grant it WRITE on the topic, and IDEMPOTENT_WRITE on the cluster"
        case errors.OutOfOrderSequenceNumber() | errors.UnknownProducerId() | errors.ProducerFenced():
            return (
                f"and the producer do not agree on what was sent ({type(exc).__name__}): another one begins"
            )
        case NotImplementedError() | errors.IncompatibleBrokerVersion():
            return f"is too old: {OLDEST} or newer is needed"
    text = " ".join(str(exc).split())
    return f"failed: {type(exc).__name__}{': ' if text else ''}{text}"


def why_unreadable(exc: Exception) -> str:
    """Why a batch can't be read, the same for all that have this cause."""
    if isinstance(exc, errors.UnsupportedCodecError):
        return f"{exc}; who else writes to it? Install aiokafka[lz4], which brings all codecs"
    return f"they are damaged ({type(exc).__name__}); who else writes to it, and is its broker's disk sound?"


def command(settings: KafkaSettings, partitions: int, config: Sequence[tuple[str, str]]) -> str:
    """The command by which somebody who may makes the topic."""
    parts = ["kafka-topics.sh --bootstrap-server", settings.bootstrap_servers[0]]
    if settings.security_protocol != "PLAINTEXT":
        parts.append("--command-config admin.properties")
    parts.append(f"--create --topic {settings.topic} --partitions {partitions}")
    if settings.replication is not None:
        parts.append(f"--replication-factor {settings.replication}")
    parts += [f"--config {name}={value}" for name, value in config]
    return " ".join(parts)


def why_not_made(code: int, settings: KafkaSettings, how: str) -> str:
    """Why the topic can't be made, and the command that makes it."""
    reason = {
        29: "this login may not make it",
        31: "this login may not make it",
        38: "there are fewer brokers than its replication factor (WIGWAG_KAFKA_REPLICATION)",
        44: "a policy of the cluster forbids it as it was to be",
    }.get(code, f"Kafka answers {errors.for_code(code).__name__}")
    return f"the Kafka topic {settings.topic!r} is missing, and {reason}. Make it: {how}"
