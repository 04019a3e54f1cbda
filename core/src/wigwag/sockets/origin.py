"""Which web pages may open a socket: browsers send cookies along, whatever page asks them to.

A page of another site could otherwise speak in its visitor's name (cross-site WebSocket hijacking; RFC
6455, section 10.2).  Clients that are no browsers send no Origin, and are not concerned.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """The origins in the form in which browsers send them.

    Raises:
        ValueError: one is neither ``scheme://host[:port]`` nor ``*``.
    """
    if isinstance(origins, str):
        raise ValueError(f"origins are a list: [{origins!r}]")
    return tuple(origin if origin == "*" else _normal(origin) for origin in origins)


def is_allowed(connection: HTTPConnection, origins: Sequence[str]) -> bool:
    """Whether the page that asks may connect: one of the same host, or of these origins."""
    if not any(name == b"origin" for name, _ in connection.scope["headers"]):
        return True
    origin = connection.headers.get("origin")
    if origin is None or "*" in origins:
        return True
    try:
        return _normal(origin) in origins or _is_same_host(origin, connection.headers.get("host", ""))
    except ValueError:  # "null", of a sandboxed page, or no browser's
        return False


def _normal(origin: str) -> str:
    """Lower case, no slash at the end, no port that goes without saying.  Raises ValueError."""
    parts = urlsplit(origin)
    host, port = parts.hostname, parts.port
    if not (parts.scheme and host) or "*" in host or "@" in parts.netloc:
        raise _no_origin(origin)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise _no_origin(origin)
    if ":" in host:
        host = f"[{host}]"
    is_implied = port is None or port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" if is_implied else f"{parts.scheme}://{host}:{port}"


def _no_origin(origin: str) -> ValueError:
    return ValueError(f"{origin!r} is no origin: use scheme://host[:port], as https://app.example.com, or *")


def _is_same_host(origin: str, host: str) -> bool:
    page, ours = urlsplit(origin), urlsplit(f"//{host}")
    default = _DEFAULT_PORTS.get(page.scheme)
    if default is None or page.hostname != ours.hostname:
        return False
    port = page.port or default
    # Behind a proxy that ends TLS the scheme is not ours to know: either default port is the same.
    return port == ours.port or (ours.port is None and port in _DEFAULT_PORTS.values())
