"""What a page is told of a running node: who asks for it, how often, and what it costs who does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from clocks import backend, settle
from sockets.scripted_asgi import Peer, World
from wigwag import Limits, MessageRegistry, SocketContext, Sockets
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service import stats as module
from wigwag.service.stats import INTERVAL_S, MOST_TOPICS, Stats
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


class Service:
    """Sockets with rooms and statistics, running on a scripted server."""

    def __init__(self, world: World, provider: Any, may_watch: Any = None) -> None:
        self.world = world
        self.provider = provider
        self.stats = Stats(lambda: provider, may_watch)
        registry = MessageRegistry[None]().rooms(anyone=True)
        self.stats.add_to(registry)
        self.sockets = Sockets(provider, routers=[registry], limits=Limits(send_messages=3))

    async def connect(self, *topics: str) -> Peer:
        peer = await self.world.connect(self.sockets)
        for topic in topics:
            await peer.ask("room.join", {"room": topic})
        return peer


@pytest.fixture
async def world(anyio_backend: Any) -> AsyncIterator[World]:
    async with World() as world:
        yield world


@pytest.fixture
async def service(world: World) -> AsyncIterator[Service]:
    service = Service(world, Provider(MemoryBroker(), name="memory"))
    await world.start(service.sockets)
    async with service.stats.running():
        yield service


async def told(peer: Peer) -> list[dict[str, Any]]:
    """The events of the next interval."""
    peer.take()
    await anyio.sleep(INTERVAL_S)
    await settle()
    events = peer.take()
    assert {event["name"] for event in events} <= {"wigwag.stats"}
    return [event["data"] for event in events]


async def test_who_asks_has_the_numbers_at_once_and_each_second_from_then_on(service: Service) -> None:
    peer = await service.connect("lobby", "orders:7")
    other = await service.connect("lobby")
    await service.provider.publish("lobby", "hello")
    await settle()
    now = (await peer.ask("stats.subscribe"))["data"]
    assert service.provider.node is not None
    assert now == {
        "node": service.provider.node.tag,
        "provider": "memory",
        "isUp": True,
        "uptimeS": 0.0,
        "connections": 2,
        "topics": 2,
        "subscriptions": 3,
        "received": 4,
        "published": 1,
        "delivered": 2,
        "dropped": 0,
        "someTopics": [{"topic": "lobby", "sockets": 2}, {"topic": "orders:7", "sockets": 1}],
    }
    other.take()
    await other.leave()
    service.provider.counters.dropped["drop"] += 2
    service.provider.counters.dropped["close"] += 1
    (then,) = await told(peer)
    assert then == now | {
        "uptimeS": 1.0,
        "connections": 1,
        "subscriptions": 2,
        "dropped": 3,
        "someTopics": [{"topic": "lobby", "sockets": 1}, {"topic": "orders:7", "sockets": 1}],
    }
    assert (await told(peer)) == [then | {"uptimeS": 2.0}]  # watching is not counted itself
    assert other.take() == []


async def test_who_asks_twice_is_told_once(service: Service) -> None:
    peer = await service.connect()
    await peer.ask("stats.subscribe")
    await peer.ask("stats.subscribe")
    assert len(await told(peer)) == 1


async def test_who_no_longer_wants_them_is_told_no_more(service: Service) -> None:
    peer, other = await service.connect(), await service.connect()
    await peer.ask("stats.subscribe")
    await other.ask("stats.subscribe")
    assert (await peer.ask("stats.unsubscribe"))["data"] is None
    assert (await peer.ask("stats.unsubscribe"))["data"] is None
    assert await told(peer) == []
    assert len(await told(other)) == 1


async def test_while_nobody_watches_no_clock_ticks(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, leaver = await service.connect(), await service.connect()
    ticks = 0
    tell = service.stats._tell

    def counted() -> None:
        nonlocal ticks
        ticks += 1
        tell()

    monkeypatch.setattr(service.stats, "_tell", counted)
    await anyio.sleep(10)
    assert ticks == 0
    await peer.ask("stats.subscribe")
    await leaver.ask("stats.subscribe")
    assert len(await told(peer)) == 1
    await peer.ask("stats.unsubscribe")
    await leaver.leave()
    await anyio.sleep(3)  # it is seen that nobody is left
    ticks = 0
    await anyio.sleep(10)
    assert ticks == 0
    assert not service.stats._watchers
    await peer.ask("stats.subscribe")
    assert len(await told(peer)) == 1


async def test_who_does_not_keep_up_is_passed_over_and_not_closed(service: Service) -> None:
    peer = await service.connect()
    await peer.ask("stats.subscribe")
    peer.sending.shut()
    await anyio.sleep(20 * INTERVAL_S)
    assert not peer.is_closed
    peer.sending.open()
    await settle()
    assert len(peer.take()) <= 2
    assert [data["uptimeS"] for data in await told(peer)] == [21.0]


async def test_of_many_topics_it_names_as_many_as_are_told_in_little_time(service: Service) -> None:
    topics = [f"t:{n}" for n in range(MOST_TOPICS + 5)]
    peer = await service.connect(*topics)
    stats = (await peer.ask("stats.subscribe"))["data"]
    assert stats["topics"] == len(topics)
    assert [found["topic"] for found in stats["someTopics"]] == topics[:MOST_TOPICS]


async def test_who_may_not_watch_is_told_nothing_nor_who_may_no_longer(world: World) -> None:
    allowed: set[str] = set()

    def may_watch(ctx: SocketContext[None]) -> bool:
        return ctx.id in allowed

    service = Service(world, Provider(MemoryBroker()), may_watch)
    peer = await service.connect()
    async with service.stats.running():
        assert (await peer.ask("stats.subscribe"))["error"] == "Forbidden"
        assert await told(peer) == []
        assert service.provider.node is not None
        allowed.update(service.provider.node.fanout.sockets)
        await peer.ask("stats.subscribe")
        assert len(await told(peer)) == 1
        allowed.clear()
        assert await told(peer) == []


async def test_a_broker_that_is_away_is_seen(world: World) -> None:
    broker = FakeBroker()
    service = Service(world, Provider(broker, name="fake"))
    peer = await service.connect()
    async with service.stats.running():
        assert (await peer.ask("stats.subscribe"))["data"]["isUp"] is True
        broker.connecting.shut()
        broker.cut()
        await settle()
        peer.take()
        await anyio.sleep(INTERVAL_S)
        await settle()
        (stats,) = [event["data"] for event in peer.take() if event["name"] == "wigwag.stats"]
        assert stats["isUp"] is False
        assert stats["provider"] == "fake"


async def test_before_it_runs_and_after_it_has_there_are_none(world: World) -> None:
    service = Service(world, Provider(MemoryBroker()))
    peer = await service.connect()
    assert (await peer.ask("stats.subscribe"))["error"] == module.NO_STATS
    async with service.stats.running():
        await peer.ask("stats.subscribe")
    assert await told(peer) == []
    assert (await peer.ask("stats.subscribe"))["error"] == module.NO_STATS


async def test_the_event_is_small(service: Service) -> None:
    peer = await service.connect(*(f"orders:{n}" for n in range(10)))
    assert len(json.dumps(await peer.ask("stats.subscribe"))) < 1024
