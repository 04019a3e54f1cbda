"""What can be set of wigwag itself, whatever the provider."""
# ruff: noqa: RUF009 - setting() makes a field

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wigwag.patterns import Pattern
from wigwag.settings.fields import setting
from wigwag.settings.values import JwksUrl, Listen, Origin, SecretFile, Secrets

#: Of public keys: a JWK Set's. RFC 7518, section 3.1, and RFC 8037.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
LogFormat = Literal["console", "json"]
LogLevel = Literal["critical", "error", "warning", "info", "debug"]


@dataclass(frozen=True, kw_only=True)
class CoreSettings:
    """For every application.  Each is ``WIGWAG_`` and its name."""

    provider: str = setting(
        "memory", "How messages travel between processes: an installed provider (`wigwag providers`)."
    )
    allowed_origins: tuple[Origin, ...] = setting(
        (), "The origins whose pages may connect, besides the service's own."
    )
    compression: bool = setting(
        False,
        "Compress messages for the clients that can (permessage-deflate), on `wigwag.uvicorn:WebSocketProtocol`.",
    )
    compression_min_bytes: int = setting(
        1024, "Smaller messages are sent as they are: compressing them saves little.", at_least=0
    )


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """For ``wigwag serve``.  Each is ``WIGWAG_`` and its name; where there is an option of that name, the
    option counts."""

    listen: Listen = setting(
        Listen("127.0.0.1", 8000), "Where clients connect: `/ws`, and the page of the stock service."
    )
    internal_listen: Listen = setting(
        Listen("127.0.0.1", 9000),
        "Where backends publish, and health and metrics are asked for; never to be open to the public.",
    )
    workers: int | None = setting(
        None,
        "How many processes serve, on one listening port: as many as there are cores to use. Unless set, one alone.",
        at_least=1,
    )
    worker_timeout_s: float = setting(
        30.0,
        "How long a worker may be silent, since its event loop is blocked, before it is killed and replaced.",
    )
    worker_stop_timeout_s: float | None = setting(
        None,
        "How long a worker has to end when it is asked to, before it is killed. Unless set, what a drain may take.",
    )
    drain_delay_s: float = setting(
        0.0,
        "How long everything goes on after SIGTERM, with `/readyz` at 503, so that load balancers notice.",
        at_least=0,
    )
    drain_timeout_s: float = setting(20.0, "Within how long, after that, all sockets are closed with 1012.")
    drain_per_s: float = setting(
        500.0,
        "How many sockets are closed in a second then; more where they would not all be closed in time.",
        above=0,
    )
    rebalance: bool = setting(
        False,
        "Send sockets away, with 1012, while this node has a tenth more than the mean of all: after new ones started.",
    )
    rebalance_per_s: float = setting(10.0, "How many sockets a node sends away in a second then.", above=0)
    rebalance_interval_s: float = setting(
        10.0,
        "How often nodes tell each other how many sockets they have; three times that they wait and see.",
    )
    api_key: Secrets | None = setting(
        None,
        "What backends send as `Authorization: Bearer …` to publish. Without it only this machine may.",
    )
    api_key_file: SecretFile | None = setting(
        None, "The same from a file, one key a line, which is read again when it changes."
    )
    jwt_secret: Secrets | None = setting(
        None,
        "Clients of the stock service bring a token (HS256) that was signed with this; at least 32 characters.",
    )
    jwt_secret_file: SecretFile | None = setting(
        None, "The same from a file, one secret a line, which is read again when it changes."
    )
    jwks_url: JwksUrl | None = setting(
        None, "Where the public keys of whoever issues tokens are fetched (a JWK Set)."
    )
    jwks_file: SecretFile | None = setting(None, "The same from a file, which is read again when it changes.")
    jwks_refresh_s: float = setting(
        300.0, "How often the keys are fetched again; also when a token names one that is new."
    )
    jwt_algorithms: tuple[Algorithm, ...] = setting(
        ("RS256", "ES256", "EdDSA"), "By which algorithms a token of a public key may be signed."
    )
    jwt_audience: tuple[str, ...] = setting((), "Whom a token must be for (`aud`): one of these.")
    jwt_issuer: tuple[str, ...] = setting((), "Who must have issued a token (`iss`): one of these.")
    jwt_leeway_s: float = setting(10.0, "By how much the clocks of issuer and server may differ.", at_least=0)
    jwt_topics: tuple[Pattern, ...] = setting(
        (), "Topics that each client with a token may join, beside those of its claim `topics`."
    )
    jwt_publish: tuple[Pattern, ...] = setting(
        (), "Topics that each client with a token may publish to, beside those of its claim `publish`."
    )
    insecure: bool = setting(
        False,
        "Let the stock service listen beyond this machine although it asks for no token, so that anyone may join "
        "and publish.",
    )
    log_level: LogLevel = setting("info", "The least severe that is logged, to standard error.")
    log_format: LogFormat = setting(
        "console", "How: lines for people, or one JSON object a line, with node, socket and trace."
    )
    unready_after_s: float = setting(
        30.0,
        "How long the link to the broker may be lost before `/readyz` says so: a random time from this to twice this.",
        at_least=0,
    )
    max_connections: int | None = setting(
        None,
        "How many sockets a process has at once; more are answered 503. Unless set, as many as it may open files for.",
        at_least=1,
    )
    connections_per_user: int = setting(
        100,
        "How many sockets a user of the stock service has at once on a process; one more is closed with 1013.",
        at_least=1,
    )
    handshakes_per_s: float = setting(
        1000.0,
        "How many sockets are let in in a second, and twice that at once; more are answered 503.",
        above=0,
    )
    handshake_timeout_s: float = setting(
        10.0, "How long who connects may take to ask for something; then the connection is closed."
    )
    messages_per_s: float = setting(
        100.0, "How many messages a client of the stock service may send in a second.", above=0
    )
    message_bytes: int = setting(
        65536, "The largest message that is taken from a client; a larger one closes with 1009.", at_least=1
    )
    topics_per_socket: int = setting(
        100, "How many topics a client of the stock service may join at once.", at_least=1
    )
    joins_per_s: float = setting(
        50.0, "How many topics a client of the stock service may join in a second.", above=0
    )

    @property
    def asks_for_tokens(self) -> bool:
        """Whether clients of the stock service must bring a token; else it is in development mode."""
        keys = (self.jwt_secret, self.jwt_secret_file, self.jwks_url, self.jwks_file)
        return any(key is not None for key in keys)

    @property
    def asks_for_key(self) -> bool:
        """Whether backends must bring an API key; else only this machine is served."""
        return self.api_key is not None or self.api_key_file is not None
