"""One connection to one server.

nats-py makes it: TLS, login, the handshake.  Then it is ours: nats-py's tasks are ended before their first
step, since its own way of reading costs three times as much, gives error texts in lower case only, and
does not survive a cancelled ``flush``.  All that is used of its private parts is in this module.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.aio.client import Client, RawCredentials

from wigwag.broker import BrokerLost
from wigwag.errors import SettingsError
from wigwag.settings.tls import tls_context
from wigwag_nats.keys import read_credentials, read_seed
from wigwag_nats.settings import PREFIX, NatsSettings, ServerUrl

#: Before it, servers know no message headers, and are no longer maintained.
OLDEST_SERVER = (2, 2)
#: Less leaves no room for an envelope and a message worth the name.
LEAST_PAYLOAD_BYTES = 1024
_NOT_NATS = "it does not answer as a NATS server does; is the port right?"
#: Of what a server says; its own reasons are shorter.
_SHOWN_CHARS = 200


@dataclass
class Link:
    """An open connection, logged in, on which nothing is subscribed.

    ``info`` is what the server said of itself.
    """

    server: ServerUrl
    info: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    #: Holds the connection below the TLS one, which would otherwise be closed as garbage.
    client: Client

    @property
    def is_encrypted(self) -> bool:
        """Whether there is TLS."""
        return self.writer.get_extra_info("ssl_object") is not None

    def abort(self) -> None:
        """Close it at once; what was not sent is not sent."""
        self.writer.transport.abort()


class _NotNats(Exception):
    """What answered is no NATS server, or none that can be understood."""


class _Client(Client):
    """nats-py's, which takes TLS if the server demands it; this one can demand it too."""

    def __init__(self, *, demands_tls: bool) -> None:
        super().__init__()
        self.demands_tls = demands_tls

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self.demands_tls:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise nats.errors.SecureConnWantedError
            info["tls_required"] = True  # before the login is sent
        await super()._process_info(info, initial_connection)


async def connect(settings: NatsSettings) -> Link:
    """Connect to one of the servers: each is tried once, in random order.

    Raises:
        BrokerLost: with one line that says, of each, why not, and what to do about it.
    """
    reasons = []
    for server in random.sample(settings.servers, len(settings.servers)):
        try:
            return await _connect_to(server, settings)
        except (OSError, ValueError, nats.errors.Error, SettingsError, _NotNats) as exc:
            reasons.append(f"{server}: {_explain(exc, server, settings)}")
    raise BrokerLost("; ".join(reasons))


async def _connect_to(server: ServerUrl, settings: NatsSettings) -> Link:
    demands_tls = server.is_tls or settings.demands_tls
    client = _Client(demands_tls=demands_tls)
    try:
        async with asyncio.timeout(settings.connect_timeout):
            options: dict[str, Any] = {
                "name": "wigwag",
                "error_cb": _raise,  # else the server is tried a second time, and its reason lost
                "allow_reconnect": False,
                "connect_timeout": settings.connect_timeout,
                "tls": tls_context(settings, PREFIX) if demands_tls else None,
                **_login(server, settings),
            }
            await _shake_hands(client, server, options)
        link = _take_over(client, server)
        _check_server(link)
    except BaseException:
        _abort(client)
        raise
    return link


async def _shake_hands(client: Client, server: ServerUrl, options: dict[str, Any]) -> None:
    try:
        await client.connect([str(server)], **options)
    except OSError:
        raise  # an untrusted certificate is a ValueError as well
    except (ValueError, TypeError, AttributeError, LookupError) as exc:
        # nats-py takes what it is told of itself on trust; a line that is too long is a ValueError.
        raise _NotNats from exc


async def _raise(exc: Exception) -> None:
    raise exc


def _login(server: ServerUrl, settings: NatsSettings) -> dict[str, Any]:
    if settings.credentials_file is not None:
        return {"user_credentials": RawCredentials(read_credentials(settings.credentials_file))}
    if settings.nkey_seed_file is not None:
        return {"nkeys_seed_str": read_seed(settings.nkey_seed_file)}
    user, password = settings.user or server.user, settings.password or server.password
    if user is not None and password is not None:
        return {"user": user, "password": password.reveal()}
    token = settings.token or server.token
    return {} if token is None else {"token": token.reveal()}


