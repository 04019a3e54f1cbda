"""From a token to what its bearer may do.  Sans-I/O, but for the time of day."""

from __future__ import annotations

import base64
import binascii
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import jwt
import msgspec
from msgspec import Meta

from wigwag.patterns import Pattern
from wigwag.tokens.keys import Keys
from wigwag.wire.client import TOKEN_EXPIRED

#: A larger token is refused before it is looked at.
MAX_TOKEN_BYTES: Final = 8 * 1024
#: How many patterns a claim may have, and characters a user's name.
MOST_PATTERNS: Final = 100
MAX_USER_CHARACTERS: Final = 256

# What a client is told; more it is not told.
MISSING: Final = "token missing"
EXPIRED: Final = TOKEN_EXPIRED
NOT_VALID: Final = "token not valid"


class TokenRefused(Exception):
    """A token that is not taken.

    ``reason`` is one of few, to be counted by; ``text`` is for the client; the message is for the operator's log, and
    has nothing in it by which the token could be used.
    """

    def __init__(self, reason: str, why: str, text: str = NOT_VALID) -> None:
        super().__init__(why)
        self.reason = reason
        self.text = text


class UnknownKey(TokenRefused):
    """No key that we have can have signed it: there may be a newer one."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of a token may do, and until when."""

    #: The claim ``sub``: who it is.
    user: str
    #: In seconds since the epoch, the tolerance for clocks that differ included.
    expires_at: float
    topics: tuple[Pattern, ...]
    publish: tuple[Pattern, ...]
    #: Whether the bearer may see the node's numbers, and the names of its topics.
    stats: bool = False

    def may_join(self, topic: str) -> bool:
        """Whether the bearer may receive what is published to this topic."""
        return any(pattern.matches(topic, self.user) for pattern in self.topics)

    def may_publish(self, topic: str) -> bool:
        """Whether the bearer may publish to this topic."""
        return any(pattern.matches(topic, self.user) for pattern in self.publish)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is asked of every token, and granted with each."""

    #: Of these one must be the token's; with none, it must not be for an audience at all.
    audiences: Sequence[str] = ()
    #: Of these one must have issued it; with none, anybody whose key it is.
    issuers: Sequence[str] = ()
    #: How much the clocks of issuer and server may differ.
    leeway_s: float = 0.0
    #: What each may join and publish to, beside what it says.
    topics: tuple[Pattern, ...] = ()
    publish: tuple[Pattern, ...] = ()


#: The last second that a token may be good until: far beyond any clock, and exact as a float.
_LATEST: Final = 2**53


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None


class _Claims(msgspec.Struct):
    """The claims that count, by their types; the times were looked at before."""

    sub: Annotated[str, Meta(min_length=1, max_length=MAX_USER_CHARACTERS)]
    exp: Annotated[int, Meta(le=_LATEST)] | Annotated[float, Meta(le=_LATEST)]
    topics: Annotated[list[str], Meta(max_length=MOST_PATTERNS)] = []
    publish: Annotated[list[str], Meta(max_length=MOST_PATTERNS)] = []
    #: Anything but true is no: an identity provider may mean something else by it.
    stats: object = False


#: Those of the library's refusals that are worth a reason of their own; the others are of what is no token at all.
_REASONS: Final = (
    (jwt.ExpiredSignatureError, "expired", EXPIRED),
    (jwt.ImmatureSignatureError, "not yet valid", NOT_VALID),
    (jwt.InvalidAudienceError, "audience", NOT_VALID),
    (jwt.InvalidIssuerError, "issuer", NOT_VALID),
    (jwt.InvalidSignatureError, "signature", NOT_VALID),
)


class Verifier:
    """Verifies tokens by the keys that there are when it is asked."""

    def __init__(
        self, keys: Callable[[], Keys], rules: Rules, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock

    def verify(self, token: str) -> Grant:
        """What the token grants.

        Raises:
            TokenRefused: it is not to be trusted, or not now, or not here.
            UnknownKey: it is signed by a key that we do not have.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused("size", f"it has more than {MAX_TOKEN_BYTES} bytes")
        header = _header(token)
        keys = self._keys()
        if header.alg not in keys.algorithms:
            known = ", ".join(sorted(keys.algorithms)) or "none"
            raise TokenRefused("algorithm", f"its algorithm is not one that is taken ({known})")
        candidates = keys.candidates(header.alg, header.kid)
        if not candidates:
            raise UnknownKey("key", "it is signed by a key that is not known")
        for key in candidates[:-1]:
            try:
                return self._verify_by(key.material, header.alg, token)
            except TokenRefused as exc:
                if exc.reason != "signature":
                    raise
        return self._verify_by(candidates[-1].material, header.alg, token)

    def _verify_by(self, material: object, algorithm: str, token: str) -> Grant:
        rules = self._rules
        try:
            claims = jwt.decode(
                token,
                material,  # type: ignore[arg-type]
                algorithms=[algorithm],  # one for which this key is trusted
                audience=list(rules.audiences) or None,
                issuer=list(rules.issuers) or None,
                leeway=rules.leeway_s,
                options={"require": ["exp", "sub"]},
            )
        # Whatever else the library trips over is the token's fault: it is a stranger's.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as exc:
            if isinstance(exc, jwt.MissingRequiredClaimError):
                reason = {"aud": "audience", "iss": "issuer"}.get(exc.claim, "claims")
                raise TokenRefused(reason, f"it has no {exc.claim!r}") from None
            for kind, reason, text in _REASONS:
                if isinstance(exc, kind):
                    raise TokenRefused(reason, str(exc), text) from None
            raise TokenRefused("malformed", f"it can't be read ({type(exc).__name__})") from None
        return self._grant(claims)

    def _grant(self, raw: object) -> Grant:
        rules = self._rules
        try:
            claims = msgspec.convert(raw, _Claims)
            topics = _patterns(tuple(claims.topics)) + rules.topics
            publish = _patterns(tuple(claims.publish)) + rules.publish
        except (ValueError, RecursionError) as exc:
            raise TokenRefused("claims", f"a claim can't be used: {exc}") from None
        expires_at = claims.exp + rules.leeway_s
        return Grant(claims.sub, expires_at, topics, publish, claims.stats is True)


@functools.lru_cache(maxsize=1024)
def _patterns(texts: tuple[str, ...]) -> tuple[Pattern, ...]:
    """Read once and shared, for a thousand tokens say the same; a stranger's are never read."""
    patterns: list[Pattern] = []
    for text in texts:
        try:
            patterns.append(Pattern(text))
        except ValueError as exc:
            raise ValueError(f"{text[:60]!r}: {exc}") from None
    return tuple(patterns)


def _header(token: str) -> _Header:
    """What a token says of itself, which nobody has vouched for yet."""
    segment = token.partition(".")[0]
    try:
        text = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        return msgspec.json.decode(text, type=_Header)
    except (ValueError, binascii.Error, RecursionError):
        raise TokenRefused("malformed", "it is no token (RFC 7519)") from None
