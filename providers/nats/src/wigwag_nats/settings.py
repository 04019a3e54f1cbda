"""What can be set of the NATS provider, and what of it does not fit together."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NoReturn
from urllib.parse import unquote, urlsplit

from wigwag.errors import SettingsError
from wigwag.settings import Secret, setting
from wigwag.settings.tls import tls_context, tls_files_set
from wigwag_nats.keys import read_credentials, read_seed

#: What the settings' variables begin with.
PREFIX: Final = "WIGWAG_NATS_"
# Characters of a subject that need no care anywhere: no wildcard, no quote, and no "$" of the server's own.
_is_prefix = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII).fullmatch
_is_host = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?", re.ASCII).fullmatch


@dataclass(frozen=True)
class ServerUrl:
    """Where a server listens; as a text it is shown without what it says of the login."""

    host: str
    port: int = 4222
    is_tls: bool = False
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None

    accepted: ClassVar[str] = (
        "nats://HOST[:PORT], or tls://HOST[:PORT] to demand TLS, with USER:PASSWORD@ or TOKEN@ before the host "
        "if need be"
    )

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Raises ValueError, which does not show the text, unless it has the accepted form."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError("not a NATS URL") from None
        host = parts.hostname or ""
        if parts.scheme not in ("nats", "tls") or not _is_host(host) or port == 0 or not text.isprintable():
            raise ValueError("not a NATS URL")
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username == "":
            raise ValueError("not a NATS URL")
        user, password = parts.username, parts.password
        login: dict[str, str | Secret] = {}
        if user is not None and password is None:
            login = {"token": Secret(unquote(user))}
        elif user is not None and password is not None:
            login = {"user": unquote(user), "password": Secret(unquote(password))}
        return cls(host, port or 4222, parts.scheme == "tls", **login)  # type: ignore[arg-type]

    @property
    def has_login(self) -> bool:
        """Whether it says who logs in."""
        return self.user is not None or self.token is not None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.is_tls else 'nats'}://{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """Each is ``WIGWAG_NATS_`` and its name.

    One login at most: user and password, token, credentials file or nkey; or the one in the URLs.
    """

    servers: tuple[ServerUrl, ...] = setting(
        (ServerUrl("127.0.0.1"),),
        "Where the servers are; of a cluster, list several. Each session takes one at random.",
    )
    prefix: str = setting(
        "ws", "What all subjects begin with. Fleets that share a NATS and must not meet have different ones."
    )
    connect_timeout: float = setting(
        2.0, "How long one server has to answer a connection, in seconds, login and TLS included.", above=0
    )
    settle_s: float | None = setting(
        None,
        "How long a new subscription has to become known to the other servers before it counts as live; "
        "unless set, 0.1 in a cluster, and 0 where there is one server.",
        at_least=0,
    )
    user: str | None = setting(None, "The user, with its password.")
    password: Secret | None = setting(None, "The user's password.")
    token: Secret | None = setting(None, "The token, where the server asks for one.")
    credentials_file: Path | None = setting(
        None, "A `.creds` file with a JWT and its seed; read again for each session."
    )
    nkey_seed_file: Path | None = setting(
        None, "A file that holds the seed of an nkey; read again for each session."
    )
    tls_ca_file: Path | None = setting(
        None,
        "The authorities to trust (PEM), instead of the machine's. With any `tls_` file TLS is demanded.",
    )
    tls_cert_file: Path | None = setting(None, "The certificate to show to a server that asks for one (PEM).")
    tls_key_file: Path | None = setting(None, "The key of that certificate (PEM), unless it is in its file.")

    @property
    def demands_tls(self) -> bool:
        """Whether TLS is demanded of every server, whatever its URL says."""
        return bool(tls_files_set(self))


def check_settings(settings: NatsSettings) -> None:
    """Return if the settings fit together, and the files that they name can be used.

    Raises:
        SettingsError: one line, with the variable to change.
    """
    if not settings.servers:
        _refuse("servers", f"names no server: it must be comma-separated, each {ServerUrl.accepted}")
    if not _is_prefix(settings.prefix):
        _refuse(
            "prefix",
            "must be at most 128 of A-Z a-z 0-9 _ -, in parts joined by single dots, like ws or acme.live",
        )
    _check_login(settings)
    if settings.demands_tls:
        tls_context(settings, PREFIX)


def _check_login(settings: NatsSettings) -> None:
    if (settings.user is None) != (settings.password is None):
        missing = "password" if settings.password is None else "user"
        _refuse(missing, "is not set: a user and its password go together")
    ways = [
        name
        for name in ("user", "token", "credentials_file", "nkey_seed_file")
        if getattr(settings, name) is not None
    ]
    if ways and any(server.has_login for server in settings.servers):
        _refuse("servers", f"says who logs in, and so does {_variable(ways[0])}: take one of them away")
    if len(ways) > 1:
        _refuse(ways[1], f"is a second login beside {_variable(ways[0])}: take one of them away")
    try:
        if settings.credentials_file is not None:
            read_credentials(settings.credentials_file)
        if settings.nkey_seed_file is not None:
            read_seed(settings.nkey_seed_file)
    except (OSError, ValueError) as exc:
        _refuse(ways[0], f"can't be used: {_reason(exc)}", exc)


def _reason(exc: Exception) -> str:
    if isinstance(exc, FileNotFoundError):
        return f"there is no file {exc.filename}"
    if isinstance(exc, OSError):
        return f"{exc.strerror or exc} ({exc.filename})" if exc.filename else f"{exc.strerror or exc}"
    return str(exc)


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _refuse(field: str, text: str, cause: Exception | None = None) -> NoReturn:
    raise SettingsError(f"{_variable(field)} {text}", variable=_variable(field)) from cause
