"""``wigwag token``: a token for a client of the stock service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import click

from wigwag.errors import SettingsError
from wigwag.factory import PREFIX
from wigwag.patterns import Pattern
from wigwag.settings import Secret, Secrets, ServiceSettings, load_settings
from wigwag.tokens.files import WatchedFile
from wigwag.tokens.making import make_token
from wigwag.tokens.verifying import MAX_USER_CHARACTERS, MOST_PATTERNS

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S: Final = 3650 * 86400


def token(
    environ: Mapping[str, str],
    user: str,
    *,
    topics: Sequence[str],
    publish: Sequence[str],
    ttl_s: int,
    stats: bool = False,
) -> str:
    """A token that the service takes which runs in this environment.

    Raises:
        click.UsageError: a pattern is none, or nobody can be called so.
        SettingsError: there is no secret to sign with, or it can't be used.
    """
    settings = load_settings(ServiceSettings, PREFIX, environ)
    if not 0 < len(user) <= MAX_USER_CHARACTERS:
        raise click.UsageError(f"--sub has 1 to {MAX_USER_CHARACTERS} characters")
    for option, patterns in (("--topics", topics), ("--publish", publish)):
        if len(patterns) > MOST_PATTERNS:
            raise click.UsageError(f"{option}: a token has at most {MOST_PATTERNS} patterns")
        for pattern in patterns:
            try:
                Pattern(pattern)
            except ValueError as exc:
                raise click.UsageError(f"{option} {pattern!r}: {exc}") from None
    try:
        return make_token(
            _secret(settings),
            user,
            topics=topics,
            publish=publish,
            stats=stats,
            ttl_s=ttl_s,
            audience=next(iter(settings.jwt_audience), None),
            issuer=next(iter(settings.jwt_issuer), None),
        )
    except ValueError as exc:
        raise SettingsError(f"WIGWAG_JWT_SECRET: {exc}", variable="WIGWAG_JWT_SECRET") from None


def _secret(settings: ServiceSettings) -> Secret:
    if settings.jwt_secret is not None:
        return settings.jwt_secret[0]
    variable = "WIGWAG_JWT_SECRET_FILE"
    if settings.jwt_secret_file is not None:
        return WatchedFile(settings.jwt_secret_file, Secrets.parse_lines, variable).value[0]
    raise SettingsError(
        "there is no secret to sign with: set WIGWAG_JWT_SECRET, as the service has it, or WIGWAG_JWT_SECRET_FILE. "
        "`openssl rand -base64 36` makes one",
        variable="WIGWAG_JWT_SECRET",
    )


def duration_s(text: str) -> int:
    """Seconds of ``90``, ``90s``, ``15m``, ``1h`` or ``7d``.  Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text, re.ASCII)
    if found is None or not 0 < (seconds := int(found[1]) * _UNITS_S[found[2]]) <= _LONGEST_S:
        raise ValueError(f"no duration: {text}")
    return seconds
