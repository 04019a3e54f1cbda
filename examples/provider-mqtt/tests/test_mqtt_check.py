"""What `wigwag check` finds, and TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mosquitto_server import LIMITS, Mosquitto, serving

from wigwag.broker import BrokerLost, Finding
from wigwag_mqtt import MqttSettings
from wigwag_mqtt.check import check
from wigwag_mqtt.link import connect

pytestmark = [pytest.mark.anyio, pytest.mark.needs("mosquitto")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, Path]:
    """A key, and the certificate that it signed itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, certificate


async def findings_of(settings: MqttSettings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in await check(settings)}


async def test_a_mosquitto_with_the_limits_of_the_readme_is_well(tmp_path: Path) -> None:
    # One of its own: on that of all tests, links were cut with messages under way, which it counts as dropped.
    with serving(tmp_path, "allow_anonymous true", *LIMITS) as server:
        findings = await findings_of(MqttSettings(url=server.url))
    assert {finding.level for finding in findings.values()} == {"ok"}
    assert findings["version"].text.startswith("mosquitto version")
    assert "1048576 bytes" in findings["size"].text


async def test_a_mosquitto_as_it_comes_takes_20_at_a_time(mosquitto_as_it_comes: Mosquitto) -> None:
    finding = (await findings_of(MqttSettings(url=mosquitto_as_it_comes.url)))["throughput"]
    assert finding.level == "warning"
    assert "max_inflight_messages" in finding.text


async def test_limits_and_rights_that_are_too_narrow(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite ws/#\n")
    lines = ("allow_anonymous true", f"acl_file {tmp_path}/acl", "max_packet_size 5000")
    with serving(tmp_path, *lines) as server:
        findings = await findings_of(MqttSettings(url=server.url))
    assert findings["size"].level == "warning"
    assert findings["drops"].level == "warning"
    assert "$SYS/broker/publish/messages/dropped" in findings["drops"].text


async def test_a_broker_that_is_not_there(free_port: int) -> None:
    with pytest.raises(BrokerLost, match="is it up"):
        await check(MqttSettings(url=f"mqtt://127.0.0.1:{free_port}"))


@pytest.mark.needs("openssl")
async def test_tls_is_verified(tmp_path: Path, identity: tuple[Path, Path]) -> None:
    key, certificate = identity
    with serving(tmp_path, f"certfile {certificate}", f"keyfile {key}", "allow_anonymous true") as server:
        url = server.url.replace("mqtt:", "mqtts:")
        findings = await findings_of(MqttSettings(url=url, ca_file=certificate))
        assert findings["encryption"] == Finding(
            "ok", "encryption", "TLS, with the broker's certificate verified"
        )
        stranger = MqttSettings(url=url)
        with pytest.raises(BrokerLost, match="WIGWAG_MQTT_CA_FILE"):
            await connect(stranger, stranger.tls_context())
