"""Tokens of our own making: for a try, a test, or a backend that asks for one on the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jwt

from wigwag.settings import Secret
from wigwag.tokens.keys import SECRET_ALGORITHM, keys_of_secrets


def make_token(
    secret: Secret,
    user: str,
    *,
    topics: Sequence[str] = (),
    publish: Sequence[str] = (),
    stats: bool = False,
    ttl_s: float,
    audience: str | None = None,
    issuer: str | None = None,
) -> str:
    """A token (HS256) for this user, for so many seconds from now.

    Raises:
        ValueError: the secret is too short.
    """
    keys_of_secrets([secret])
    now = int(time.time())
    claims: dict[str, Any] = {"sub": user, "iat": now, "exp": now + int(ttl_s), "topics": list(topics)}
    if publish:
        claims["publish"] = list(publish)
    if stats:
        claims["stats"] = True
    if audience is not None:
        claims["aud"] = audience
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, secret.reveal(), algorithm=SECRET_ALGORITHM)
