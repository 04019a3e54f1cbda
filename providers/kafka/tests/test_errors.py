"""What stands in the way of a session, each as one line that says which and what to do; and the ways that work."""

from __future__ import annotations

import logging
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiokafka import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest_v1, DescribeAclsRequest
from aiokafka.protocol.api import Request

from servers.certificates import make_certificates
from servers.kafka import PASSWORD, USER, KafkaServer, Secured
from servers.kafka.admin import KafkaAdmin
from servers.process import HOST
from wigwag.broker import BrokerLost
from wigwag.settings import Secret
from wigwag.testing.contract import RecordingInbox, open_session
from wigwag_kafka import Address, KafkaBroker, KafkaSettings

pytestmark = [pytest.mark.anyio, pytest.mark.needs("kafka"), pytest.mark.needs("openssl")]

LIMIT_S = 10.0
LISTENERS: tuple[Secured, ...] = ("sasl_plain", "scram", "tls", "mtls", "scram_tls")
# Who comes without a login may do anything, and whoever logs in nothing but what a test allows.
ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
READ, WRITE, DESCRIBE = 3, 4, 8


@pytest.fixture(scope="module")
def server() -> Generator[KafkaServer]:
    with KafkaServer(listeners=LISTENERS) as server:
        yield server


@pytest.fixture(scope="module")
def strict_server() -> Generator[KafkaServer]:
    with KafkaServer(ACLS, listeners=["sasl_plain"]) as server:
        yield server


