"""How a connection is made: redis-py's, by the settings; and why one could not be made, in a line."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from wigwag.broker import BrokerLost
from wigwag.errors import SettingsError
from wigwag.settings.tls import tls_context, tls_files_set
from wigwag_redis.settings import RedisSettings
from wigwag_redis.url import Address

_NO_TLS = "if it does not speak TLS on this port, the URL begins with redis, not rediss"

#: Of what a server says; its own reasons are shorter.
_SHOWN_CHARS = 200


class Dialer:
    """Makes connections; none of them is connected."""

    def __init__(self, settings: RedisSettings) -> None:
        """Raises SettingsError where the settings do not fit together, or a file can't be used."""
        url = settings.url
        if not settings.key_prefix or settings.key_prefix != settings.key_prefix.strip():
            raise _unusable("key_prefix", "it must be a text like ws, not empty and without spaces around it")
        self.timeout_s: float = settings.connect_timeout
        self._tls = _tls_context(settings)
        password = settings.password or url.password
        username = settings.username or url.username
        if settings.username and password is None:
            raise _unusable("username", "it needs a password: WIGWAG_REDIS_PASSWORD")
        if username and password is None:  # which is not shown: more likely it is the password
            raise _unusable(
                "url", "it has a user without a password; a password is written redis://:PASSWORD@HOST"
            )
        #: What may be wrong where a server hangs up before it has let us in.
        self.advice: str = "if it speaks TLS on this port, the URL begins with rediss"
        if settings.url.tls:
            self.advice = "it may want a certificate of ours: WIGWAG_REDIS_TLS_CERT_FILE and …_TLS_KEY_FILE"
        #: What HELLO takes to let us in.
        self.login: tuple[str, ...] = (
            () if password is None else ("AUTH", username or "default", password.reveal())
        )
        password, username = settings.sentinel_password, settings.sentinel_username
        if username and password is None:
            raise _unusable("sentinel_username", "it needs a password: WIGWAG_REDIS_SENTINEL_PASSWORD")
        #: What a sentinel's AUTH takes.
        self.sentinel_login: tuple[str, ...] = (
            () if password is None else (*([username] if username else []), password.reveal())
        )

    def connection(self, address: Address) -> AbstractConnection:
        """A connection of redis-py's that says nothing by itself: no login, no health check, no retry."""
        common: dict[str, Any] = {
            "protocol": 2,  # in RESP3 redis-py and hiredis do more for each message
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": self.timeout_s,
        }
        connection = self._connection_of_kind(address, common)
        connection.driver_info = None  # no CLIENT SETINFO, for which the login would need a permission
        return connection

    def _connection_of_kind(self, address: Address, common: dict[str, Any]) -> AbstractConnection:
        if not address.port:
            return UnixDomainSocketConnection(path=address.host, **common)
        common |= {"host": address.host, "port": address.port, "socket_keepalive": True}
        if self._tls is None:
            return Connection(**common)
        connection = SSLConnection(**common)
        connection.ssl_context.context = self._tls  # made once: reading the authorities takes 20 ms
        return connection

    @contextmanager
    def in_time(self, address: Address) -> Generator[None]:
        """What is done here must be done within the limit.  Raises BrokerLost, in one line, where it is not."""
        try:
            with anyio.fail_after(self.timeout_s):
                yield
        except TimeoutError as exc:
            raise BrokerLost(f"{address} can't be reached: {self.explain(exc)}") from exc

    def explain(self, exc: BaseException) -> str:
        """Why a connection was not made, or was lost, without secrets."""
        chain = [exc, exc.__cause__, exc.__context__]
        cause = next((link for link in chain if isinstance(link, OSError)), exc)
        if isinstance(exc, TimeoutError) or "Timeout" in type(exc).__name__:
            text = f"it did not answer within {self.timeout_s:g} s (WIGWAG_REDIS_CONNECT_TIMEOUT)"
            return text if self._tls is None else f"{text}; {_NO_TLS}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}); see WIGWAG_REDIS_TLS_CA_FILE"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause}); {_tls_advice(str(cause.reason))}"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there (connection refused); is WIGWAG_REDIS_URL right?"
        if isinstance(cause, socket.gaierror):
            return f"its name can't be resolved ({cause.strerror}); is WIGWAG_REDIS_URL right?"
        return (
            str(cause.strerror or cause) if isinstance(cause, OSError) else f"{type(cause).__name__}: {cause}"
        )


def refusal(address: Address, text: str) -> str:
    """What a server's error in answer to HELLO means, and what to do."""
    if text.startswith("NOAUTH"):
        return f"{address} wants a password: WIGWAG_REDIS_PASSWORD, or in WIGWAG_REDIS_URL"
    if text.startswith("WRONGPASS"):
        return f"{address} refuses the user or the password (WRONGPASS); see WIGWAG_REDIS_USERNAME and …_PASSWORD"
    if text.startswith(("ERR unknown command", "ERR Unknown command")):
        return f"the server at {address} is too old: Redis 6.0 or later is needed"
    if "without any password configured" in text:
        return f"{address} has no password, and one is set: leave WIGWAG_REDIS_PASSWORD and the URL's out"
    if text.startswith("DENIED"):
        return f"{address} is in protected mode and takes no one from another machine: give it a password"
    return f"{address} refuses us: {plain(text)}"


def plain(text: str) -> str:
    """What a server said, fit for a log: one line, not long, and nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split())[:_SHOWN_CHARS])


def _tls_advice(reason: str) -> str:
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return "it wants a certificate of ours: WIGWAG_REDIS_TLS_CERT_FILE and …_TLS_KEY_FILE"
    if "UNKNOWN_CA" in reason:
        return "it does not trust our certificate's authority; see WIGWAG_REDIS_TLS_CERT_FILE"
    return _NO_TLS


def _tls_context(settings: RedisSettings) -> ssl.SSLContext | None:
    if settings.url.tls:
        return tls_context(settings, "WIGWAG_REDIS_")
    for field in tls_files_set(settings):
        raise _unusable(field, "the URL does not ask for TLS: it must begin with rediss")
    return None


def _unusable(field: str, why: str) -> SettingsError:
    variable = f"WIGWAG_REDIS_{field.upper()}"
    return SettingsError(f"{variable}: {why}", variable=variable)
