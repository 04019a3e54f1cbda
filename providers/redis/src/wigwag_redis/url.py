"""Where Redis is: the forms of ``WIGWAG_REDIS_URL``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple
from urllib.parse import unquote

from wigwag.settings import Secret

_URL = re.compile(
    r"(?P<scheme>rediss?)(?:\+(?P<kind>sentinel|cluster))?://"
    r"(?:(?P<login>[^/?#]*)@)?(?P<hosts>[^@/?#]+)(?:/(?P<rest>[^?#]*))?"
)
_UNIX = re.compile(r"unix://(?:(?P<login>[^/?#]*)@)?(?P<path>/[^?#]+)")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]]+))(?::([0-9]{1,5}))?", re.ASCII)
_DATABASE: Final = r"(?:[0-9]{1,5})?"
_SERVICE = re.compile(rf"(?P<service>[^/]+)(?:/{_DATABASE})?")

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class Address(NamedTuple):
    """A server: host and port, or, where ``port`` is 0, the path of a Unix socket."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class RedisUrl:
    """A URL, taken apart.  Shown, it has no password, and no user without one: that may be the password."""

    accepted: ClassVar[str] = (
        "redis://[USER:PASSWORD@]HOST[:PORT] (rediss: TLS), unix://[USER:PASSWORD@]/PATH, "
        "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/SERVICE or redis+cluster://[USER:PASSWORD@]HOST[:PORT],…; "
        "what is special in a password is percent-encoded, or the password stands in WIGWAG_REDIS_PASSWORD"
    )

    kind: Literal["server", "sentinel", "cluster"] = "server"
    #: The server, or the sentinels or cluster nodes that are asked, in this order.
    addresses: tuple[Address, ...]
    #: What the sentinels call the master.
    service: str = ""
    tls: bool = False
    username: str | None = None
    password: Secret | None = None

    @classmethod
    def parse(cls, text: str) -> RedisUrl:
        """Raises ValueError unless it is of an accepted form.  A database's number is taken and means nothing:
        pub/sub has one space of channels."""
        found = _UNIX.fullmatch(text)
        if found is not None:
            username, password = _login(found["login"])
            address = Address(unquote(found["path"]), 0)
            return cls(addresses=(address,), username=username, password=password)
        found = _URL.fullmatch(text)
        if found is None:
            raise ValueError("not a Redis URL")
        kind: Literal["server", "sentinel", "cluster"] = "server"
        if found["kind"] is not None:
            kind = "sentinel" if found["kind"] == "sentinel" else "cluster"
        username, password = _login(found["login"])
        return cls(
            kind=kind,
            addresses=_addresses(found["hosts"], _SENTINEL_PORT if kind == "sentinel" else _PORT, kind),
            service=_service(found["rest"] or "", kind),
            tls=found["scheme"] == "rediss",
            username=username,
            password=password,
        )

    def __repr__(self) -> str:
        return f"RedisUrl({str(self)!r})"

    def __str__(self) -> str:
        login = "" if self.username is None else "***@"
        if self.password is not None:
            login = f"{self.username or ''}:***@"
        if not self.addresses[0].port:
            return f"unix://{login}{self.addresses[0]}"
        scheme = "rediss" if self.tls else "redis"
        if self.kind != "server":
            scheme += f"+{self.kind}"
        path = f"/{self.service}" if self.service else ""
        return f"{scheme}://{login}{','.join(map(str, self.addresses))}{path}"


def _login(text: str | None) -> tuple[str | None, Secret | None]:
    if not text:
        return None, None
    username, _, password = text.partition(":")
    return unquote(username) or None, Secret(unquote(password)) if password else None


def _addresses(text: str, default_port: int, kind: str) -> tuple[Address, ...]:
    found = [_HOST.fullmatch(host) for host in text.split(",")]
    addresses = [Address(f[1] or f[2], int(f[3] or default_port)) for f in found if f is not None]
    if len(addresses) < len(found) or any(not 0 < address.port < 65536 for address in addresses):
        raise ValueError("not HOST[:PORT]")
    if kind == "server" and len(addresses) > 1:
        raise ValueError("several hosts")
    return tuple(addresses)


def _service(text: str, kind: str) -> str:
    if kind == "sentinel":
        found = _SERVICE.fullmatch(text)
        if found is None:
            raise ValueError("no service")
        return unquote(found["service"])
    if not re.fullmatch(_DATABASE, text, re.ASCII):
        raise ValueError("not a database's number")
    return ""
