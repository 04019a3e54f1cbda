"""The stock service with tokens: who is let in, what they may do, and what happens when their time is over."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from clocks import backend
from signing import OTHER_SECRET, jwk, jwks, secrets, signed, token
from sockets.scripted_asgi import Peer, World, pass_time
from wigwag.errors import SettingsError
from wigwag.memory import MemoryBroker
from wigwag.patterns import Pattern
from wigwag.provider import Provider
from wigwag.service.app import create_app
from wigwag.service.clients import Clients, clients_of
from wigwag.settings import JwksUrl, SecretFile, Secrets, ServiceSettings
from wigwag.tokens.fetching import FetchFailed
from wigwag.tokens.keys import keys_of_secrets
from wigwag.tokens.sources import FixedKeys, KeySource, RemoteKeys
from wigwag.tokens.verifying import Rules

pytestmark = pytest.mark.anyio

SETTINGS = ServiceSettings(jwt_secret=secrets())


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


@pytest.fixture
async def world(anyio_backend: Any) -> AsyncGenerator[World]:
    async with World() as world:
        yield world


class Service:
    """The stock service, and what it has refused."""

    def __init__(
        self,
        world: World,
        sources: list[KeySource] | None = None,
        settings: ServiceSettings | None = None,
        **rules: Any,
    ) -> None:
        self._world = world
        self.refused: Counter[str] = Counter()
        self.provider = Provider(MemoryBroker(), name="memory")
        #: The time of day: it goes on with the loop's clock, and may be set.
        self.set_by_s = 0.0
        began = time.time()
        self.clients = Clients(
            sources or [FixedKeys(keys_of_secrets(secrets()))],
            Rules(**rules),
            refused=self.refused,
            clock=lambda: began + anyio.current_time() - self._began_at + self.set_by_s,
        )
        self._began_at = 0.0
        self.app = create_app(
            settings or SETTINGS, clients=self.clients, provider=self.provider, only_local=False
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        self._began_at = anyio.current_time()
        async with self.app.router.lifespan_context(self.app):
            yield
            await self._world.stop()

    async def connect(self, text: str | None = None, **more: Any) -> Peer:
        return await self._world.connect(self.app, "/ws" if text is None else f"/ws?token={text}", **more)


@asynccontextmanager
async def serving(world: World, *args: Any, **more: Any) -> AsyncGenerator[Service]:
    service = Service(world, *args, **more)
    async with service.running():
        yield service
        for peer in world.peers:
            if peer.is_served:
                await peer.leave()


# At the handshake


def headers(text: str) -> dict[str, Any]:
    return {"headers": {"authorization": f"Bearer {text}"}}


def subprotocol(text: str) -> dict[str, Any]:
    return {"subprotocols": ["wigwag", f"wigwag.token.{text}"]}


async def test_a_token_is_brought_in_the_query(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(token())
        assert (await peer.ask("room.join", {"room": "orders:7"})).get("error") is None


@pytest.mark.parametrize("where", [headers, subprotocol])
async def test_or_where_no_log_has_it(world: World, where: Callable[[str], Any]) -> None:
    async with serving(world) as service:
        peer = await service.connect(**where(token()))
        assert (await peer.ask("room.join", {"room": "orders:7"})).get("error") is None


async def test_development_mode_agrees_on_the_subprotocol_too(world: World) -> None:
    app = create_app(SETTINGS, provider=Provider(MemoryBroker(), name="memory"), only_local=False)
    async with app.router.lifespan_context(app):
        peer = await world.connect(app, **subprotocol("any"))
        assert peer.accepted["subprotocol"] == "wigwag"
        await peer.leave()


async def test_the_token_is_not_the_subprotocol_that_is_agreed_on(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(**subprotocol(token()))
        assert peer.accepted["subprotocol"] == "wigwag"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
async def test_the_scheme_is_of_any_case(world: World, scheme: str) -> None:
    async with serving(world) as service:
        peer = await service.connect(headers={"authorization": f"{scheme} {token()}"})
        assert not peer.is_closed


@pytest.mark.parametrize(
    ("path", "more", "reason", "counted"),
    [
        ("/ws", {}, "token missing", "missing"),
        ("/ws?token=", {}, "token missing", "missing"),
        ("/ws", {"headers": {"authorization": "Basic YTpi"}}, "token missing", "missing"),
        ("/ws", {"subprotocols": ["wigwag"]}, "token missing", "missing"),
        ("/ws?token=x&token=y", {}, "token not valid", "several"),
        ("/ws?token=x", headers("x"), "token not valid", "several"),
        ("/ws?token=x", {}, "token not valid", "malformed"),
        ("/ws?token={forged}", {}, "token not valid", "signature"),
        ("/ws?token={expired}", {}, "token expired", "expired"),
    ],
)
async def test_who_brings_no_good_token_is_accepted_and_closed_with_1008(
    world: World, path: str, more: Any, reason: str, counted: str
) -> None:
    # Made now: a token that is made as the tests are collected has expired when they run.
    path = path.format(forged=token(OTHER_SECRET), expired=token(exp=1))
    async with serving(world) as service:
        peer = await world.connect(service.app, path, **more)
        assert peer.closed == (1008, reason)
        assert service.refused == {counted: 1}
        assert service.provider.connection_count() == 0
        assert service.provider.counters.refused == {"upgrade": 1}


async def test_nothing_that_a_stranger_sends_is_handled(world: World) -> None:
    async with serving(world) as service:
        peer = world.open(service.app, "/ws?token=x")
        peer.sends({"type": "room.join", "room": "orders:7"})
        await pass_time(0)
        assert peer.closed == (1008, "token not valid")
        assert service.provider.topic_subscriber_count("orders:7") == 0
        assert peer.take() == []


async def test_the_log_says_why_and_never_the_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    texts = [token(OTHER_SECRET), token(aud="chat")]
    with caplog.at_level(logging.INFO):
        async with serving(world) as service:
            for text in texts:
                await service.connect(text)
    assert "a token was refused (signature)" in caplog.text
    assert "(audience)" not in caplog.text  # strangers do not fill the log
    assert not any(part in caplog.text for text in texts for part in text.split("."))


# What clients may do


async def test_a_client_joins_what_its_token_allows_and_nothing_else(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(token(topics=["orders:*", "user:{sub}"]))
        for room in ("orders:7", "user:ann"):
            assert "error" not in await peer.ask("room.join", {"room": room})
        for room in ("orders", "orders:7:items", "orders:", "user:bob", "__broadcast__", "no topic!", ""):
            assert (await peer.ask("room.join", {"room": room}))["error"] == "Forbidden"
        await service.provider.publish("orders:7", "paid")
        await service.provider.publish("user:bob", "secret")
        await pass_time(0)
        assert peer.take() == ["paid"]


async def test_publishing_is_apart_from_joining_and_off_unless_granted(world: World) -> None:
    async with serving(world) as service:
        ann = await service.connect(token(topics=["orders:*"]))
        bob = await service.connect(token(sub="bob", topics=[], publish=["orders:*"]))
        await ann.ask("room.join", {"room": "orders:7"})
        assert (await ann.ask("publish", {"topic": "orders:7", "text": "hi"}))["error"] == "Forbidden"
        assert (await bob.ask("publish", {"topic": "lobby", "text": "hi"}))["error"] == "Forbidden"
        assert (await bob.ask("room.join", {"room": "orders:7"}))["error"] == "Forbidden"
        assert "error" not in await bob.ask("publish", {"topic": "orders:7", "text": "hi"})
        assert ann.take() == ["hi"]


async def test_no_client_can_speak_as_the_server(world: World) -> None:
    resync = '{"name":"wigwag.resync","data":{"topics":[],"spreadMs":0},"timestamp":1}'
    async with serving(world) as service:
        ann = await service.connect(token(topics=["orders:*"], publish=["orders:*"]))
        await ann.ask("room.join", {"room": "orders:7"})
        for content in ({"name": "wigwag.resync", "data": {}}, {"text": resync}):
            answer = await ann.ask("publish", {"topic": "orders:7", **content})
            assert answer["error"] == "Validation failed"
            assert "the server's own" in answer["details"][0]["message"]
        assert ann.take() == []


async def test_what_settings_grant_each_client_may_do(world: World) -> None:
    rules = {"topics": (Pattern("user:{sub}"),), "publish": (Pattern("chat:*"),)}
    async with serving(world, **rules) as service:
        peer = await service.connect(token(topics=None))
        assert "error" not in await peer.ask("room.join", {"room": "user:ann"})
        assert "error" not in await peer.ask("publish", {"topic": "chat:1", "text": "hi"})
        assert (await peer.ask("room.join", {"room": "chat:1"}))["error"] == "Forbidden"


async def test_a_user_is_disconnected_by_the_name_in_its_token(world: World) -> None:
    async with serving(world) as service:
        ann, bob = await service.connect(token()), await service.connect(token(sub="bob"))
        await service.provider.disconnect_user("ann", 1008, "signed out")
        await pass_time(0)
        assert (ann.closed, bob.closed) == ((1008, "signed out"), None)


# The end of a token


def lasting(seconds: float, **given: Any) -> str:
    return token(exp=int(time.time()) + int(seconds), **given)


async def test_a_socket_is_closed_when_its_token_expires(world: World) -> None:
    async with serving(world, leeway_s=5) as service:
        peer = await service.connect(lasting(60))
        await pass_time(62)
        assert not peer.is_closed
        await pass_time(5)
        assert peer.closed == (1008, "token expired")
        assert service.refused == {"expired while open": 1}


async def test_a_newer_token_in_time_keeps_it_open(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(lasting(60))
        await pass_time(50)
        reply = await peer.ask("auth.authenticate", {"token": lasting(120)})
        assert reply["data"].pop("expiresInS") in (69, 70)
        assert reply["data"] == {"user": "ann", "left": []}
        await pass_time(60)
        assert not peer.is_closed
        await pass_time(12)
        assert peer.closed == (1008, "token expired")


async def test_a_newer_token_may_also_end_sooner(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(lasting(3600))
        await peer.ask("auth.authenticate", {"token": lasting(10)})
        await pass_time(12)
        assert peer.closed == (1008, "token expired")


async def test_what_the_newer_token_does_not_allow_is_left(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(token(topics=["orders:*", "news"], publish=["chat"]))
        for room in ("orders:7", "orders:8", "news"):
            await peer.ask("room.join", {"room": room})
        reply = await peer.ask("auth.authenticate", {"token": token(topics=["news", "chat"])})
        assert reply["data"]["left"] == ["orders:7", "orders:8"]
        assert service.provider.topic_subscriber_count("orders:7") == 0
        assert service.provider.topic_subscriber_count("news") == 1
        assert (await peer.ask("room.join", {"room": "orders:7"}))["error"] == "Forbidden"
        assert (await peer.ask("publish", {"topic": "chat", "text": "x"}))["error"] == "Forbidden"
        assert "error" not in await peer.ask("room.join", {"room": "chat"})


@pytest.mark.parametrize(
    ("text", "told", "counted"),
    [
        (lambda: token(OTHER_SECRET), "token not valid", "signature"),
        (lambda: token(exp=1), "token expired", "expired"),
        (lambda: token(sub="bob"), "a token of another user", "user"),
        (lambda: "", "token not valid", "malformed"),
    ],
)
async def test_a_token_that_is_not_good_changes_nothing(
    world: World, text: Callable[[], str], told: str, counted: str
) -> None:
    async with serving(world) as service:
        peer = await service.connect(lasting(60))
        await peer.ask("room.join", {"room": "orders:7"})
        reply = await peer.ask("auth.authenticate", {"token": text()})
        assert reply["error"] == "Forbidden"
        assert reply["details"] == [{"path": "$.token", "message": told}]
        assert service.refused == {counted: 1}
        assert service.provider.topic_subscriber_count("orders:7") == 1
        await pass_time(62)
        assert peer.closed == (1008, "token expired")


async def test_who_goes_on_trying_tokens_is_closed(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(token())
        for _ in range(10):
            await peer.ask("auth.authenticate", {"token": "guess"})
        assert not peer.is_closed
        await peer.say({"type": "auth.authenticate", "token": "guess"})
        assert peer.closed == (1008, "token refused")


async def test_a_clock_that_is_set_back_lets_a_token_be_good_for_longer(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(lasting(60))
        service.set_by_s = -30
        await pass_time(62)
        assert not peer.is_closed
        await pass_time(30)
        assert peer.closed == (1008, "token expired")


async def test_a_loop_that_was_held_up_catches_up(world: World) -> None:
    from clocks import jump

    async with serving(world) as service:
        peer = await service.connect(lasting(60))
        jump(61)
        await pass_time(1.5)
        assert peer.closed == (1008, "token expired")


async def test_a_token_that_outlives_the_server_costs_nothing(world: World) -> None:
    async with serving(world) as service:
        peer = await service.connect(token(exp=2**53))
        await pass_time(1)
        assert not peer.is_closed


async def test_who_has_gone_is_not_waited_for(world: World) -> None:
    async with serving(world) as service:
        peers = [await service.connect(lasting(60)) for _ in range(3)]
        assert not service.clients._wheel.is_empty
        for peer in peers:
            await peer.leave()
        assert service.clients._wheel.is_empty


# Keys that come and go


class Issuer:
    """Where keys are fetched; a test says what is there."""

    def __init__(self) -> None:
        self.document: bytes | None = None
        self.fetched = 0

    async def __call__(self, url: str, *, timeout_s: float, limit_bytes: int) -> bytes:
        self.fetched += 1
        if self.document is None:
            raise FetchFailed("it was answered with 503")
        return self.document


def remote(issuer: Issuer) -> RemoteKeys:
    return RemoteKeys("https://id.example/jwks", ("ES256",), 300, fetch=issuer)


def kid(name: str) -> dict[str, str]:
    return {"kid": name}


async def test_a_key_that_is_new_is_fetched_when_a_token_names_it(world: World) -> None:
    issuer = Issuer()
    issuer.document = jwks(jwk("ES256", kid="a"))
    async with serving(world, [remote(issuer)]) as service:
        assert not (await service.connect(signed("ES256", headers=kid("a")))).is_closed
        await pass_time(15)
        issuer.document = jwks(jwk("ES256", kid="a"), jwk("ES256", 1, kid="b"))
        assert not (await service.connect(signed("ES256", 1, headers=kid("b")))).is_closed
        assert issuer.fetched == 2
        # Unknown ones, however many, bring no more than one fetch in ten seconds.
        for number in range(5):
            peer = await service.connect(signed("ES256", 1, headers=kid(f"x{number}")))
            assert peer.closed == (1008, "token not valid")
        assert issuer.fetched == 2
        assert service.refused == {"key": 5}


async def test_while_there_are_no_keys_nobody_is_refused_for_good(world: World) -> None:
    issuer = Issuer()
    async with serving(world, [remote(issuer)]) as service:
        assert service.clients.obstacles == [
            "no keys from https://id.example/jwks yet: it was answered with 503"
        ]
        peer = await service.connect(
            signed("ES256", headers=kid("a")), extensions={"websocket.http.response": {}}
        )
        assert peer.events[0]["status"] == 503
        assert dict(peer.events[0]["headers"])[b"retry-after"] == b"5"
        assert service.refused == {"no keys": 1}
        issuer.document = jwks(jwk("ES256", kid="a"))
        await pass_time(15)
        assert service.clients.obstacles == []
        assert not (await service.connect(signed("ES256", headers=kid("a")))).is_closed


# Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"jwt_secret": Secrets.parse("short")},
            "WIGWAG_JWT_SECRET: a secret for tokens has at least 32 characters",
        ),
        (
            {"jwt_secret": secrets(), "jwt_secret_file": SecretFile("/x")},
            "WIGWAG_JWT_SECRET and WIGWAG_JWT_SECRET_FILE are both set: one of them says it",
        ),
        (
            {"jwks_url": JwksUrl("https://x"), "jwks_file": SecretFile("/x")},
            "WIGWAG_JWKS_URL and WIGWAG_JWKS_FILE are both set: one of them says it",
        ),
        (
            {"jwks_file": SecretFile("/nowhere/keys")},
            "WIGWAG_JWKS_FILE=/nowhere/keys: no such file or directory",
        ),
        (
            {"jwt_secret_file": SecretFile("/nowhere/keys")},
            "WIGWAG_JWT_SECRET_FILE=/nowhere/keys: no such file or directory",
        ),
        (
            {"jwks_url": JwksUrl("https://x"), "jwt_algorithms": ()},
            "WIGWAG_JWT_ALGORITHMS is empty: no token of a public key could be verified",
        ),
        (
            {"jwt_audience": ("chat",)},
            "WIGWAG_JWT_AUDIENCE is set, and no keys for tokens: set WIGWAG_JWT_SECRET or WIGWAG_JWKS_URL too",
        ),
        (
            {"jwt_topics": (Pattern("a"),)},
            "WIGWAG_JWT_TOPICS is set, and no keys for tokens: set WIGWAG_JWT_SECRET or WIGWAG_JWKS_URL too",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        clients_of(ServiceSettings(**settings))
    assert str(caught.value) == said


def test_keys_of_an_identity_provider_without_an_audience_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "keys").write_bytes(jwks(jwk("ES256")))
    keys = SecretFile(tmp_path / "keys")
    assert clients_of(ServiceSettings(jwks_file=keys, jwt_audience=("chat",))) is not None
    assert clients_of(ServiceSettings(jwt_secret=secrets())) is not None
    assert caplog.text == ""
    assert clients_of(ServiceSettings(jwks_file=keys)) is not None
    assert "WIGWAG_JWT_AUDIENCE is not set" in caplog.text


def test_without_keys_it_is_development_mode() -> None:
    assert clients_of(ServiceSettings()) is None


async def test_in_development_mode_a_token_is_as_good_as_none(world: World) -> None:
    provider = Provider(MemoryBroker(), name="memory")
    app = create_app(provider=provider, only_local=False)
    async with app.router.lifespan_context(app):
        peer = await world.connect(app, "/ws?token=anything")
        reply = await peer.ask("auth.authenticate", {"token": "anything"})
        assert reply["data"] == {"user": None, "expiresInS": None, "left": []}
        await peer.leave()
