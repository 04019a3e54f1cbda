"""Tokens and key sets for tests: right ones, and forged."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wigwag.settings import Secret, Secrets

SECRET = "not a secret of anybody, only of tests"
OTHER_SECRET = "another secret, which nobody is to trust"


def secrets(*texts: str) -> Secrets:
    return Secrets(Secret(text) for text in texts or (SECRET,))


@functools.cache
def private_key(kind: str, number: int = 0) -> Any:
    """A key pair, made once: ``RS256`` (and the like), ``RSA-1024``, ``ES256`` (384, 512) or ``EdDSA``; several."""
    if kind == "RSA-1024":
        return rsa.generate_private_key(65537, 1024)
    if kind in ("RS384", "RS512", "PS256"):
        return private_key("RS256", number)
    if kind == "RS256":
        return rsa.generate_private_key(65537, 2048)
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return ec.generate_private_key(curves[kind])


def jwk(kind: str, number: int = 0, *, private: bool = False, **members: Any) -> dict[str, Any]:
    """The key as a member of a JWK Set."""
    key = private_key(kind, number) if private else private_key(kind, number).public_key()
    family = {"R": "RSAAlgorithm", "P": "RSAAlgorithm", "E": "ECAlgorithm"}[kind[0]]
    if kind == "EdDSA":
        family = "OKPAlgorithm"
    made: dict[str, Any] = getattr(jwt.algorithms, family).to_jwk(key, as_dict=True)
    made.pop("key_ops", None)
    return made | members


def jwks(*members: dict[str, Any]) -> bytes:
    return json.dumps({"keys": members}).encode()


def pem(kind: str, number: int = 0) -> str:
    """The public key, as it is published."""
    key = private_key(kind, number).public_key()
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def claims(**given: Any) -> dict[str, Any]:
    """Those of a token that is good for a minute, and these; None takes one away."""
    now = int(time.time())
    found = {"sub": "ann", "iat": now, "exp": now + 60, "topics": ["orders:*"]} | given
    return {name: value for name, value in found.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **given: Any) -> str:
    """A token of these claims."""
    return jwt.encode(claims(**given), key, algorithm, headers)


def signed(kind: str, number: int = 0, headers: Any = None, **given: Any) -> str:
    """A token of a private key."""
    return token(private_key(kind, number), kind, headers, **given)


def part(content: Any) -> str:
    """One part of a token, as it stands there."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def forged(header: Any, body: Any = None, secret: str | bytes = SECRET) -> str:
    """A token with any header at all, signed by HMAC whatever that header says."""
    text = f"{part(header)}.{part(claims() if body is None else body)}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{text}.{part(hmac.new(key, text.encode(), hashlib.sha256).digest())}"
