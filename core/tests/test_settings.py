"""Settings from the environment: what is accepted, and what is said of what is not."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from wigwag.errors import SettingsError
from wigwag.settings import (
    CoreSettings,
    Listen,
    Origin,
    Secret,
    Secrets,
    ServiceSettings,
    check_unknown,
    is_service_link,
    load_settings,
    names,
    setting,
    variables,
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One field of each kind."""

    url: str = setting("redis://localhost", "Where.")
    retries: int = setting(3, "How often.", at_least=0)
    timeout_s: float = setting(2.0, "How long.")
    ratio: float = setting(0.5, "Which part.")
    buffer_bytes: int = setting(1024, "How much.", at_least=1)
    tls: bool = setting(False, "Whether.")
    mode: Literal["fast", "safe"] = setting("safe", "Which.")
    servers: tuple[str, ...] = setting((), "Which ones.")
    ca_file: Path | None = setting(None, "The certificate.")
    password: Secret | None = setting(None, "The password.")
    listen: Listen = setting(Listen("127.0.0.1", 1), "Where to listen.")
    origins: tuple[Origin, ...] = setting((), "Whose pages.")


def load(**environ: str) -> Example:
    return load_settings(Example, "WIGWAG_X_", {f"WIGWAG_X_{k}": v for k, v in environ.items()})


def test_what_is_not_set_has_its_default() -> None:
    assert load() == Example()


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("url", "unix:///run/redis", "unix:///run/redis"),
        ("url", "", ""),
        ("retries", "0", 0),
        ("retries", "12", 12),
        ("timeout_s", "0.25", 0.25),
        ("timeout_s", "1e-3", 0.001),
        ("ratio", "-1", -1.0),
        ("tls", "true", True),
        ("tls", "No", False),
        ("tls", "1", True),
        ("mode", "fast", "fast"),
        ("servers", "a:1, b:2,", ("a:1", "b:2")),
        ("servers", "", ()),
        ("ca_file", "/etc/ca.pem", Path("/etc/ca.pem")),
        ("ca_file", "", None),
        ("password", "s3cret", Secret("s3cret")),
        ("listen", "0.0.0.0:80", Listen("0.0.0.0", 80)),
        ("listen", "[::1]:8000", Listen("::1", 8000)),
        ("listen", ":8000", Listen("", 8000)),
        ("listen", "localhost:0", Listen("localhost", 0)),
        ("origins", "*", ("*",)),
        (
            "origins",
            "https://App.example.com,http://localhost:3000",
            ("https://app.example.com", "http://localhost:3000"),
        ),
    ],
)
def test_a_text_becomes_a_value(field: str, text: str, value: object) -> None:
    loaded = getattr(load(**{field.upper(): text}), field)
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "accepted"),
    [
        ("retries", "many", "a whole number of at least 0"),
        ("retries", "-1", "a whole number of at least 0"),
        ("retries", "1.5", "a whole number of at least 0"),
        ("retries", "1_000", "a whole number of at least 0"),
        ("retries", "٣", "a whole number of at least 0"),
        ("retries", "", "a whole number of at least 0"),
        ("retries", "9" * 5000, "a whole number of at least 0"),
        ("timeout_s", "0", "a number of seconds greater than 0"),
        ("timeout_s", "-2", "a number of seconds greater than 0"),
        ("timeout_s", "nan", "a number of seconds greater than 0"),
        ("timeout_s", "inf", "a number of seconds greater than 0"),
        ("timeout_s", "1e999", "a number of seconds greater than 0"),
        ("timeout_s", "2s", "a number of seconds greater than 0"),
        ("ratio", "1e400", "a number"),
        ("buffer_bytes", "64K", "a whole number of bytes of at least 1"),
        ("tls", "maybe", "true or false"),
        ("mode", "FAST", "fast or safe"),
        ("listen", "8000", "HOST:PORT"),
        ("listen", "localhost", "HOST:PORT"),
        ("listen", "localhost:70000", "HOST:PORT"),
        ("listen", "::1:8000", "HOST:PORT"),
        ("listen", "http://localhost:8000", "HOST:PORT"),
        ("origins", "app.example.com", "an origin like https://app.example.com"),
        ("origins", "https://app.example.com/path", "an origin like https://app.example.com"),
        ("origins", "https://app.example.com:99999", "an origin like https://app.example.com"),
        ("origins", "https://[::1", "an origin like https://app.example.com"),
    ],
)
def test_a_wrong_text_is_refused_with_the_variable_and_the_accepted_form(
    field: str, text: str, accepted: str
) -> None:
    variable = f"WIGWAG_X_{field.upper()}"
    with pytest.raises(SettingsError) as caught:
        load(**{field.upper(): text})
    message = str(caught.value)
    assert message.startswith(variable)
    assert accepted in message
    assert len(message) < 250
    assert caught.value.variable == variable


