"""Tokens: which are taken, and that of the others none gets anywhere."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import (
    OTHER_SECRET,
    SECRET,
    claims,
    forged,
    jwk,
    jwks,
    part,
    pem,
    secrets,
    signed,
    token,
)
from wigwag.patterns import Pattern
from wigwag.tokens.keys import Keys, keys_of_jwks, keys_of_secrets
from wigwag.tokens.making import make_token
from wigwag.tokens.verifying import (
    EXPIRED,
    MAX_TOKEN_BYTES,
    NOT_VALID,
    Grant,
    Rules,
    TokenRefused,
    UnknownKey,
    Verifier,
)

RSA = ("RS256", "ES256", "EdDSA")


def verify(text: str, keys: Keys | None = None, **rules: Any) -> Grant:
    trusted = keys_of_secrets(secrets()) if keys is None else keys
    return Verifier(lambda: trusted, Rules(**rules)).verify(text)


def refused(text: str, keys: Keys | None = None, **rules: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        verify(text, keys, **rules)
    assert text not in str(caught.value) or not text
    return caught.value


def public(*members: dict[str, Any], allowed: tuple[str, ...] = RSA) -> Keys:
    return keys_of_jwks(jwks(*members), allowed)


def test_the_numbers_are_for_whose_token_says_true_and_another_meaning_does_no_harm() -> None:
    assert verify(token(stats=True)).stats
    for other in (False, None, 1, "true", {"goals": 3}):
        assert not verify(token(stats=other)).stats
    assert not verify(token()).stats


def test_a_token_says_who_may_do_what_and_until_when() -> None:
    until = int(time.time()) + 60
    grant = verify(token(sub="ann", exp=until, topics=["orders:*", "user:{sub}"], publish=["chat:*"]))
    assert (grant.user, grant.expires_at) == ("ann", until)
    assert [grant.may_join(t) for t in ("orders:7", "user:ann", "user:bob", "chat:1")] == [
        True,
        True,
        False,
        False,
    ]
    assert [grant.may_publish(t) for t in ("chat:1", "orders:7", "__broadcast__")] == [True, False, False]


def test_a_token_that_names_no_topics_grants_none() -> None:
    grant = verify(token(topics=None))
    assert not grant.may_join("orders:7")
    assert not grant.may_publish("orders:7")


def test_what_each_may_do_comes_beside_what_its_token_says() -> None:
    rules: Any = {"topics": (Pattern("user:{sub}"),), "publish": (Pattern("chat:*"),)}
    grant = verify(token(sub="bob", topics=["orders:*"]), **rules)
    assert [grant.may_join(t) for t in ("orders:7", "user:bob", "user:ann")] == [True, True, False]
    assert grant.may_publish("chat:1")


def test_a_token_that_we_make_is_taken() -> None:
    made = make_token(
        secrets()[0], "ann", topics=["a"], publish=["b"], ttl_s=60, audience="chat", issuer="https://me"
    )
    grant = verify(made, audiences=["chat"], issuers=["https://me"])
    assert (grant.user, grant.may_join("a"), grant.may_publish("b")) == ("ann", True, True)


FORGED = {
    "no signature at all": (lambda: f"{part({'alg': 'none'})}.{part(claims())}.", "algorithm"),
    "alg none, in capitals": (lambda: f"{part({'alg': 'NONE'})}.{part(claims())}.", "algorithm"),
    "alg none, signed": (lambda: forged({"alg": "none"}), "algorithm"),
    "an empty algorithm": (lambda: forged({"alg": ""}), "algorithm"),
    "an algorithm that is none": (lambda: forged({"alg": ["HS256"]}), "malformed"),
    "no algorithm": (lambda: forged({"typ": "JWT"}), "malformed"),
    "another HMAC than ours": (lambda: token(SECRET * 2, "HS512"), "algorithm"),
    "a public key's algorithm, where there is none": (lambda: signed("RS256"), "algorithm"),
    "another secret": (lambda: token(OTHER_SECRET), "signature"),
    "no signature, of HS256": (lambda: token().rpartition(".")[0] + ".", "signature"),
    "claims exchanged": (
        lambda: ".".join([(t := token().split("."))[0], part(claims(sub="root")), t[2]]),
        "signature",
    ),
    "a header exchanged": (
        lambda: ".".join([part({"alg": "HS256", "x": 1}), *token().split(".")[1:]]),
        "signature",
    ),
    "a signature cut short": (lambda: token()[:-3], "signature"),
    "critical headers that nobody knows": (
        lambda: forged({"alg": "HS256", "crit": ["x"], "x": 1}),
        "malformed",
    ),
    "a payload that is elsewhere": (
        lambda: forged({"alg": "HS256", "b64": False, "crit": ["b64"]}),
        "malformed",
    ),
    "a key id that is no text": (lambda: forged({"alg": "HS256", "kid": {"a": 1}}), "malformed"),
    "nothing": (lambda: "", "malformed"),
    "dots": (lambda: "..", "malformed"),
    "one part": (lambda: part({"alg": "HS256"}), "malformed"),
    "five parts, as of an encrypted one": (lambda: token() + ".a.b", "malformed"),
    "a header that is no JSON": (lambda: forged(b"{"), "malformed"),
    "a header that is no object": (lambda: forged([1]), "malformed"),
    "a header that is nested": (lambda: forged(b"[" * 3000), "malformed"),
    "claims that are no object": (lambda: forged({"alg": "HS256"}, [1]), "malformed"),
    "claims that are nested": (lambda: forged({"alg": "HS256"}, b"[" * 3000), "malformed"),
    "letters that are no token's": (lambda: "ä.ö.ü", "malformed"),
    "a lone surrogate": (lambda: "\ud800.a.b", "malformed"),
    "one that is too large": (lambda: token(x="x" * MAX_TOKEN_BYTES), "size"),
    "expired": (lambda: token(exp=int(time.time()) - 1), "expired"),
    "expired in 1970": (lambda: token(exp=0), "expired"),
    "not valid yet": (lambda: token(nbf=int(time.time()) + 60), "not yet valid"),
    "issued in the future": (lambda: token(iat=int(time.time()) + 60), "not yet valid"),
    "without end": (lambda: token(exp=None), "claims"),
    "an end that is a text": (lambda: token(exp=str(int(time.time()) + 60)), "claims"),
    "an end that is no number": (lambda: forged({"alg": "HS256"}, b'{"sub":"ann","exp":NaN}'), "malformed"),
    "an end that is infinite": (
        lambda: forged({"alg": "HS256"}, b'{"sub":"ann","exp":Infinity}'),
        "malformed",
    ),
    "an end that no clock has": (lambda: token(exp=10**300), "claims"),
    "an end that is true": (lambda: token(exp=True), "expired"),
    "nobody's": (lambda: token(sub=None), "claims"),
    "nobody's, by an empty name": (lambda: token(sub=""), "claims"),
    "a number's": (lambda: forged({"alg": "HS256"}, claims(sub=7)), "malformed"),
    "a name that is too long": (lambda: token(sub="x" * 257), "claims"),
    "topics that are a text": (lambda: token(topics="orders:*"), "claims"),
    "topics that are numbers": (lambda: token(topics=[7]), "claims"),
    "a topic that is reserved": (lambda: token(topics=["__broadcast__"]), "claims"),
    "a topic that is no pattern": (lambda: token(topics=["orders*"]), "claims"),
    "publishing that is no pattern": (lambda: token(publish=[""]), "claims"),
    "too many topics": (lambda: token(topics=["a"] * 101), "claims"),
    "for an audience, where there is none": (lambda: token(aud="chat"), "audience"),
}


@pytest.mark.parametrize(("make", "reason"), FORGED.values(), ids=list(FORGED))
def test_no_other_token_is_taken(make: Any, reason: str) -> None:
    exc = refused(make())
    assert exc.reason == reason
    assert exc.text == (EXPIRED if reason == "expired" else NOT_VALID)


@pytest.mark.parametrize(
    ("given_", "rules", "reason"),
    [
        ({"aud": "mail"}, {"audiences": ["chat"]}, "audience"),
        ({"aud": ["mail", "news"]}, {"audiences": ["chat"]}, "audience"),
        ({}, {"audiences": ["chat"]}, "audience"),
        ({"aud": {"chat": 1}}, {"audiences": ["chat"]}, "audience"),
        ({"aud": ["chat", 7]}, {"audiences": ["chat"]}, "audience"),
        ({"iss": "https://evil.example"}, {"issuers": ["https://id.example"]}, "issuer"),
        ({"iss": "https://id.example/"}, {"issuers": ["https://id.example"]}, "issuer"),
        ({"iss": "https://id"}, {"issuers": ["https://id.example"]}, "issuer"),
        ({"iss": ["https://id.example"]}, {"issuers": ["https://id.example"]}, "issuer"),
        ({}, {"issuers": ["https://id.example"]}, "issuer"),
    ],
)
def test_a_token_for_or_of_somebody_else_is_refused(given_: Any, rules: Any, reason: str) -> None:
    assert refused(forged({"alg": "HS256"}, claims(**given_)), **rules).reason == reason


def test_one_of_several_audiences_and_issuers_will_do() -> None:
    text = token(aud=["x", "chat"], iss="https://b")
    assert verify(text, audiences=["mail", "chat"], issuers=["https://a", "https://b"]).user == "ann"


def test_clocks_may_differ_by_so_much() -> None:
    now = int(time.time())
    grant = verify(token(exp=now - 5, nbf=now + 5), leeway_s=10)
    assert grant.expires_at == now + 5
    assert refused(token(exp=now - 11), leeway_s=10).reason == "expired"


def test_of_several_secrets_each_counts() -> None:
    both = keys_of_secrets(secrets(SECRET, OTHER_SECRET))
    assert verify(token(SECRET), both).user == verify(token(OTHER_SECRET), both).user == "ann"
    assert refused(token("a third one, of nobody in particular"), both).reason == "signature"
    assert refused(token(OTHER_SECRET, exp=1), both).reason == "expired"


@pytest.mark.parametrize("kind", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_public_keys_of_each_kind(kind: str) -> None:
    keys = public(jwk(kind, kid="k"), allowed=(kind,))
    assert verify(signed(kind, headers={"kid": "k"}), keys).user == "ann"
    assert verify(signed(kind), keys).user == "ann"
    assert refused(signed(kind, 1), keys).reason == "signature"


def test_an_algorithm_that_was_not_asked_for_is_refused_though_the_key_could() -> None:
    keys = public(jwk("RS256", kid="k"), allowed=("RS256",))
    assert refused(signed("RS512"), keys).reason == "algorithm"
    assert refused(signed("PS256"), keys).reason == "algorithm"


def test_a_key_is_for_the_algorithm_that_it_says() -> None:
    keys = public(jwk("RS256", kid="k", alg="RS512"), allowed=("RS256", "RS512"))
    assert keys.algorithms == {"RS512"}
    assert refused(signed("RS256"), keys).reason == "algorithm"


@pytest.mark.parametrize("shape", ["pem", "jwk", "n"])
def test_a_public_key_is_never_taken_for_a_secret(shape: str) -> None:
    member = jwk("RS256", kid="k")
    keys = public(member)
    shapes: dict[str, Any] = {
        "pem": pem("RS256"),
        "jwk": json.dumps(member),
        "n": base64.urlsafe_b64decode(member["n"] + "=="),
    }
    for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "k"}):
        assert refused(forged(header, secret=shapes[shape]), keys).reason == "algorithm"
    # And not where there is a secret, too.
    both = keys + keys_of_secrets(secrets())
    assert refused(forged({"alg": "HS256", "kid": "k"}, secret=shapes[shape]), both).reason == "signature"
    assert verify(token(), both).user == verify(signed("RS256"), both).user == "ann"


def test_a_key_that_is_not_known_is_told_apart_since_there_may_be_a_newer_one() -> None:
    keys = public(jwk("RS256", kid="old"))
    assert isinstance(refused(signed("RS256", headers={"kid": "new"}), keys), UnknownKey)
    # A key id says nothing of who may be trusted.
    assert refused(signed("RS256", 1, headers={"kid": "old"}), keys).reason == "signature"


@pytest.mark.parametrize("name", ["../../dev/null", "k' OR '1'='1", "", "k\x00", "K", "x" * 5000])
def test_a_key_id_is_compared_and_nothing_else(name: str) -> None:
    keys = public(jwk("RS256", kid="k"))
    assert isinstance(refused(signed("RS256", headers={"kid": name}), keys), UnknownKey)


def test_keys_that_share_an_id_are_told_apart_by_their_kind() -> None:
    keys = public(jwk("RS256", kid="k"), jwk("ES256", kid="k"), jwk("RS256", 1, kid="k"))
    for text in (signed("RS256", headers={"kid": "k"}), signed("ES256", headers={"kid": "k"})):
        assert verify(text, keys).user == "ann"
    assert verify(signed("RS256", 1, headers={"kid": "k"}), keys).user == "ann"


def test_a_token_without_a_key_id_is_tried_with_few() -> None:
    keys = public(*(jwk("ES256", number, kid=str(number)) for number in range(6)))
    assert verify(signed("ES256", 3), keys).user == "ann"
    assert refused(signed("ES256", 5), keys).reason == "signature"
    assert verify(signed("ES256", 5, headers={"kid": "5"}), keys).user == "ann"


def test_without_keys_nothing_is_taken() -> None:
    assert refused(token(), Keys()).reason == "algorithm"


@settings(deadline=None)
@given(
    st.text("ab.=-_é\0", max_size=60)
    | st.binary(max_size=60).map(lambda data: f"{part(data)}.{part(data)}.{part(data)}")
)
def test_whatever_a_stranger_sends_is_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        verify(text)


@settings(deadline=None)
@given(st.data())
def test_no_change_of_a_token_is_taken(data: st.DataObject) -> None:
    good = token()
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda letter: letter != good[at]))
    changed = good[:at] + other + good[at + 1 :]
    with pytest.raises(TokenRefused):
        verify(changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a:*_", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
    max_leaves=5,
)
CLAIM = st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "jti", "topics", "publish"])


@settings(deadline=None)
@given(st.dictionaries(CLAIM, JSON))
def test_whatever_a_trusted_issuer_writes_is_taken_or_refused(body: dict[str, Any]) -> None:
    try:
        grant = verify(forged({"alg": "HS256"}, json.dumps(body).encode()))
    except TokenRefused:
        return
    assert grant.user == body["sub"]
    assert grant.expires_at > time.time()
