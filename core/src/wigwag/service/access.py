"""Who may use the internal API, and the stock service while it is in development mode."""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wigwag.errors import SettingsError
from wigwag.settings import Secret, Secrets, ServiceSettings
from wigwag.settings.tls import is_loopback
from wigwag.tokens.files import WatchedFile


class ApiKeys:
    """The keys of backends, each as good as the others, as they are now."""

    def __init__(self, keys: Sequence[Secret] | WatchedFile[Secrets]) -> None:
        #: The file that they stand in, for who watches it.
        self.file: WatchedFile[Secrets] | None = keys if isinstance(keys, WatchedFile) else None
        self._given = keys
        self._hashed_of: Sequence[Secret] = ()
        self._hashed: list[bytes] = []

    @property
    def now(self) -> Sequence[Secret]:
        """All of them."""
        return self._given.value if isinstance(self._given, WatchedFile) else self._given

    @property
    def first(self) -> Secret:
        """The one to bring."""
        return self.now[0]

    def have(self, offered: bytes) -> bool:
        """Whether it is one of them.  How long that takes tells nothing of them but how many there are."""
        keys = self.now
        if keys is not self._hashed_of:
            self._hashed = [_hash(key.reveal().encode()) for key in keys]
            self._hashed_of = keys
        digest = _hash(offered)
        found = False
        for key in self._hashed:
            found |= hmac.compare_digest(digest, key)
        return found


def _hash(key: bytes) -> bytes:
    return sha256(key).digest()


def api_keys_of(settings: ServiceSettings) -> ApiKeys | None:
    """The keys that the settings name; None where there are none, and only this machine is served.

    Raises:
        SettingsError: their file can't be read, or both ways of saying them are used.
    """
    path = settings.api_key_file
    if path is None:
        return None if settings.api_key is None else ApiKeys(settings.api_key)
    variable = "WIGWAG_API_KEY_FILE"
    if settings.api_key is not None:
        raise SettingsError(
            f"WIGWAG_API_KEY and {variable} are both set: one of them says it", variable=variable
        )
    return ApiKeys(WatchedFile(path, Secrets.parse_lines, variable))


class RequireAccess:
    """Middleware: with a key, whoever brings it; without one, programs of this machine.

    Any web page that somebody looks at on this machine can post to it, and by DNS rebinding even read the
    answer: what comes from a browser, or was sent to another name than this machine's, is refused.
    """

    def __init__(self, app: ASGIApp, api_keys: ApiKeys | None, refused: Counter[str] | None = None) -> None:
        """``refused`` counts who is not served, by why."""
        self._app = app
        self._keys = api_keys
        self._refused: Counter[str] = Counter() if refused is None else refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        connection = HTTPConnection(scope)
        if self._keys is not None:
            if not self._brings_key(connection.headers, self._keys):
                self._refused["key"] += 1
                answer = {"error": "Authorization: Bearer with the key (WIGWAG_API_KEY) is required"}
                challenge = {"WWW-Authenticate": "Bearer"}
                await JSONResponse(answer, 401, challenge)(scope, receive, send)
                return
        else:
            why = why_not_local(connection)
            if why is not None:
                self._refused["not local"] += 1
                await JSONResponse({"error": why}, 403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    @staticmethod
    def _brings_key(headers: Headers, keys: ApiKeys) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # latin-1 undoes what the server did to the header's bytes, so that any key can be brought.
        is_key = keys.have(token.strip().encode("latin-1"))
        return scheme.lower() == "bearer" and is_key


class RequireLocalName:
    """Middleware: only requests that were sent to a name of this machine, sockets' among them.

    A page of any site can have its own name point here (DNS rebinding), and is then of the same origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] in ("http", "websocket") and not _is_named_local(HTTPConnection(scope)):
            refusal = JSONResponse({"error": _OTHER_NAME}, 403)
            if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
                await refusal(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)


_OTHER_NAME = (
    "in development mode only requests to localhost, 127.0.0.1 or [::1] are answered, "
    "by that name (DNS rebinding)"
)


#: What only proxies write.
_OF_PROXIES = frozenset(
    ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
)


def why_not_local(connection: HTTPConnection) -> str | None:
    """Why a request does not come from a program of this machine, or None where it does."""
    headers = connection.headers
    checks: tuple[tuple[bool, str], ...] = (
        (_is_loopback_peer(connection), "without a key (WIGWAG_API_KEY) only this machine is served"),
        (
            _OF_PROXIES.isdisjoint(headers.keys()),
            "without a key (WIGWAG_API_KEY) no request that came through a proxy is served",
        ),
        (
            _is_named_local(connection),
            "without a key (WIGWAG_API_KEY) the request must be to localhost, 127.0.0.1 or [::1]",
        ),
        (
            "origin" not in headers and headers.get("sec-fetch-site", "none") in ("none", "same-origin"),
            "without a key (WIGWAG_API_KEY) web pages are not served, only programs such as curl",
        ),
    )
    return next((why for is_right, why in checks if not is_right), None)


def _is_loopback_peer(connection: HTTPConnection) -> bool:
    return connection.client is not None and is_loopback(connection.client.host)


#: A name or an address, and perhaps a port.  RFC 9110, section 7.2.
_is_host = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(:[0-9]*)?", re.ASCII).fullmatch


def _is_named_local(connection: HTTPConnection) -> bool:
    host, *others = connection.headers.getlist("host") or [""]
    if others or _is_host(host) is None:
        return False
    name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    name = name.removesuffix(".").lower()
    return name.endswith(".localhost") or is_loopback(name)
