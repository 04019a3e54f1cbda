"""Which addresses are listened on, and who can reach them."""

from __future__ import annotations

import socket
from typing import Any

from wigwag.errors import SettingsError, WigwagError
from wigwag.settings import Listen, ServiceSettings
from wigwag.settings.tls import is_loopback

#: How many connections may wait to be accepted; the kernel has a limit of its own.
BACKLOG = 2048
#: A peer that takes nothing of what it was sent for so long is dropped by the kernel: closed as too slow, it
#: would else keep its file descriptor and its buffer for as long as it likes.
_USER_TIMEOUT_MS = 40_000


class CannotServe(WigwagError):
    """The service could not start: an address is taken, or the application failed as it started."""


def check_exposure(settings: ServiceSettings, *, stock: bool) -> None:
    """Raises SettingsError where strangers could publish, or the two addresses are one."""
    if settings.listen == settings.internal_listen and settings.listen.port != 0:
        raise SettingsError(
            f"--listen and --internal-listen are both {settings.listen}: the public port and the internal one "
            "(WIGWAG_LISTEN, WIGWAG_INTERNAL_LISTEN) must differ",
            variable="WIGWAG_INTERNAL_LISTEN",
        )
    is_open = stock and not settings.asks_for_tokens
    if is_open and not settings.insecure and not is_local(settings.listen):
        raise SettingsError(
            f"WIGWAG_LISTEN={settings.listen} is open to other machines, and without tokens anyone may join and "
            "publish: set WIGWAG_JWT_SECRET or WIGWAG_JWKS_URL, or listen on 127.0.0.1, or say --insecure",
            variable="WIGWAG_LISTEN",
        )
    if not settings.asks_for_key and not is_local(settings.internal_listen):
        raise SettingsError(
            f"WIGWAG_INTERNAL_LISTEN={settings.internal_listen} is open to other machines: set WIGWAG_API_KEY, "
            "the key that publishers bring, or listen on 127.0.0.1",
            variable="WIGWAG_INTERNAL_LISTEN",
        )


def is_local(listen: Listen) -> bool:
    """Whether only this machine reaches the address."""
    if is_loopback(listen.host):
        return True
    try:
        found = socket.getaddrinfo(listen.host, None) if listen.host else []
    except OSError:
        return False
    return bool(found) and all(is_loopback(str(address[4][0])) for address in found)


def bind(listen: Listen, variable: str, option: str) -> socket.socket:
    """A socket that listens on this address; what connects meanwhile waits until it is served.

    Raises:
        CannotServe: it is taken, or not this machine's.
    """
    try:
        if not listen.host and socket.has_dualstack_ipv6():
            bound = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            address: Any = ("::", listen.port)
        else:
            host = listen.host or "0.0.0.0"
            family, _, _, _, address = socket.getaddrinfo(
                host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; the sockets that are accepted inherit it
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
            bound.bind(address)
            # Here, not in the server: with SO_REUSEADDR two may bind, and uvloop does not say that the
            # second could not listen.
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise CannotServe(
            f"can't listen on {listen}: {why}; choose another with {option} ({variable})"
        ) from None
    return bound
