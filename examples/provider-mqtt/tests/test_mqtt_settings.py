"""What is taken as a setting, and that a password is in no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from wigwag.errors import SettingsError
from wigwag.settings import Secret, load_settings
from wigwag_mqtt import MqttBroker, MqttSettings


@pytest.mark.parametrize(
    ("url", "host", "port", "user"),
    [
        ("mqtt://broker", "broker", 1883, None),
        ("mqtts://broker", "broker", 8883, None),
        ("mqtt://ann@broker:1900", "broker", 1900, "ann"),
        ("mqtt://a%40b@[::1]:1/", "::1", 1, "a@b"),
    ],
)
def test_a_url_says_where_and_as_whom(url: str, host: str, port: int, user: str | None) -> None:
    settings = MqttSettings(url=url)
    assert (settings.host, settings.port, settings.user) == (host, port, user)


@pytest.mark.parametrize(
    "url",
    ["broker", "redis://broker", "mqtt://", "mqtt://b:0", "mqtt://b:x", "mqtt://ann:hunter2@b", "mqtt://b/x"],
)
def test_what_is_no_url_of_a_broker_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="WIGWAG_MQTT_URL") as caught:
        load_settings(MqttSettings, "WIGWAG_MQTT_", {"WIGWAG_MQTT_URL": url})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "a/+", "#", "$share/all", "/a", "a/"])
def test_a_prefix_that_means_something_to_mqtt_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="WIGWAG_MQTT_PREFIX"):
        MqttSettings(prefix=prefix)


def test_a_prefix_may_have_levels() -> None:
    assert MqttSettings(prefix="plant/ws").prefix == "plant/ws"


def test_a_ca_file_that_is_none_is_named_at_the_start(tmp_path: Path) -> None:
    settings = MqttSettings(url="mqtts://broker", ca_file=tmp_path / "absent.pem")
    with pytest.raises(SettingsError, match="WIGWAG_MQTT_CA_FILE"):
        MqttBroker(settings)


def test_a_password_is_in_no_text() -> None:
    assert "hunter2" not in repr(MqttSettings(password=Secret("hunter2")))