def _take_over(client: _Client, server: ServerUrl) -> Link:
    for task in (client._reading_task, client._ping_interval_task, client._flusher_task):
        if task is not None:
            task.cancel()
    transport: Any = client._transport
    link = Link(server, client._server_info, transport._io_reader, transport._io_writer, client)
    if client.demands_tls and not link.is_encrypted:
        raise nats.errors.SecureConnWantedError
    if link.reader.at_eof():
        raise ConnectionResetError
    return link


def _abort(client: Client) -> None:
    transport: Any = client._transport
    for name in ("_io_writer", "_bare_io_writer"):
        writer = getattr(transport, name, None)
        if writer is not None:
            writer.transport.abort()


def version_of(info: dict[str, Any]) -> tuple[int, ...]:
    """The server's version; empty where it has none that can be read."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", str(info.get("version", "")))
    return () if found is None else tuple(int(part) for part in found.groups() if part)


def _check_server(link: Link) -> None:
    most = link.info.get("max_payload", LEAST_PAYLOAD_BYTES)
    if type(most) is not int:
        raise _NotNats
    version = version_of(link.info)
    if version and version < OLDEST_SERVER:
        raise ValueError(
            f"its version is {plain(str(link.info['version']))}, and wigwag needs "
            f"{'.'.join(map(str, OLDEST_SERVER))} or newer: upgrade nats-server"
        )
    if most < LEAST_PAYLOAD_BYTES:
        raise ValueError(
            f"its max_payload is {most} bytes, which leaves no room for messages: set it to "
            f"{LEAST_PAYLOAD_BYTES} at least (1 MB is usual)"
        )


def plain(text: str) -> str:
    """What a server said, fit for a log: one line, not long, and nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split())[:_SHOWN_CHARS])


def _explain(exc: Exception, server: ServerUrl, settings: NatsSettings) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({exc.verify_message}); name its authority in "
            "WIGWAG_NATS_TLS_CA_FILE, and the server as its certificate does"
        )
    if isinstance(exc, ssl.SSLError):
        return (
            f"TLS failed ({exc.reason or exc}); if the server asks for a certificate, set "
            "WIGWAG_NATS_TLS_CERT_FILE and WIGWAG_NATS_TLS_KEY_FILE"
        )
    if isinstance(exc, nats.errors.SecureConnWantedError):
        return (
            "it offers no TLS, which is demanded here (a tls:// URL, or a TLS file); nothing secret was sent"
        )
    if isinstance(exc, TimeoutError):
        return (
            f"it did not answer within {settings.connect_timeout:g} s (WIGWAG_NATS_CONNECT_TIMEOUT); "
            "is WIGWAG_NATS_SERVERS right?"
        )
    if isinstance(exc, socket.gaierror):
        return "there is no host of that name; is WIGWAG_NATS_SERVERS right?"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused; is the server up, and WIGWAG_NATS_SERVERS right?"
    if isinstance(exc, ConnectionError | asyncio.IncompleteReadError):
        return (
            "it closed the connection during the handshake; is that a NATS server, below its max_connections, "
            "and the login right?"
        )
    if isinstance(exc, _NotNats):
        return _NOT_NATS
    if isinstance(exc, nats.errors.Error):
        return _explain_refusal(plain(str(exc).removeprefix("nats: ").strip("'")), server, settings)
    return " ".join(str(exc).split()) or type(exc).__name__


def _explain_refusal(text: str, server: ServerUrl, settings: NatsSettings) -> str:
    if "expecting INFO" in text or "json parse error" in text:
        return _NOT_NATS
    if "authorization" in text.lower() or "authentication" in text.lower():
        return f"it refused the login ({text}): {_who(server, settings)}"
    return f"it refused the connection: {text}"


def _who(server: ServerUrl, settings: NatsSettings) -> str:
    if settings.credentials_file is not None:
        return f"check WIGWAG_NATS_CREDENTIALS_FILE ({settings.credentials_file}), and that its JWT is still valid"
    if settings.nkey_seed_file is not None:
        return (
            f"check WIGWAG_NATS_NKEY_SEED_FILE ({settings.nkey_seed_file}), and that the server knows its key"
        )
    if settings.user is not None:
        return f"check WIGWAG_NATS_USER ({settings.user}) and WIGWAG_NATS_PASSWORD"
    if settings.token is not None:
        return "check WIGWAG_NATS_TOKEN"
    if server.has_login:
        return "check the login in WIGWAG_NATS_SERVERS"
    return "none is set; set WIGWAG_NATS_USER and _PASSWORD, _TOKEN, _CREDENTIALS_FILE or _NKEY_SEED_FILE"
