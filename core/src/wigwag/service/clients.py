"""Clients of the stock service that bring a token: who they are, what they may do, and until when."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from wigwag.errors import SettingsError, SocketError
from wigwag.messages import Authenticate
from wigwag.settings import Secrets, ServiceSettings
from wigwag.sockets import MessageRegistry, SocketContext
from wigwag.tokens.files import WatchedFile
from wigwag.tokens.keys import keys_of_jwks, keys_of_secrets, require_cryptography
from wigwag.tokens.sources import FileKeys, FixedKeys, KeySource, RemoteKeys
from wigwag.tokens.verifying import EXPIRED, MISSING, Grant, Rules, TokenRefused, UnknownKey, Verifier
from wigwag.uvicorn.wheel import Wheel
from wigwag.wire.client import FORBIDDEN, REFUSED

logger: logging.Logger = logging.getLogger("wigwag.service")

#: The subprotocol that is agreed on with a client that offers it, beside the one in which its token stands.
SUBPROTOCOL: Final = "wigwag"
TOKEN_SUBPROTOCOL_PREFIX: Final = "wigwag.token."

#: How exactly the end of a token is kept.
_TICK_S: Final = 0.5
#: Nothing waits longer for it: whoever has a token for years is looked at again each week.
_LONGEST_S: Final = 7 * 24 * 3600.0
#: For a client that can't be let in yet.
_RETRY_AFTER_S: Final = 5
_LOGGED_EVERY_S: Final = 10.0

_ANOTHER_USER: Final = "a token of another user"


class Client:
    """Who hangs on a socket: its user, as far as the stock service is concerned."""

    __slots__ = ("_expired", "ctx", "grant", "slot", "turns")

    def __init__(self, grant: Grant, expired: Callable[[Client], None]) -> None:
        self.grant: Grant = grant
        self.ctx: SocketContext[Client] | None = None
        self._expired = expired
        # See Timed.
        self.slot: int | None = None
        self.turns: int = 0

    def is_due(self) -> None:
        """See :class:`~wigwag.uvicorn.wheel.Timed`."""
        self._expired(self)


Ctx = SocketContext[Client]


class Clients:
    """Lets in who brings a token, and closes whose token has expired."""

    def __init__(
        self,
        sources: Sequence[KeySource],
        rules: Rules,
        *,
        refused: Counter[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``refused`` counts tokens that are refused, by why; ``clock`` tells the seconds since the epoch."""
        self._sources = sources
        self._verifier = Verifier(self._keys, rules)
        self.refused: Counter[str] = Counter() if refused is None else refused
        self._clock = clock
        self._wheel = Wheel(_TICK_S)
        self._log = _Sparing()

    def _keys(self) -> Any:
        first, *others = (source.keys for source in self._sources)
        for keys in others:
            first = first + keys
        return first

    @property
    def obstacles(self) -> list[str]:
        """Why tokens can't be verified yet, if they can't."""
        return [source.trouble for source in self._sources if source.trouble is not None]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keep the keys up to date, and see tokens expire, for as long as the block runs."""
        async with AsyncExitStack() as stack:
            for source in self._sources:
                await stack.enter_async_context(source.running())
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self._watch_the_time)
            yield
            tasks.cancel_scope.cancel()

    # At the handshake

    async def upgrade(self, connection: HTTPConnection) -> Client:
        """The hook of ``Sockets``.

        Raises:
            SocketError: the socket is to be closed with 1008, and this reason.
            HTTPException: 503, it can't be told yet whether a token is good.
        """
        try:
            grant = await self._verify(token_of(connection))
        except TokenRefused as exc:
            self._note(exc)
            raise SocketError(exc.text) from None
        return Client(grant, self._expired)

    async def _verify(self, token: str) -> Grant:
        try:
            return self._verifier.verify(token)
        except TokenRefused as exc:
            obstacles = self.obstacles
            if not (isinstance(exc, UnknownKey) or (obstacles and exc.reason == "algorithm")):
                raise
            for source in self._sources:
                await source.look_for_newer()
            if self.obstacles:
                self.refused["no keys"] += 1
                headers = {"retry-after": str(_RETRY_AFTER_S)}
                raise HTTPException(503, "tokens can't be verified yet", headers) from None
        return self._verifier.verify(token)

    def _note(self, refused: TokenRefused) -> None:
        self.refused[refused.reason] += 1
        self._log("a token was refused (%s): %s", refused.reason, refused)

    def opened(self, ctx: Ctx) -> None:
        """The ``open`` handler."""
        ctx.user.ctx = ctx
        self._set_deadline(ctx.user)

    def closed(self, ctx: Ctx, code: int, reason: str) -> None:
        """The ``close`` handler."""
        self._wheel.drop(ctx.user)
        ctx.user.ctx = None

    # On the open socket

    def may_join(self, ctx: Ctx, topic: str) -> bool:
        """Whether the client may join."""
        return ctx.user.grant.may_join(topic)

    def may_publish(self, ctx: Ctx, topic: str) -> bool:
        """Whether the client may publish there."""
        return ctx.user.grant.may_publish(topic)

    def may_watch(self, ctx: Ctx) -> bool:
        """Whether the client may see the node's numbers."""
        return ctx.user.grant.stats

    def add_to(self, registry: MessageRegistry[Client]) -> None:
        """Have the registry handle the message by which a client brings a newer token."""
        registry.on(Authenticate, self._authenticate)

    async def _authenticate(self, ctx: Ctx, message: Authenticate) -> dict[str, Any]:
        client = ctx.user
        try:
            grant = await self._verify(message.token)
            if grant.user != client.grant.user:
                raise TokenRefused("user", "it is for another user than the socket's", _ANOTHER_USER)
        except TokenRefused as exc:
            self._note(exc)
            ctx._session.violated("token refused")
            raise SocketError(FORBIDDEN, [{"path": "$.token", "message": exc.text}]) from None
        except HTTPException as exc:
            raise SocketError("Unavailable") from exc
        client.grant = grant
        if not ctx.connection.is_closing:
            self._set_deadline(client)
        left = sorted(topic for topic in ctx.topics if not grant.may_join(topic))
        await ctx.unsubscribe(*left)
        return {"user": grant.user, "expiresInS": self._left_s(client), "left": left}

    # Expiry

    def _left_s(self, client: Client) -> int:
        return max(0, int(client.grant.expires_at - self._clock()))

    def _set_deadline(self, client: Client) -> None:
        left_s = client.grant.expires_at - self._clock()
        self._wheel.set(client, min(max(left_s, 0.0), _LONGEST_S))

    def _expired(self, client: Client) -> None:
        """Its time in the wheel is over; but the day's time is what counts, and may have been set."""
        if client.grant.expires_at > self._clock():
            self._set_deadline(client)
        elif client.ctx is not None:
            self.refused["expired while open"] += 1
            client.ctx._session.close(REFUSED, EXPIRED)

    async def _watch_the_time(self) -> None:
        ticked_at = anyio.current_time()
        while True:
            await anyio.sleep(_TICK_S)
            # All that has passed, should the loop have been held up.
            while anyio.current_time() - ticked_at >= _TICK_S:
                ticked_at += _TICK_S
                self._wheel.advance()


