"""A client whose token expires, at the stock service that asks for it, on a clock that jumps."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import pytest

from clocks import backend
from signing import OTHER_SECRET, part, secrets, token
from wigwag.client import (
    ClientError,
    ConnectFailed,
    ConnectionRefused,
    Disconnected,
    ReconnectAttempt,
    RequestFailed,
)
from wigwag.client.tokens import Renewed, seconds_left, with_token
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service.app import create_app
from wigwag.service.clients import Clients
from wigwag.settings import ServiceSettings
from wigwag.testing import AppClient, AppConnection
from wigwag.tokens.keys import keys_of_secrets
from wigwag.tokens.sources import FixedKeys
from wigwag.tokens.verifying import Rules

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


class World:
    """The service; and who makes tokens for it, by the same clock."""

    def __init__(self) -> None:
        began = time.time() - anyio.current_time()
        self.now: Callable[[], float] = lambda: began + anyio.current_time()
        self.clients = Clients([FixedKeys(keys_of_secrets(secrets()))], Rules(), clock=self.now)
        provider = Provider(MemoryBroker(), name="memory")
        self.app = AppClient(
            create_app(ServiceSettings(), clients=self.clients, provider=provider, only_local=False)
        )
        self.given: list[str] = []
        self.errors: list[ClientError] = []

    def token(self, ttl_s: float = 100, **given: Any) -> str:
        # Without a beginning, which the server compares with another clock.
        made = token(**{"iat": None, "exp": self.now() + ttl_s, "topics": ["orders:*"]} | given)
        self.given.append(made)
        return made

    async def connect(self, source: Any, **options: Any) -> AppConnection:
        given: dict[str, Any] = {"heartbeat_interval_s": 1000.0, **options}
        client = self.app.socket(token=source, **given)
        client.on_error(self.errors.append)
        await client.connect()
        return client


@pytest.fixture
async def world(anyio_backend: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[World]:
    world = World()
    monkeypatch.setattr(seconds_left, "__defaults__", (world.now,))
    async with world.app:
        yield world


async def test_a_fresh_token_goes_over_the_open_connection_in_time_again_and_again(world: World) -> None:
    client = await world.connect(lambda: world.token(100))
    await client.join_room("orders:7")
    await anyio.sleep(1000)
    assert client.state == "connected"
    assert world.errors == []
    assert 10 <= len(world.given) <= 17  # each at 65 to 85 % of the time of the one before
    assert world.clients.refused == {}


async def test_those_who_came_together_don_t_all_come_again_together(world: World) -> None:
    sent: list[float] = []

    async def give() -> str:
        sent.append(anyio.current_time())
        return world.token(100)

    for _ in range(5):
        await world.connect(give)
    began = anyio.current_time()
    await anyio.sleep(90)
    renewals = [at - began for at in sent if at > began][:5]
    assert len(set(renewals)) == 5
    assert all(65 <= at <= 85 for at in renewals)


async def test_a_token_that_is_a_text_ends_the_connection_with_its_time(world: World) -> None:
    client = await world.connect(world.token(100))
    await anyio.sleep(101)
    assert client.state == "refused"
    assert isinstance(client.error, ConnectionRefused)
    assert client.error.reason == "token expired"
    assert world.errors == [client.error]


async def test_one_that_is_refused_is_told_and_the_next_is_tried_in_what_is_left(world: World) -> None:
    sources = [
        lambda: world.token(100),
        lambda: world.token(100, key=OTHER_SECRET),
        lambda: world.token(100),
    ]
    client = await world.connect(lambda: sources.pop(0)())
    await anyio.sleep(99)
    (error,) = world.errors
    assert isinstance(error, RequestFailed)
    assert (error.type, error.details[0]["message"]) == ("auth.authenticate", "token not valid")
    await anyio.sleep(50)
    assert client.state == "connected"


async def test_a_function_that_fails_is_told_and_asked_again(world: World) -> None:
    async def give() -> str:
        if len(world.given) == 1 and not world.errors:
            raise OSError("offline")
        return world.token(100)

    client = await world.connect(give)
    await anyio.sleep(150)
    (error,) = world.errors
    assert "OSError('offline')" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert client.state == "connected"


async def test_a_function_that_hangs_is_told_and_asked_again(world: World) -> None:
    async def give() -> str:
        if len(world.given) == 1 and not world.errors:
            await anyio.sleep_forever()
        return world.token(1000)

    client = await world.connect(give, request_timeout_s=3.0)
    await anyio.sleep(1500)
    assert ["TimeoutError()" in str(error) for error in world.errors] == [True]
    assert client.state == "connected"


async def test_a_server_that_takes_none_is_not_asked_without_end(world: World) -> None:
    client = await world.connect(
        lambda: world.token(1000, key=OTHER_SECRET) if world.given else world.token(1000)
    )
    await anyio.sleep(999)
    assert 2 < len(world.errors) < 10  # ten refusals a minute would end the connection
    assert client.state == "connected"


async def test_rooms_that_it_does_not_allow_are_told_as_refused_and_may_be_asked_for_again(
    world: World,
) -> None:
    allowed = ["*"]
    client = await world.connect(lambda: world.token(100, topics=list(allowed)))
    for room in ("a", "b"):
        await client.join_room(room)
    allowed[:] = ["a"]
    await anyio.sleep(90)
    (error,) = world.errors
    assert isinstance(error, RequestFailed)
    assert (error.type, error.error) == ("room.join", "Forbidden")
    assert error.details == [{"path": "$.room", "message": "b by the newer token"}]
    assert client.rooms == {"a", "b"}
    with pytest.raises(RequestFailed, match="Forbidden"):
        await client.join_room("b")
    allowed[:] = ["*"]
    await anyio.sleep(90)
    await client.join_room("b")


async def test_closed_for_its_age_it_connects_once_more_with_a_fresh_one(world: World) -> None:
    seen: list[object] = []

    def give() -> str:  # the first, until its time is over
        return world.given[0] if world.given and not seen else world.token(100)

    client = await world.connect(give, reconnect=True)
    client.on(Disconnected, seen.append)
    client.on(ReconnectAttempt, lambda event: seen.append(event.attempt))
    await client.join_room("orders:7")
    await anyio.sleep(102)
    assert seen == [Disconnected(1008, "token expired", will_reconnect=True), 1]
    assert client.state == "connected"
    await client.join_room("orders:7")
    await anyio.sleep(1000)
    assert client.state == "connected"


async def test_it_gives_up_where_the_fresh_one_is_too_old_as_well(world: World) -> None:
    old = token(exp=int(time.time()) - 60)
    asked = 0

    def give() -> str:
        nonlocal asked
        asked += 1
        return old

    client = world.app.socket(token=give, reconnect=True)
    with pytest.raises(ConnectionRefused, match="token expired"):
        await client.connect()
    assert asked == 2
    with pytest.raises(ConnectionRefused):  # and once more when it is told to
        await client.connect()
    assert asked == 4


async def test_it_does_not_try_again_where_it_is_not_to_reconnect(world: World) -> None:
    client = world.app.socket(token=lambda: token(exp=int(time.time()) - 60), reconnect=False)
    with pytest.raises(ConnectionRefused, match="token expired"):
        await client.connect()
    assert client.state == "refused"


async def test_a_token_that_can_t_be_had_is_a_failed_attempt(world: World) -> None:
    def give() -> str:
        raise OSError("offline")

    client = world.app.socket(token=give, reconnect=False)
    with pytest.raises(
        ConnectFailed, match=r"the function that gives the token failed: OSError\('offline'\)"
    ):
        await client.connect()


async def test_disconnected_it_asks_for_none(world: World) -> None:
    client = await world.connect(lambda: world.token(100))
    await client.disconnect()
    await anyio.sleep(1000)
    assert len(world.given) == 1


# What is told of a token


def jwt(**claims: Any) -> str:
    return f"e30.{part(claims)}.x"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (jwt(exp=1900), 900),
        (jwt(exp=1900.5), 900.5),
        (jwt(exp=1900, iat=1800), 100),  # our clock is slow: it was not made for longer
        (jwt(exp=900, iat=0), 2),  # our clock is fast: the server has just taken it
        (jwt(sub="u"), None),
        (jwt(exp="soon"), None),
        ("opaque", None),
        ("", None),
        ("a.b.c", None),
        ("a.!.c", None),
        (f"e30.{part(b'[' * 5000)}.x", None),
    ],
)
def test_for_how_long_a_token_is_good(text: str, seconds: float | None) -> None:
    assert seconds_left(text, lambda: 1000.0) == seconds


def test_an_application_s_own_answer_to_a_token_says_nothing() -> None:
    for data in (b"null", b"7", b'{"left": 3}', b"{}"):
        assert Renewed.of(data) == Renewed(None, [])
    assert Renewed.of(b'{"expiresInS": 7, "left": ["a"], "user": "u"}') == Renewed(7, ["a"])


def test_the_token_takes_the_place_of_a_header_of_that_name() -> None:
    assert with_token({"authorization": "x", "X-A": "1"}, "t") == {"X-A": "1", "Authorization": "Bearer t"}
    assert with_token({"authorization": "x"}, "") == {"authorization": "x"}
