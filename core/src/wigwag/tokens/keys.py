"""What tokens are verified with: secrets of ours, or the public keys of whoever issues them (RFC 7517).  Sans-I/O.

A key says which algorithms it is for, and no token is verified by another: what a token says of itself picks among keys
that are trusted for that algorithm, so that neither ``none`` nor a public key taken for a secret gets anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from jwt.algorithms import has_crypto

from wigwag.errors import SettingsError
from wigwag.settings import Secret

logger: logging.Logger = logging.getLogger("wigwag.tokens")

#: The algorithm of secrets; that of public keys is the setting's, and the key's, to say.
SECRET_ALGORITHM: Final = "HS256"
#: RFC 7518, section 3.2: a key of at least the hash's size.
LEAST_SECRET_BYTES: Final = 32
#: RFC 7518, section 3.3.
LEAST_RSA_BITS: Final = 2048
#: A token that names no key, or one that several have, is tried with so many and no more.
MOST_TRIED: Final = 4
MOST_KEYS: Final = 100

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_EDWARDS: Final = ("Ed25519", "Ed448")
#: What nobody may publish of a key.
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True)
class Key:
    """One key, and the algorithms that it is trusted for.  ``id`` is its ``kid``, if it has one."""

    id: str | None
    algorithms: frozenset[str]
    material: Any

    def __repr__(self) -> str:  # no secret ever
        return f"<Key {self.id!r} for {', '.join(sorted(self.algorithms))}>"


class Keys:
    """All that are trusted at the moment."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._keys = tuple(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __add__(self, other: Keys) -> Keys:
        return Keys(self._keys + other._keys)

    @property
    def algorithms(self) -> frozenset[str]:
        """All those for which there is a key."""
        return frozenset[str]().union(*(key.algorithms for key in self._keys))

    def candidates(self, algorithm: str, id: str | None) -> Sequence[Key]:
        """The keys that may have signed a token which says this of itself: few, and mostly one."""
        fit = [key for key in self._keys if algorithm in key.algorithms]
        if id is not None:
            # A key without an id may be of any: secrets have none.
            fit = [key for key in fit if key.id is None or key.id == id]
        return fit[:MOST_TRIED]


def keys_of_secrets(secrets: Sequence[Secret]) -> Keys:
    """Keys that sign as well as verify.

    Raises:
        ValueError: one is too short to withstand guessing, or there are too many to try.
    """
    if len(secrets) > MOST_TRIED:
        raise ValueError(f"at most {MOST_TRIED} secrets for tokens can count at once")
    for secret in secrets:
        if "-----BEGIN" in secret.reveal():
            raise ValueError(
                "a PEM file is no secret for tokens: public keys go into a JWK Set (WIGWAG_JWKS_FILE)"
            )
        if len(secret.reveal().encode()) < LEAST_SECRET_BYTES:
            raise ValueError(f"a secret for tokens has at least {LEAST_SECRET_BYTES} characters")
    algorithms = frozenset((SECRET_ALGORITHM,))
    return Keys([Key(None, algorithms, secret.reveal().encode()) for secret in secrets])


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def keys_of_jwks(document: bytes, allowed: Collection[str]) -> Keys:
    """The public keys of a JWK Set that sign by one of the ``allowed`` algorithms.

    What is for something else, or of a kind that we do not know, is left out, as RFC 7517, section 5, says; so is what
    must not be trusted (a secret or private key that was published, RSA of less than 2048 bits), which is logged.

    Raises:
        ValueError: it is no such set, or nothing in it can be used.
        SettingsError: the library for public keys is not installed.
    """
    require_cryptography()
    try:
        found = msgspec.json.decode(document, type=_KeySet).keys
    except (ValueError, RecursionError) as exc:
        raise ValueError(f'it is no JWK Set, like {{"keys": […]}}: {exc}') from None
    if len(found) > MOST_KEYS:
        raise ValueError(f"it has {len(found)} keys, and at most {MOST_KEYS} are taken")
    keys = [key for member in found if (key := _public_key(member, allowed)) is not None]
    if not keys:
        raise ValueError(f"it has no public key for {', '.join(sorted(allowed))}")
    return Keys(keys)


def require_cryptography() -> None:
    """Raises SettingsError, with what to install, where public keys can't be used."""
    if not has_crypto:
        raise SettingsError("tokens are to be verified by public keys: pip install 'wigwag[jwks]'")


def _public_key(member: Mapping[str, Any], allowed: Collection[str]) -> Key | None:
    name = member.get("kid")
    if not (name is None or isinstance(name, str)) or member.get("use", "sig") != "sig":
        return None
    operations = member.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    algorithms = frozenset(allowed) & _algorithms_of(member)
    if not algorithms:
        return None
    if any(part in member for part in _PRIVATE):
        logger.error("a key set holds a private key or a secret (kid %r): it is not used", name)
        return None
    try:
        material: Any = _read(member)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as exc:
        logger.warning("a key of a key set can't be read (kid %r): %s", name, exc)
        return None
    if member["kty"] == "RSA" and material.key_size < LEAST_RSA_BITS:
        logger.warning(
            "an RSA key of a key set (kid %r) has less than %d bits: it is not used", name, LEAST_RSA_BITS
        )
        return None
    return Key(name, algorithms, material)


def _algorithms_of(member: Mapping[str, Any]) -> frozenset[str]:
    """Those that a key of its kind can have; or of these the one that it says."""
    kind, curve = member.get("kty"), member.get("crv")
    possible: tuple[str, ...] = ()
    if kind == "RSA":
        possible = _RSA
    elif kind == "EC" and isinstance(curve, str) and curve in _CURVES:
        possible = (_CURVES[curve],)
    elif kind == "OKP" and curve in _EDWARDS:
        possible = ("EdDSA",)
    said = member.get("alg")
    return frozenset(name for name in possible if said is None or said == name)


def _read(member: Mapping[str, Any]) -> Any:
    from jwt import algorithms  # what is named here is there only with the library for public keys

    kinds: dict[str, Any] = {
        "RSA": algorithms.RSAAlgorithm,
        "EC": algorithms.ECAlgorithm,
        "OKP": algorithms.OKPAlgorithm,
    }
    return kinds[member["kty"]].from_jwk(dict(member))
