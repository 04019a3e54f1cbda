"""What ``wigwag check`` finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from servers.certificates import Certificates
from servers.nats import NatsServer
from wigwag.broker import BrokerLost, Finding
from wigwag.plugins import load
from wigwag.settings import Secret
from wigwag_nats import NatsSettings, ServerUrl
from wigwag_nats.check import _of_encryption, _of_servers, check, judge_login
from wigwag_nats.link import Link

pytestmark = pytest.mark.anyio

FORBIDS = """
authorization { users = [{user: some, password: pw, permissions: {
  publish: {allow: ["ws._sync.>"]}, subscribe: {allow: ["ws._sync.>"]}
}}] }
"""


def settings_of(server: NatsServer) -> NatsSettings:
    return NatsSettings(servers=(ServerUrl("127.0.0.1", server.port),))


def one(findings: Sequence[Finding], subject: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


@pytest.mark.needs("nats-server")
async def test_a_server_without_fault_is_described() -> None:
    with NatsServer("server_name: one") as server:
        found = load("nats").check
        assert found is not None
        findings = await found(settings_of(server))
        assert {finding.level for finding in findings} == {"ok"}
        assert one(findings, "server").text == f"nats://127.0.0.1:{server.port} is one"
        assert one(findings, "version").text.startswith(server.info()["version"])
        assert one(findings, "max payload").text.startswith("1048576 bytes")
        assert "ms" in one(findings, "round trip").text
        for finding in findings:
            assert "\n" not in finding.text


@pytest.mark.needs("nats-server")
async def test_little_room_for_messages_is_a_warning() -> None:
    with NatsServer("max_payload: 8192") as server:
        found = one(await check(settings_of(server)), "max payload")
        assert found.level == "warning"
        assert "set max_payload" in found.text


@pytest.mark.needs("nats-server")
async def test_what_the_login_may_not_do_is_an_error_that_says_what_to_allow() -> None:
    with NatsServer(FORBIDS) as server:
        url = ServerUrl("127.0.0.1", server.port, user="some", password=Secret("pw"))
        findings = await check(NatsSettings(servers=(url,)))
        for subject in ("publish", "subscribe"):
            found = one(findings, subject)
            assert found.level == "error"
            assert f"allow the login to {subject} on ws.>" in found.text


@pytest.mark.needs("nats-server")
async def test_a_server_that_maps_our_subjects_elsewhere_is_an_error() -> None:
    with NatsServer('mappings: {"ws.t.*": "elsewhere.$1"}') as server:
        assert one(await check(settings_of(server)), "delivery").level == "error"


@pytest.mark.needs("nats-server", "openssl")
async def test_an_encrypted_link_is_good(certificates: Certificates) -> None:
    with NatsServer(
        f'tls {{ cert_file: "{certificates.server_cert}", key_file: "{certificates.server_key}" }}'
    ) as server:
        servers = (ServerUrl("127.0.0.1", server.port),)
        findings = await check(NatsSettings(servers=servers, tls_ca_file=certificates.ca))
        assert one(findings, "encryption").text == "the link is encrypted"


@pytest.mark.needs("nats-server")
async def test_what_can_not_be_reached_is_one_line() -> None:
    with NatsServer() as server:
        server.kill()
        with pytest.raises(BrokerLost, match="connection refused"):
            await check(settings_of(server))


@pytest.mark.needs("nats-server")
async def test_a_refused_login_is_one_line() -> None:
    with (
        NatsServer("authorization { token: a }") as server,
        pytest.raises(BrokerLost, match="refused the login"),
    ):
        await check(settings_of(server))


@pytest.mark.parametrize(
    ("host", "level"),
    [("127.0.0.1", "ok"), ("::1", "ok"), ("localhost", "ok"), ("10.0.0.7", "warning"), ("nats", "warning")],
)
def test_a_link_in_the_clear_is_a_warning_beyond_this_machine(host: str, level: str) -> None:
    class Clear(Link):
        is_encrypted = False

    link = object.__new__(Clear)
    link.server = ServerUrl(host)
    assert _of_encryption(link).level == level


def test_one_server_of_a_cluster_is_a_warning_that_names_the_others() -> None:
    cluster = [f"10.0.0.{number}:4222" for number in range(3)]
    (found,) = _of_servers(cluster, (ServerUrl("nats"),))
    assert found.level == "warning"
    assert "10.0.0.0:4222, 10.0.0.1:4222, 10.0.0.2:4222" in found.text
    assert not [*_of_servers(cluster[:1], (ServerUrl("nats"),))]
    assert [found.level for found in _of_servers(cluster, (ServerUrl("a"), ServerUrl("b")))] == ["ok"]


@pytest.mark.parametrize(
    ("host", "info", "levels"),
    [
        ("127.0.0.1", {}, []),
        ("nats", {}, ["warning"]),
        ("nats", {"auth_required": True}, []),
        ("nats", {"tls_verify": True}, []),
    ],
)
def test_a_server_that_anyone_may_use(host: str, info: dict[str, bool], levels: list[str]) -> None:
    assert [found.level for found in judge_login(host, info)] == levels


@pytest.mark.needs("nats-server")
async def test_a_server_says_whether_it_asks_for_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wigwag_nats.check.is_loopback", lambda host: False)
    with NatsServer() as server:
        assert one(await check(settings_of(server)), "login").level == "warning"
    with NatsServer("authorization: { user: bob, password: secret }") as server:
        settings = replace(settings_of(server), user="bob", password=Secret("secret"))
        assert "login" not in [finding.subject for finding in await check(settings)]
