"""What can be set, and the one line for what can't."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from servers.certificates import Certificates
from wigwag.errors import SettingsError
from wigwag.factory import create_provider
from wigwag.settings import Secret, load_settings, variables
from wigwag_nats import NatsBroker, NatsSettings, ServerUrl

PREFIX = "WIGWAG_NATS_"


def load(environ: Mapping[str, str]) -> NatsSettings:
    return load_settings(NatsSettings, PREFIX, environ)


def test_defaults_reach_a_server_on_this_machine() -> None:
    settings = load({})
    assert [str(server) for server in settings.servers] == ["nats://127.0.0.1:4222"]
    assert (settings.prefix, settings.connect_timeout) == ("ws", 2)
    NatsBroker(settings)


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("nats://db", "nats://db:4222", ServerUrl("db")),
        ("nats://db:4223/", "nats://db:4223", ServerUrl("db", 4223)),
        (
            "tls://nats.example.com:4443",
            "tls://nats.example.com:4443",
            ServerUrl("nats.example.com", 4443, True),
        ),
        ("nats://[::1]:4222", "nats://[::1]:4222", ServerUrl("::1")),
        (
            "nats://ann:p%40ss@db",
            "nats://db:4222",
            ServerUrl("db", user="ann", password=Secret("p@ss")),
        ),
        ("nats://t0ken@db", "nats://db:4222", ServerUrl("db", token=Secret("t0ken"))),
    ],
)
def test_a_url_says_where_a_server_is_and_who_logs_in(text: str, shown: str, expected: ServerUrl) -> None:
    url = ServerUrl.parse(text)
    assert url == expected
    assert str(url) == shown
    assert url.has_login == ("@" in text)
    assert "p@ss" not in repr(url)
    assert "t0ken" not in repr(url)


@pytest.mark.parametrize(
    "text",
    [
        "db:4222",
        "ws://db:4222",
        "http://db",
        "nats://",
        "nats://:4222",
        "nats://db:0",
        "nats://db:99999",
        "nats://db:http",
        "nats://db/topics",
        "nats://db?x=1",
        "nats://@db",
        "nats://d b",
        "nats://[::1",
        "nats://db\x00",
        "nats://ann:hunter2@db:port",
        "nats://ann:hunter2@",
    ],
)
def test_a_wrong_url_is_one_line_that_names_the_variable_and_no_password(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({"WIGWAG_NATS_SERVERS": f"nats://a:4222,{text}"})
    message = str(raised.value)
    assert message.startswith("WIGWAG_NATS_SERVERS")
    assert "nats://HOST[:PORT]" in message
    assert "\n" not in message
    assert "hunter2" not in message
    assert raised.value.__cause__ is None


def test_several_servers_are_separated_by_commas() -> None:
    servers = load({"WIGWAG_NATS_SERVERS": "nats://a, tls://b:1"}).servers
    assert servers == (ServerUrl("a"), ServerUrl("b", 1, True))


def test_no_secret_is_shown() -> None:
    settings = load(
        {"WIGWAG_NATS_USER": "ann", "WIGWAG_NATS_PASSWORD": "hunter2", "WIGWAG_NATS_TOKEN": "hunter2"}
    )
    assert "hunter2" not in f"{settings!r} {settings}"


def test_every_setting_says_what_it_means() -> None:
    assert all(variable.help for variable in variables(NatsSettings, PREFIX))


@pytest.mark.parametrize("text", ["0", "-1", "soon"])
def test_the_timeout_is_above_zero(text: str) -> None:
    with pytest.raises(SettingsError, match="WIGWAG_NATS_CONNECT_TIMEOUT"):
        load({"WIGWAG_NATS_CONNECT_TIMEOUT": text})


@pytest.mark.parametrize("prefix", ["ws", "acme.live", "a_b-1.C"])
def test_a_prefix_is_a_subject(prefix: str) -> None:
    NatsBroker(NatsSettings(prefix=prefix))


@pytest.mark.parametrize(
    "prefix", ["", ".", "a.", ".a", "a..b", "a.*", ">", "a b", "$SYS", "a\n", "ä", "x" * 129]
)
def test_a_prefix_that_is_no_plain_subject_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="WIGWAG_NATS_PREFIX must be at most 128") as raised:
        NatsBroker(NatsSettings(prefix=prefix))
    assert raised.value.variable == "WIGWAG_NATS_PREFIX"


WITH_LOGIN = (ServerUrl("db", token=Secret("hunter2")),)


@pytest.mark.parametrize(
    ("variable", "says", "settings"),
    [
        ("SERVERS", "names no server", {"servers": ()}),
        ("PASSWORD", "a user and its password go together", {"user": "ann"}),
        ("USER", "a user and its password go together", {"password": Secret("hunter2")}),
        (
            "TOKEN",
            "a second login beside WIGWAG_NATS_USER",
            {"user": "ann", "password": Secret("hunter2"), "token": Secret("hunter2")},
        ),
        (
            "NKEY_SEED_FILE",
            "a second login beside WIGWAG_NATS_CREDENTIALS_FILE",
            {"credentials_file": Path("a"), "nkey_seed_file": Path("b")},
        ),
        ("SERVERS", "so does WIGWAG_NATS_TOKEN", {"servers": WITH_LOGIN, "token": Secret("hunter2")}),
        ("CREDENTIALS_FILE", "no file /not/here.creds", {"credentials_file": Path("/not/here.creds")}),
        ("NKEY_SEED_FILE", "no file /not/here.nk", {"nkey_seed_file": Path("/not/here.nk")}),
        ("TLS_CA_FILE", "no file /not/here.pem", {"tls_ca_file": Path("/not/here.pem")}),
        ("TLS_CERT_FILE", "no file /not/here.pem", {"tls_cert_file": Path("/not/here.pem")}),
        ("TLS_CERT_FILE", "they go together", {"tls_key_file": Path("/not/here.key")}),
    ],
)
def test_what_does_not_fit_together_is_one_line_that_names_the_variable(
    variable: str, says: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError) as raised:
        NatsBroker(NatsSettings(**settings))
    message = str(raised.value)
    assert message.startswith(f"WIGWAG_NATS_{variable} ")
    assert says in message
    assert raised.value.variable == f"WIGWAG_NATS_{variable}"
    assert "\n" not in message
    assert "hunter2" not in message


@pytest.mark.parametrize("field", ["credentials_file", "nkey_seed_file", "tls_ca_file", "tls_cert_file"])
@pytest.mark.parametrize("content", ["", "SUHUNTER2\n", "-----BEGIN NATS USER JWT-----\n"])
def test_a_file_that_holds_something_else_is_refused_and_not_shown(
    tmp_path: Path, field: str, content: str
) -> None:
    """nats-py reads a ``.creds`` file without an end for ever."""
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(SettingsError) as raised:
        NatsBroker(NatsSettings(**{field: path}))  # type: ignore[arg-type]
    message = str(raised.value)
    assert message.startswith(f"WIGWAG_NATS_{field.upper()} can't be used: ")
    assert "\n" not in message
    assert "SUHUNTER2" not in message


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="WIGWAG_NATS_NKEY_SEED_FILE can't be used: Is a directory"):
        NatsBroker(NatsSettings(nkey_seed_file=tmp_path))


@pytest.mark.needs("openssl")
def test_a_key_that_does_not_fit_its_certificate_is_refused(
    certificates: Certificates,
) -> None:
    with pytest.raises(SettingsError, match=r"TLS_CERT_FILE can't be used: .*fit its key"):
        NatsBroker(NatsSettings(tls_cert_file=certificates.client_cert, tls_key_file=certificates.server_key))


def test_the_provider_is_made_from_the_environment_and_nothing_connects() -> None:
    provider = create_provider(environ={"WIGWAG_PROVIDER": "nats", "WIGWAG_NATS_SERVERS": "nats://no.such:1"})
    assert provider.name == "nats"
