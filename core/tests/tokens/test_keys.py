"""Keys: which are taken from a set, and what is said of the others."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from signing import SECRET, jwk, jwks, pem, secrets
from wigwag.errors import SettingsError
from wigwag.tokens import keys as keys_module
from wigwag.tokens.keys import Keys, keys_of_jwks, keys_of_secrets

ALLOWED = ("RS256", "ES256", "EdDSA")


def read(*members: Any) -> Keys:
    return keys_of_jwks(jwks(*members), ALLOWED)


def test_a_secret_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 characters"):
        keys_of_secrets(secrets(SECRET, "short"))


def test_a_public_key_is_no_secret() -> None:
    with pytest.raises(ValueError, match="a PEM file is no secret"):
        keys_of_secrets(secrets(" ".join(pem("ES256").split("\n"))))


def test_no_more_secrets_than_a_token_is_tried_with() -> None:
    with pytest.raises(ValueError, match="at most 4 secrets"):
        keys_of_secrets(secrets(*(f"{SECRET}{number}" for number in range(5))))


def test_a_key_never_shows_what_it_is_made_of() -> None:
    (key,) = keys_of_secrets(secrets()).candidates("HS256", None)
    assert repr(key) == "<Key None for HS256>"


LEFT_OUT = {
    "for encryption": jwk("RS256", use="enc"),
    "to sign with": jwk("RS256", key_ops=["sign"]),
    "with operations that are none": jwk("RS256", key_ops="verify"),
    "an id that is no text": jwk("RS256", kid=7),
    "another algorithm than is taken": jwk("RS256", alg="RS512"),
    "another curve than is taken": jwk("ES384"),
    "an algorithm of another kind": jwk("RS256", alg="HS256"),
    "an algorithm that is a list": jwk("RS256", alg=["RS256"]),
    "a kind that nobody knows": {"kty": "XYZ", "kid": "x"},
    "no kind": {"kid": "x"},
    "a kind that is a list": {"kty": ["RSA"]},
    "a curve that is a list": {"kty": "EC", "crv": ["P-256"]},
}


@pytest.mark.parametrize("member", LEFT_OUT.values(), ids=list(LEFT_OUT))
def test_what_is_for_something_else_is_left_out(member: dict[str, Any]) -> None:
    keys = read(member, jwk("ES256", kid="good"))
    assert len(keys) == 1
    assert keys.algorithms == {"ES256"}


BROKEN = {
    "a private key": (
        jwk("RS256", private=True, kid="leaked"),
        "holds a private key or a secret (kid 'leaked')",
    ),
    "a secret, said to be a key": (
        jwk("RS256", k="c2VjcmV0", kid="leaked"),
        "holds a private key or a secret",
    ),
    "too small": (jwk("RSA-1024", kid="small"), "has less than 2048 bits"),
    "not readable": ({"kty": "RSA", "kid": "bad", "n": "!", "e": "AQAB"}, "can't be read (kid 'bad')"),
    "not on its curve": (jwk("ES256", kid="bad", x="AAAA"), "can't be read (kid 'bad')"),
    "without its numbers": ({"kty": "OKP", "crv": "Ed25519", "kid": "bad"}, "can't be read (kid 'bad')"),
}


@pytest.mark.parametrize(("member", "said"), BROKEN.values(), ids=list(BROKEN))
def test_what_must_not_be_trusted_is_left_out_and_said(
    caplog: pytest.LogCaptureFixture, member: dict[str, Any], said: str
) -> None:
    with caplog.at_level(logging.WARNING):
        keys = read(member, jwk("ES256", kid="good"))
    assert len(keys) == 1
    assert said in caplog.text
    if "d" in member:
        assert member["d"] not in caplog.text


def test_a_symmetric_key_of_a_set_is_nobodys_secret() -> None:
    with pytest.raises(ValueError, match="it has no public key for ES256, EdDSA, RS256"):
        read({"kty": "oct", "k": "c2VjcmV0" * 8, "alg": "HS256"})


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"<html>", b'{"keys": {}}', b'{"keys": [7]}', b"\xff", b'{"keys": ' + b"[" * 5000],
)
def test_what_is_no_key_set_is_said(document: bytes) -> None:
    with pytest.raises(ValueError, match=r'it is no JWK Set, like \{"keys": \[…\]\}'):
        keys_of_jwks(document, ALLOWED)


def test_a_set_is_of_bounded_size() -> None:
    document = json.dumps({"keys": [{}] * 101}).encode()
    with pytest.raises(ValueError, match="it has 101 keys, and at most 100 are taken"):
        keys_of_jwks(document, ALLOWED)


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "has_crypto", False)
    with pytest.raises(SettingsError) as caught:
        read(jwk("ES256"))
    assert str(caught.value) == "tokens are to be verified by public keys: pip install 'wigwag[jwks]'"