def token_of(connection: HTTPConnection) -> str:
    """The token of a handshake: ``?token=``, ``Authorization: Bearer``, or a subprotocol ``wigwag.token.…``.

    Raises:
        TokenRefused: there is none, or more than one.
    """
    found = connection.query_params.getlist("token")
    for value in connection.headers.getlist("authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            found.append(token.strip())
    found += [
        offered.removeprefix(TOKEN_SUBPROTOCOL_PREFIX)
        for offered in connection.scope.get("subprotocols") or ()
        if offered.startswith(TOKEN_SUBPROTOCOL_PREFIX)
    ]
    if not any(found):
        raise TokenRefused("missing", "the handshake brought none", MISSING)
    if len(found) > 1:
        raise TokenRefused("several", "the handshake brought more than one")
    return found[0]


class _Sparing:
    """Logs at most once in a while, and says how many it left out: strangers make these lines."""

    def __init__(self) -> None:
        self._next_at = float("-inf")
        self._left_out = 0

    def __call__(self, text: str, *args: object) -> None:
        now = time.monotonic()
        if now < self._next_at:
            self._left_out += 1
            return
        if self._left_out:
            text = f"{text}; {self._left_out} more since the last such line"
        self._next_at, self._left_out = now + _LOGGED_EVERY_S, 0
        logger.info(text, *args)


def clients_of(settings: ServiceSettings, refused: Counter[str] | None = None) -> Clients | None:
    """Who decides about clients, as the settings say; None where they name no keys: development mode.

    Raises:
        SettingsError: they contradict each other, a file can't be used, or the library for public keys is missing.
    """
    sources = [*_secret_sources(settings), *_public_sources(settings)]
    if not sources:
        for name in ("jwt_audience", "jwt_issuer", "jwt_topics", "jwt_publish"):
            if getattr(settings, name):
                variable = f"WIGWAG_{name.upper()}"
                raise SettingsError(
                    f"{variable} is set, and no keys for tokens: set WIGWAG_JWT_SECRET or WIGWAG_JWKS_URL too",
                    variable=variable,
                )
        return None
    if not settings.jwt_audience and (settings.jwks_url or settings.jwks_file):
        logger.warning(
            "WIGWAG_JWT_AUDIENCE is not set: whoever issues the tokens signs them for other services too, and those "
            "are taken here as well, unless they say for whom they are"
        )
    rules = Rules(
        audiences=settings.jwt_audience,
        issuers=settings.jwt_issuer,
        leeway_s=settings.jwt_leeway_s,
        topics=settings.jwt_topics,
        publish=settings.jwt_publish,
    )
    return Clients(sources, rules, refused=refused)


def _secret_sources(settings: ServiceSettings) -> Sequence[KeySource]:
    path, secrets = settings.jwt_secret_file, settings.jwt_secret
    if path is not None:
        _refuse_both(settings, "jwt_secret", "jwt_secret_file")

        def parse(content: bytes) -> Any:
            return keys_of_secrets(Secrets.parse_lines(content))

        return [FileKeys(WatchedFile(path, parse, "WIGWAG_JWT_SECRET_FILE"))]
    if secrets is None:
        return []
    try:
        return [FixedKeys(keys_of_secrets(secrets))]
    except ValueError as exc:
        raise SettingsError(f"WIGWAG_JWT_SECRET: {exc}", variable="WIGWAG_JWT_SECRET") from None


def _public_sources(settings: ServiceSettings) -> Sequence[KeySource]:
    url, path = settings.jwks_url, settings.jwks_file
    allowed = settings.jwt_algorithms
    if url is None and path is None:
        return []
    _refuse_both(settings, "jwks_url", "jwks_file")
    require_cryptography()
    if not allowed:
        variable = "WIGWAG_JWT_ALGORITHMS"
        raise SettingsError(
            f"{variable} is empty: no token of a public key could be verified", variable=variable
        )
    if url is not None:
        return [RemoteKeys(url, allowed, settings.jwks_refresh_s)]
    assert path is not None
    return [FileKeys(WatchedFile(path, lambda content: keys_of_jwks(content, allowed), "WIGWAG_JWKS_FILE"))]


def _refuse_both(settings: ServiceSettings, one: str, other: str) -> None:
    if getattr(settings, one) is not None and getattr(settings, other) is not None:
        names = [f"WIGWAG_{name.upper()}" for name in (one, other)]
        raise SettingsError(f"{names[0]} and {names[1]} are both set: one of them says it", variable=names[1])