def test_the_value_is_shown_unless_it_may_hold_a_password() -> None:
    with pytest.raises(SettingsError, match=r"^WIGWAG_X_RETRIES='many': it must be"):
        load(RETRIES="many")
    with pytest.raises(SettingsError) as caught:
        load(LISTEN="redis://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_a_setting_without_default_must_be_set() -> None:
    @dataclass(frozen=True)
    class Required:
        servers: tuple[str, ...]

    with pytest.raises(SettingsError, match=r"^WIGWAG_Y_SERVERS is not set: it must be comma-separated"):
        load_settings(Required, "WIGWAG_Y_", {})


def test_a_secret_that_must_be_set_can_not_be_empty() -> None:
    @dataclass(frozen=True)
    class Required:
        key: Secret

    with pytest.raises(SettingsError, match=r"^WIGWAG_Y_KEY: it must be printable ASCII characters"):
        load_settings(Required, "WIGWAG_Y_", {"WIGWAG_Y_KEY": ""})
    assert variables(Required, "WIGWAG_Y_")[0].default == "(required)"


@pytest.mark.parametrize("type_", [dict[str, int], int | str, list[str], tuple[int, str], object])
def test_a_type_that_no_text_can_give_is_the_authors_fault(type_: Any) -> None:
    wrong = make_dataclass("Wrong", [("table", type_)], frozen=True)
    with pytest.raises(TypeError, match="the setting 'table' has the type"):
        load_settings(wrong, "WIGWAG_Y_", {})


def test_a_default_that_is_a_list_is_shown_as_it_would_be_written() -> None:
    @dataclass(frozen=True)
    class Several:
        servers: tuple[str, ...] = ("a:1", "b:2")
        made: int = field(default=1, init=False)

    assert [variable.default for variable in variables(Several, "WIGWAG_Y_")] == ["a:1,b:2"]


def test_names_are_upper_case_exactly() -> None:
    assert load_settings(Example, "WIGWAG_X_", {"wigwag_x_retries": "7"}) == Example()


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert not [text for text in shown if "hunter2" in text]
    assert "hunter2" not in repr(ServiceSettings(api_key=Secrets([secret])))
    assert secret.reveal() == "hunter2"
    assert type(secret.reveal()) is str


# Secrets in files


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    assert load(PASSWORD_FILE=str(tmp_path / "password")).password == Secret("hunter2")
    assert "WIGWAG_X_PASSWORD_FILE" in names(Example, "WIGWAG_X_")
    assert "WIGWAG_X_URL_FILE" not in names(Example, "WIGWAG_X_")


def test_it_stands_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    with pytest.raises(SettingsError) as caught:
        load(PASSWORD="hunter2", PASSWORD_FILE=str(tmp_path / "password"))
    assert str(caught.value) == (
        "WIGWAG_X_PASSWORD and WIGWAG_X_PASSWORD_FILE are both set: one of them says it"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file or directory"),
        (b"", "what stands in it must be printable ASCII characters"),
        (b"hunter2\nhunter3", "what stands in it must be printable ASCII characters"),
        (b"\xff", "it is no text"),
    ],
)
def test_a_file_that_can_not_be_used_is_said_and_not_shown(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^WIGWAG_X_PASSWORD_FILE={path}: {said}") as caught:
        load(PASSWORD_FILE=str(path))
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["API_KEY", "API_KEY_FILE", "JWT_SECRET", "JWT_SECRET_FILE", "JWKS_URL", "JWKS_FILE"]
)
def test_an_empty_one_does_not_open_what_it_was_to_close(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^WIGWAG_{name}"):
        load_settings(ServiceSettings, "WIGWAG_", {f"WIGWAG_{name}": ""})


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://id.example/keys", True),
        ("https://id.example:8443/keys?x=1", True),
        ("http://127.0.0.1:9/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]/keys", True),
        ("http://id.example/keys", False),
        ("http://localhost.evil.example/keys", False),
        ("http://127.0.0.1.evil.example/keys", False),
        ("https://user:hunter2@id.example/keys", False),
        ("https://id.example/keys#x", False),
        ("https:///keys", False),
        ("file:///etc/passwd", False),
        ("ftp://id.example/keys", False),
        ("https://id.example:99999/", False),
        ("https://id.example/ä", False),
    ],
)
def test_keys_are_fetched_over_https(text: str, is_one: bool) -> None:
    environ = {"WIGWAG_JWKS_URL": text}
    if is_one:
        assert load_settings(ServiceSettings, "WIGWAG_", environ).jwks_url == text
        return
    with pytest.raises(SettingsError, match=r"an https URL \(http only to this machine\)") as caught:
        load_settings(ServiceSettings, "WIGWAG_", environ)
    assert "hunter2" not in str(caught.value)


def test_each_setting_is_described_with_its_default_form_and_help() -> None:
    described = {variable.name: variable for variable in variables(Example, "WIGWAG_X_")}
    assert described["WIGWAG_X_TIMEOUT_S"] == (
        "WIGWAG_X_TIMEOUT_S",
        "2",
        "a number of seconds greater than 0",
        "How long.",
    )
    assert described["WIGWAG_X_TLS"].default == "false"
    assert described["WIGWAG_X_CA_FILE"].default == "(none)"
    assert described["WIGWAG_X_LISTEN"].default == "127.0.0.1:1"


