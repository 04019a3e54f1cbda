"""What can be set, and what is said of what can't."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from wigwag.errors import SettingsError
from wigwag.factory import create_provider
from wigwag.plugins import load
from wigwag.settings import Secret, load_settings
from wigwag_redis import RedisBroker, RedisClusterBroker, RedisSettings, RedisUrl
from wigwag_redis.check import make_broker
from wigwag_redis.url import Address

README = Path(__file__).parents[1] / "README.md"


def read(**environ: str) -> RedisSettings:
    return load_settings(RedisSettings, "WIGWAG_REDIS_", {f"WIGWAG_REDIS_{k}": v for k, v in environ.items()})


HERE = Address("127.0.0.1", 6379)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://127.0.0.1:6379", {"addresses": (HERE,)}),
        ("redis://127.0.0.1", {"addresses": (HERE,)}),
        ("redis://127.0.0.1:6379/3", {"addresses": (HERE,)}),
        ("redis://127.0.0.1/", {"addresses": (HERE,)}),
        ("redis://[::1]:7000", {"addresses": (Address("::1", 7000),)}),
        ("rediss://cache.example.com", {"addresses": (Address("cache.example.com", 6379),), "tls": True}),
        ("redis://:pw@127.0.0.1", {"addresses": (HERE,), "password": "pw"}),
        ("redis://bob:p%40s%2Fs@127.0.0.1", {"addresses": (HERE,), "username": "bob", "password": "p@s/s"}),
        ("redis://bob:p@ss@127.0.0.1", {"addresses": (HERE,), "username": "bob", "password": "p@ss"}),
        ("unix:///run/redis.sock", {"addresses": (Address("/run/redis.sock", 0),)}),
        (
            "unix://bob:pw@/run/redis.sock",
            {"addresses": (Address("/run/redis.sock", 0),), "username": "bob", "password": "pw"},
        ),
        (
            "redis+sentinel://bob:pw@a:1,b/live/2",
            {
                "kind": "sentinel",
                "addresses": (Address("a", 1), Address("b", 26379)),
                "service": "live",
                "username": "bob",
                "password": "pw",
            },
        ),
        (
            "rediss+sentinel://a/live",
            {"kind": "sentinel", "addresses": (Address("a", 26379),), "service": "live", "tls": True},
        ),
        (
            "redis+cluster://a:7000,[::1]:7001",
            {"kind": "cluster", "addresses": (Address("a", 7000), Address("::1", 7001))},
        ),
        ("rediss+cluster://a/0", {"kind": "cluster", "addresses": (Address("a", 6379),), "tls": True}),
    ],
)
def test_a_url_is_taken_apart(text: str, expected: dict[str, Any]) -> None:
    url = read(URL=text).url
    got = {field.name: getattr(url, field.name) for field in dataclasses.fields(url)}
    if got["password"] is not None:
        got["password"] = got["password"].reveal()
    defaults = {"kind": "server", "service": "", "tls": False, "username": None, "password": None}
    assert got == {**defaults, **expected}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "redis://",
        "redis://:6379",
        "redis://host:port",
        "redis://host:70000",
        "redis://host:0",
        "redis://a,b",
        "redis://host/name",
        "redis://host?db=1",
        "redis://host/0?ssl_cert_reqs=none",
        "redis:///0",
        "unix://run/redis.sock",
        "unix://",
        "redis+sentinel://a:1,b:2",
        "redis+sentinel://a/",
        "redis+sentinel:///live",
        "redis+cluster://a,,b",
        "redis+other://a",
        "redis://bob:secret@",
        "redis://bob:secret@host:x",
        "redis://bob:sec/ret@host",
    ],
)
def test_a_wrong_url_is_one_line_that_shows_no_password(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(URL=text)
    line = str(caught.value)
    assert caught.value.variable == "WIGWAG_REDIS_URL"
    assert line.startswith("WIGWAG_REDIS_URL")
    assert "redis+sentinel://" in line
    assert "\n" not in line
    assert "secret" not in line
    assert "sec/ret" not in line


def test_in_code_the_url_may_be_a_text() -> None:
    untyped: Any = RedisSettings
    assert untyped(url="redis://bob:pw@127.0.0.1").url == RedisUrl.parse("redis://bob:pw@127.0.0.1")
    with pytest.raises(SettingsError, match="the URL of Redis must be") as caught:
        untyped(url="secret@")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://bob:secret@host", "redis://bob:***@host:6379"),
        ("redis://:secret@[::1]:1/2", "redis://:***@[::1]:1"),
        ("redis://secret@host", "redis://***@host:6379"),
        ("unix://bob:secret@/run/r.sock", "unix://bob:***@/run/r.sock"),
        ("rediss+sentinel://:secret@a,b:1/live", "rediss+sentinel://:***@a:26379,b:1/live"),
        ("redis+cluster://a,b", "redis+cluster://a:6379,b:6379"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    settings = read(URL=text, PASSWORD="secret2")
    assert str(settings.url) == shown
    assert "secret" not in repr(settings)


def test_the_defaults() -> None:
    settings = read()
    assert settings.url == RedisUrl(addresses=(HERE,))
    assert (settings.key_prefix, settings.connect_timeout, settings.envelope) == ("ws", 2.0, "compact")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CONNECT_TIMEOUT", "0"), ("CONNECT_TIMEOUT", "-1"), ("CONNECT_TIMEOUT", "soon"), ("ENVELOPE", "xml")],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^WIGWAG_REDIS_{name}={value!r}: it must be "):
        read(**{name: value})


@pytest.mark.parametrize("envelope", ["compact", "json"])
@pytest.mark.parametrize("url", ["redis://a", "redis+cluster://a"])
def test_the_envelope_is_the_brokers(envelope: str, url: str) -> None:
    assert make_broker(read(URL=url, ENVELOPE=envelope)).envelope == envelope


def test_the_plugin_is_chosen_by_its_name() -> None:
    plugin = load("redis")
    assert isinstance(plugin.create(read()), RedisBroker)
    assert isinstance(plugin.create(read(URL="redis+cluster://a")), RedisClusterBroker)
    environ = {"WIGWAG_PROVIDER": "redis", "WIGWAG_REDIS_URL": "redis://a"}
    assert create_provider(environ=environ).name == "redis"


def test_each_broker_refuses_the_others_url() -> None:
    with pytest.raises(SettingsError, match="RedisClusterBroker"):
        RedisBroker(read(URL="redis+cluster://a"))
    with pytest.raises(SettingsError, match="a cluster's URL"):
        RedisClusterBroker(read())


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"KEY_PREFIX": ""}, "WIGWAG_REDIS_KEY_PREFIX: it must be a text like ws"),
        ({"KEY_PREFIX": " ws"}, "WIGWAG_REDIS_KEY_PREFIX: it must be a text like ws"),
        ({"USERNAME": "bob"}, "WIGWAG_REDIS_USERNAME: it needs a password"),
        (
            {"URL": "redis://secret@host"},
            "WIGWAG_REDIS_URL: it has a user without a password; a password is written",
        ),
        ({"SENTINEL_USERNAME": "bob"}, "WIGWAG_REDIS_SENTINEL_USERNAME: it needs a password"),
        ({"TLS_CA_FILE": "/ca.pem"}, "WIGWAG_REDIS_TLS_CA_FILE: the URL does not ask for TLS"),
    ],
)
def test_settings_that_do_not_fit_together(environ: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_broker(read(**environ))
    assert str(caught.value).startswith(line)
    assert line.startswith(f"{caught.value.variable}: ")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_tls_needs_and_that_is_not_there() -> None:
    with pytest.raises(
        SettingsError, match=r"^WIGWAG_REDIS_TLS_CA_FILE can't be used: there is no file /nowhere"
    ):
        make_broker(read(URL="rediss://a", TLS_CA_FILE="/nowhere/ca.pem"))


def test_a_password_that_is_set_counts_before_the_urls() -> None:
    settings = read(URL="redis://amy:one@a", USERNAME="bob", PASSWORD="two")
    assert make_broker(settings)._dialer.login == ("AUTH", "bob", "two")
    assert make_broker(read(URL="redis://amy:one@a"))._dialer.login == ("AUTH", "amy", "one")
    assert make_broker(read(PASSWORD="two"))._dialer.login == ("AUTH", "default", "two")
    assert make_broker(read())._dialer.login == ()


def test_a_secret_is_a_secret() -> None:
    assert isinstance(read(PASSWORD="two").password, Secret)
    assert isinstance(read(URL="redis://:two@a").url.password, Secret)
