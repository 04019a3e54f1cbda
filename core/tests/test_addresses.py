"""What is listened on: who could reach it, and what is said where it can't be."""

from __future__ import annotations

import socket

import pytest

from wigwag.errors import SettingsError
from wigwag.service.addresses import CannotServe, bind, check_exposure, is_local
from wigwag.settings import JwksUrl, Listen, SecretFile, Secrets, ServiceSettings

HERE = Listen("127.0.0.1", 0)
EVERYWHERE = Listen("", 0)


def unknown_name(*args: object, **kwargs: object) -> list[object]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")],
        *[(host, False) for host in ("", "0.0.0.0", "::", "192.0.2.7")],
    ],
)
def test_only_loopback_is_local(host: str, local: bool) -> None:
    assert is_local(Listen(host, 0)) is local


def test_a_name_that_is_unknown_is_not_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    assert not is_local(Listen("chat.example", 0))


KEYS = Secrets.parse("x" * 32)


@pytest.mark.parametrize(
    "settings",
    [
        ServiceSettings(listen=HERE, internal_listen=HERE),
        ServiceSettings(listen=EVERYWHERE, insecure=True),
        ServiceSettings(listen=EVERYWHERE, jwt_secret=KEYS),
        ServiceSettings(listen=EVERYWHERE, jwt_secret_file=SecretFile("/run/secrets/jwt")),
        ServiceSettings(listen=EVERYWHERE, jwks_url=JwksUrl("https://id.example/jwks")),
        ServiceSettings(listen=EVERYWHERE, jwks_file=SecretFile("/run/jwks")),
        ServiceSettings(internal_listen=EVERYWHERE, api_key=KEYS),
        ServiceSettings(internal_listen=EVERYWHERE, api_key_file=SecretFile("/run/secrets/keys")),
    ],
)
def test_what_is_meant_is_let_through(settings: ServiceSettings) -> None:
    check_exposure(settings, stock=True)


@pytest.mark.parametrize(
    "settings", [ServiceSettings(listen=EVERYWHERE), ServiceSettings(listen=EVERYWHERE, api_key=KEYS)]
)
def test_without_tokens_it_is_not_open_and_one_line_says_what_to_set(settings: ServiceSettings) -> None:
    with pytest.raises(SettingsError, match=r"^WIGWAG_LISTEN=:0 .* set WIGWAG_JWT_SECRET or WIGWAG_JWKS_URL"):
        check_exposure(settings, stock=True)


def test_an_application_of_ones_own_may_listen_anywhere() -> None:
    check_exposure(ServiceSettings(listen=EVERYWHERE), stock=False)
    with pytest.raises(SettingsError, match="WIGWAG_INTERNAL_LISTEN=:0 is open to other machines"):
        check_exposure(ServiceSettings(internal_listen=EVERYWHERE, jwt_secret=KEYS), stock=False)


def test_no_host_is_every_address() -> None:
    with bind(EVERYWHERE, "WIGWAG_LISTEN", "--listen") as bound:
        bound.listen()
        with socket.create_connection(("127.0.0.1", bound.getsockname()[1]), timeout=5):
            pass


def test_no_host_does_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with bind(EVERYWHERE, "WIGWAG_LISTEN", "--listen") as bound:
        assert bound.family is socket.AF_INET


def test_what_can_not_be_bound_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind(HERE, "WIGWAG_LISTEN", "--listen") as bound:
        bound.listen()
        taken = Listen(*bound.getsockname())
        with pytest.raises(CannotServe) as caught:
            bind(taken, "WIGWAG_LISTEN", "--listen")
    expected = (
        f"can't listen on {taken}: address already in use; choose another with --listen (WIGWAG_LISTEN)"
    )
    assert str(caught.value) == expected
    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    with pytest.raises(CannotServe, match=r"^can't listen on chat\.example:80: name or service not known"):
        bind(Listen("chat.example", 80), "WIGWAG_LISTEN", "--listen")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not on this machine: Linux only")
def test_a_peer_that_takes_nothing_does_not_keep_its_socket_for_ever() -> None:
    with bind(HERE, "WIGWAG_LISTEN", "--listen") as bound, socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 40_000
