"""Which web pages may open a socket: browsers send cookies along, whatever page asks them to.

A page of another site could otherwise speak in its visitor's name (cross-site WebSocket hijacking; RFC
6455, section 10.2).  Clients that are no browsers send no Origin, and are not concerned.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """The origins in the form in which browsers send them.

    Raises:
        ValueError: one is neither ``scheme://host[:port]`` nor ``*``.
    """
    checked = []
    for origin in origins:
        parts = urlsplit(origin)
        if origin != "*" and (not parts.netloc or parts.path.strip("/") or parts.query):
            raise ValueError(
                f"{origin!r} is no origin: use scheme://host[:port], as https://app.example.com, or *"
            )
        checked.append(origin.rstrip("/").lower())
    return tuple(checked)


def is_allowed(connection: HTTPConnection, origins: Sequence[str]) -> bool:
    """Whether the page that asks may connect: one of the same host, or of these origins."""
    origin = connection.headers.get("origin")
    if origin is None or "*" in origins or origin.lower() in origins:
        return True
    parts = urlsplit(origin)
    try:
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return False
    host = connection.headers.get("host", "")
    # Behind a proxy that ends TLS the scheme is not ours to know: either default port is the same.
    same = {f"{parts.hostname}:{port}"}
    if port in (80, 443):
        same.add(f"{parts.hostname}")
    return _bare(host) in same


def _bare(host: str) -> str:
    return host.lower().replace("[", "").replace("]", "")