def settings_of(server: KafkaServer, listener: Secured, **changed: Any) -> KafkaSettings:
    """The settings that work with a listener, unless they are changed."""
    settings: dict[str, Any] = {"bootstrap_servers": (Address(server.bootstrap_of(listener)),)}
    login = {"sasl_username": USER, "sasl_password": Secret(PASSWORD)}
    trust = {"tls_ca_file": server.certificates.ca}
    match listener:
        case "sasl_plain":
            settings |= {"security_protocol": "SASL_PLAINTEXT", **login}
        case "scram":
            settings |= {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-512",
                **login,
            }
        case "scram_tls":
            settings |= {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", **login, **trust}
        case "tls":
            settings |= {"security_protocol": "SSL", **trust}
        case "mtls":
            settings |= {
                "security_protocol": "SSL",
                "tls_cert_file": server.certificates.client_cert,
                "tls_key_file": server.certificates.client_key,
                **trust,
            }
    return KafkaSettings(**{"connect_timeout": LIMIT_S, **settings, **changed})


async def why_lost(settings: KafkaSettings) -> str:
    broker = KafkaBroker(settings)
    try:
        with pytest.raises(BrokerLost) as caught, anyio.fail_after(2 * LIMIT_S):
            await broker.run(RecordingInbox())
    finally:
        await broker.close()
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("listener", LISTENERS)
async def test_every_way_to_log_in_and_to_encrypt_works(server: KafkaServer, listener: Secured) -> None:
    async with open_session(KafkaBroker(settings_of(server, listener))) as session:
        await session.subscribe("a")
        await session.publish(("a", b"x"))
        await session.hear("a", b"x")


@pytest.mark.parametrize(
    ("listener", "changed", "text"),
    [
        ("sasl_plain", {"sasl_password": Secret("wrong")}, "refuses the login of user 'bob' by PLAIN"),
        ("scram", {"sasl_password": Secret("wrong")}, "refuses the login of user 'bob' by SCRAM-SHA-512"),
        ("scram", {"sasl_username": "eve"}, "refuses the login of user 'eve'"),
        ("scram", {"sasl_mechanism": "PLAIN"}, "does not take a login by PLAIN"),
        ("tls", {"tls_ca_file": None}, "shows a certificate that is not trusted"),
        (
            "mtls",
            {"tls_cert_file": None, "tls_key_file": None},
            "WIGWAG_KAFKA_SECURITY_PROTOCOL=SSL does not fit",
        ),
        (
            "tls",
            {"security_protocol": "PLAINTEXT", "tls_ca_file": None},
            "WIGWAG_KAFKA_SECURITY_PROTOCOL=PLAINTEXT does not fit",
        ),
        (
            "sasl_plain",
            {"security_protocol": "PLAINTEXT", "sasl_username": None, "sasl_password": None},
            "WIGWAG_KAFKA_SECURITY_PROTOCOL=PLAINTEXT does not fit",
        ),
        (
            "sasl_plain",
            {"bootstrap_servers": None},
            "WIGWAG_KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT wants one; take PLAINTEXT",
        ),
        (
            "tls",
            {"bootstrap_servers": None},
            "WIGWAG_KAFKA_SECURITY_PROTOCOL=SSL does not fit",
        ),
    ],
)
async def test_what_does_not_fit_the_listener(
    server: KafkaServer,
    listener: Secured,
    changed: dict[str, Any],
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    if "bootstrap_servers" in changed:  # the plain listener
        changed = {"bootstrap_servers": (Address(server.bootstrap),)}
    line = await why_lost(settings_of(server, listener, **changed))
    assert text in line
    assert line.startswith("Kafka at 127.0.0.1:")
    assert "wrong" not in line + caplog.text
    assert PASSWORD not in line + caplog.text
    assert [r for r in caplog.records if r.name.startswith("aiokafka") and r.levelno >= logging.INFO] == []


async def test_another_authority_is_not_trusted(server: KafkaServer, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    line = await why_lost(settings_of(server, "tls", tls_ca_file=other.ca))
    assert "shows a certificate that is not trusted" in line
    assert "WIGWAG_KAFKA_TLS_CA_FILE" in line


def free_port() -> int:
    with socket.socket() as held:
        held.bind((HOST, 0))
        port: int = held.getsockname()[1]
        return port


async def test_where_nobody_listens() -> None:
    address = Address(f"{HOST}:{free_port()}")
    line = await why_lost(KafkaSettings(bootstrap_servers=(address,)))
    assert line.startswith(f"Kafka at {address} can't be reached (Connect")
    assert "WIGWAG_KAFKA_BOOTSTRAP_SERVERS" in line


async def test_a_name_without_an_address() -> None:
    line = await why_lost(KafkaSettings(bootstrap_servers=(Address("no-such-host.invalid:9092"),)))
    assert "the host's name has no address" in line


async def test_one_that_takes_the_connection_and_says_nothing() -> None:
    with socket.create_server((HOST, 0)) as silent:
        address = Address(f"{HOST}:{silent.getsockname()[1]}")
        line = await why_lost(KafkaSettings(bootstrap_servers=(address,), request_timeout_s=0.2))
    assert line.startswith(f"Kafka at {address} does not answer")


async def test_one_broker_of_the_list_is_enough(server: KafkaServer) -> None:
    servers = (Address(f"{HOST}:{free_port()}"), Address(server.bootstrap))
    async with open_session(KafkaBroker(KafkaSettings(bootstrap_servers=servers))) as session:
        await session.subscribe("a")


async def test_a_cluster_that_names_an_address_that_cannot_be_reached() -> None:
    server = KafkaServer()
    server.advertised_port = free_port()
    with server:
        line = await why_lost(KafkaSettings(bootstrap_servers=(Address(server.bootstrap),)))
    assert line.startswith(f"Kafka at {HOST}:{server.advertised_port} can't be reached")
    assert "advertised.listeners" in line


class AllowRequest(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    """Let the user do this with a topic; aiokafka's own request has no form that a broker understands."""

    API_KEY = 30

    def __init__(self, topic: str, operations: tuple[int, ...]) -> None:
        self._rules = [(2, topic, 3, f"User:{USER}", "*", operation, 3) for operation in operations]

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._rules)


async def allow(server: KafkaServer, topic: str, *operations: int) -> None:
    client = AIOKafkaClient(bootstrap_servers=server.bootstrap)
    await client.bootstrap()
    response = await client.send(1, AllowRequest(topic, operations))
    assert [code for code, *_ in response.creation_responses] == [0] * len(operations)
    with anyio.fail_after(LIMIT_S):  # the controller has it; the broker hears of it later, and tells nobody
        while not await known_rules(client, topic, operations):  # noqa: ASYNC110
            await anyio.sleep(0.01)
    await client.close()


async def known_rules(client: AIOKafkaClient, topic: str, operations: tuple[int, ...]) -> bool:
    """Whether the broker goes by the rules already."""
    response = await client.send(1, DescribeAclsRequest(2, topic, 3, f"User:{USER}", "*", 1, 1))
    known = {operation for *_, rules in response.resources for _, _, operation, _ in rules}
    return known >= set(operations)


async def make_topic(server: KafkaServer, topic: str) -> None:
    async with KafkaAdmin(server.bootstrap) as admin:
        await admin.create_topic(topic, 2)


async def test_a_topic_that_the_login_may_not_see(strict_server: KafkaServer) -> None:
    line = await why_lost(settings_of(strict_server, "sasl_plain", topic="hidden"))
    assert line == (
        "Kafka does not let this login use the topic: grant it DESCRIBE, READ and WRITE on WIGWAG_KAFKA_TOPIC"
    )


async def test_a_topic_that_the_login_may_not_make(strict_server: KafkaServer) -> None:
    await allow(strict_server, "missing", DESCRIBE, READ, WRITE)
    line = await why_lost(settings_of(strict_server, "sasl_plain", topic="missing"))
    assert "is missing, and this login may not make it. Make it: kafka-topics.sh " in line
    assert "--command-config admin.properties --create --topic missing --partitions 16 " in line


async def test_a_login_with_the_least_rights_is_enough(strict_server: KafkaServer) -> None:
    await make_topic(strict_server, "least")
    await allow(strict_server, "least", DESCRIBE, READ, WRITE)
    broker = KafkaBroker(settings_of(strict_server, "sasl_plain", topic="least"))
    async with open_session(broker) as session:
        await session.subscribe("a")
        await session.publish(("a", b"x"))
        await session.hear("a", b"x")
        await session.check()


async def test_a_login_that_may_not_write(strict_server: KafkaServer) -> None:
    await make_topic(strict_server, "read-only")
    await allow(strict_server, "read-only", DESCRIBE, READ)
    await allow(strict_server, "another", WRITE)  # else it may have no producer at all
    broker = KafkaBroker(settings_of(strict_server, "sasl_plain", topic="read-only"))
    async with open_session(broker) as session:
        with pytest.raises(BrokerLost, match="grant it DESCRIBE, READ and WRITE"):
            await session.publish(("a", b"x"))


async def test_a_login_that_may_not_read(strict_server: KafkaServer) -> None:
    await make_topic(strict_server, "write-only")
    await allow(strict_server, "write-only", DESCRIBE, WRITE)
    broker = KafkaBroker(settings_of(strict_server, "sasl_plain", topic="write-only"))
    async with open_session(broker) as session:
        await session.subscribe("a")
        assert "grant it DESCRIBE, READ and WRITE" in str(await session.end())