@pytest.mark.parametrize("cls", [CoreSettings, ServiceSettings])
def test_a_default_is_what_its_description_would_give(cls: type[Any]) -> None:
    environ = {
        variable.name: variable.default
        for variable in variables(cls, "WIGWAG_")
        if variable.default != "(none)"
    }
    assert load_settings(cls, "WIGWAG_", environ) == cls()


# Unknown variables

KNOWN = {"WIGWAG_PROVIDER", "WIGWAG_LISTEN", "WIGWAG_LINGER_S", "WIGWAG_INTERNAL_LISTEN"}


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("WIGWAG_PROVIDR", "redis", "the nearest is WIGWAG_PROVIDER"),
        ("WIGWAG_LINGER", "3", "the nearest is WIGWAG_LINGER_S"),
        ("WIGWAG_PORT", "8001", "WIGWAG_LISTEN is"),
        ("WIGWAG_INTERNAL_PORT", "9001", "WIGWAG_INTERNAL_LISTEN is"),
        ("WIGWAG_HOST", "0.0.0.0", "WIGWAG_LISTEN is"),
        ("WIGWAG_XYZZY", "1", "docs/settings.md lists those that are"),
        ("WIGWAG_", "1", "docs/settings.md lists those that are"),
        ("WIGWAG_SERVICE_HOST", "example.com", "is no setting"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(name: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is no setting of wigwag; ") as caught:
        check_unknown({name: value, "PATH": "/bin", "WIGWAG_LISTEN": ":80"}, KNOWN, [])
    assert hint in str(caught.value)
    assert caught.value.variable == name


def test_a_variable_of_another_provider_is_left_alone() -> None:
    environ = {"WIGWAG_REDIS_URL": "redis://x", "WIGWAG_MY_QUEUE_TOPIC": "t"}
    check_unknown(environ, KNOWN, ["redis", "my-queue"])
    with pytest.raises(SettingsError, match="WIGWAG_MY_QUEUE_TOPIC"):
        check_unknown(environ, KNOWN, ["redis"])


SERVICE_LINKS = [
    ("WIGWAG_PORT", "tcp://10.0.0.7:8000"),
    ("WIGWAG_PORT", "udp://[fd00::7]:8000"),
    ("WIGWAG_SERVICE_HOST", "10.0.0.7"),
    ("WIGWAG_SERVICE_HOST", "fd00::7"),
    ("WIGWAG_SERVICE_PORT", "8000"),
    ("WIGWAG_SERVICE_PORT_HTTP", "8000"),
    ("WIGWAG_PORT_8000_TCP", "tcp://10.0.0.7:8000"),
    ("WIGWAG_PORT_8000_TCP_ADDR", "10.0.0.7"),
    ("WIGWAG_PORT_8000_TCP_PORT", "8000"),
    ("WIGWAG_PORT_8000_TCP_PROTO", "tcp"),
    ("WIGWAG_INTERNAL_SERVICE_HOST", "10.0.0.7"),
    ("WIGWAG_INTERNAL_PORT", "tcp://10.0.0.7:9000"),
    ("WIGWAG_INTERNAL_PORT_9000_TCP_ADDR", "10.0.0.7"),
    ("WIGWAG_REDIS_MASTER_PORT", "tcp://10.0.0.7:6379"),
]


@pytest.mark.parametrize(("name", "value"), SERVICE_LINKS)
def test_what_kubernetes_writes_for_a_service_is_ignored(name: str, value: str) -> None:
    assert is_service_link(name, value)
    check_unknown({name: value}, KNOWN, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WIGWAG_PORT", "8001"),
        ("WIGWAG_PORT", "http://10.0.0.7:8000"),
        ("WIGWAG_SERVICE_HOST", "wigwag.example.com"),
        ("WIGWAG_SERVICE_PORT", "http"),
        ("WIGWAG_PORT_8000_TCP_PROTO", "quic"),
        ("WIGWAG_PORT_HTTP_TCP_PORT", "8000"),
        ("WIGWAGGLE_PORT", "tcp://10.0.0.7:8000"),
        ("WIGWAG_LISTEN", "tcp://10.0.0.7:8000"),
    ],
)
def test_what_only_looks_like_it_is_not(name: str, value: str) -> None:
    assert not is_service_link(name, value)


def test_a_service_link_does_not_set_a_plugins_setting() -> None:
    @dataclass(frozen=True)
    class Mqtt:
        port: int = 1883

    environ = {"WIGWAG_MQTT_PORT": "tcp://10.0.0.7:1883"}
    assert load_settings(Mqtt, "WIGWAG_MQTT_", environ) == Mqtt()
    assert load_settings(Mqtt, "WIGWAG_MQTT_", {"WIGWAG_MQTT_PORT": "8883"}).port == 8883


@pytest.mark.parametrize("cls", [CoreSettings, ServiceSettings])
def test_no_setting_of_ours_could_be_taken_for_a_service_link(cls: type[Any]) -> None:
    assert not [v.name for v in variables(cls, "WIGWAG_") if v.name.endswith("_PORT")]
