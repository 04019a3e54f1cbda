"""Over a broker whose confirmations the test holds: what a client sees of them."""

from __future__ import annotations

import pytest

from clocks import settle
from sockets.scripted_asgi import Peer, World, pass_time
from wigwag import SocketContext, SocketRouter, Sockets
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


async def joining(world: World) -> tuple[Peer, FakeBroker, Provider]:
    """A socket that may join topics, once the test has the broker confirm."""
    router = SocketRouter[None]()

    @router.on("join")
    async def join(ctx: SocketContext[None], data: str) -> str:
        await ctx.subscribe(data)
        return "live"

    broker = FakeBroker()
    provider = Provider(broker, settings=ProviderSettings(linger_s=0))
    sockets = Sockets(provider, routers=[router])
    await world.start(sockets)
    await settle()  # the node's own channels are live: nothing is owed to who comes now
    peer = await world.connect(sockets)
    broker.subscribing.shut()
    return peer, broker, provider


async def test_the_reply_to_a_join_waits_for_the_broker_and_later_ones_for_it(world: World) -> None:
    peer, broker, _ = await joining(world)
    await peer.say({"type": "join", "data": "a"}, {"type": "nope"})
    assert peer.take() == []
    broker.subscribing.open()
    await settle()
    assert [reply.get("data", reply.get("error")) for reply in peer.take()] == [
        "live",
        "Unknown message type",
    ]


async def test_a_join_that_the_broker_does_not_confirm_is_unavailable(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    peer, broker, _ = await joining(world)
    await peer.say({"type": "join", "data": "a"})
    await pass_time(5.1)
    (reply,) = peer.take()
    assert reply == {"type": "join", "error": "Unavailable"}
    assert "was not live within 5 s" in caplog.text
    broker.subscribing.open()


async def test_who_leaves_while_it_waits_for_the_broker_wants_nothing_afterwards(world: World) -> None:
    peer, broker, provider = await joining(world)
    await peer.say({"type": "join", "data": "a"})
    await peer.leave()
    broker.subscribing.open()
    await settle()
    assert provider.connection_count() == 0
    assert provider.topic_subscriber_count("a") == 0
    assert "a" not in broker.topics
    assert not peer.is_served
