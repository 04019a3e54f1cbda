"""A master that sentinels watch, and failovers."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from servers.redis import RedisSentinel
from servers.redis.sentinel import Sentinel
from wigwag.broker import BrokerLost
from wigwag.settings import Secret
from wigwag.testing.contract import RecordingInbox, open_session
from wigwag.testing.contract.checks import until
from wigwag_redis import RedisBroker, RedisSettings, RedisUrl

if TYPE_CHECKING:
    from conftest import MakeNode

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]


def url_of(sentinel: RedisSentinel, login: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinel.sentinels)
    return f"redis+sentinel://{login}{hosts}/{sentinel.name}"


@pytest.fixture(scope="module")
def watched() -> Generator[RedisSentinel]:
    """Watched by three, and shared: a test may have them hang, for a moment."""
    with RedisSentinel(sentinels=3) as sentinel:
        yield sentinel


@pytest.fixture
def three() -> Generator[RedisSentinel]:
    """Three with which the test may do anything."""
    with RedisSentinel(sentinels=3) as sentinel:
        yield sentinel


@contextmanager
def hanging(sentinels: Iterable[Sentinel]) -> Generator[None]:
    with ExitStack() as stack:
        for sentinel in sentinels:
            sentinel.pause()
            stack.callback(sentinel.resume)
        yield


async def test_a_session_is_with_the_master(watched: RedisSentinel) -> None:
    broker = RedisBroker(RedisSettings(url=RedisUrl.parse(url_of(watched))))
    async with open_session(broker) as session:
        assert broker.pairs[0].address.port == watched.master_port
        await session.check()


async def test_one_sentinel_that_answers_is_enough(watched: RedisSentinel) -> None:
    settings = RedisSettings(url=RedisUrl.parse(url_of(watched)), connect_timeout=0.2)
    with hanging(watched.sentinels[:2]):
        async with open_session(RedisBroker(settings)) as session:
            await session.check()
            with hanging(watched.sentinels[2:]):
                await session.check()  # the master serves, whether anybody watches it or not


async def test_a_sentinel_that_hangs_holds_nobody_up_where_most_agree(watched: RedisSentinel) -> None:
    settings = RedisSettings(url=RedisUrl.parse(url_of(watched)), connect_timeout=60)
    with hanging(watched.sentinels[1:2]):
        async with open_session(RedisBroker(settings)) as session:
            await session.check()


async def test_a_master_of_which_most_sentinels_think_no_more_fails_the_check(three: RedisSentinel) -> None:
    """It may be cut off from them, and serve only who is cut off with it."""
    replica = three.replica.port
    async with open_session(RedisBroker(RedisSettings(url=RedisUrl.parse(url_of(three))))) as session:
        for sentinel in three.sentinels[:2]:
            sentinel.command("SENTINEL", "REMOVE", three.name)
            sentinel.command("SENTINEL", "MONITOR", three.name, "127.0.0.1", replica, 1)
            if sentinel is three.sentinels[0]:
                await session.check()  # one of three may be mistaken
        with pytest.raises(
            BrokerLost, match=f"^the sentinels name 127.0.0.1:{replica} the master, no longer 127"
        ):
            await session.check()


async def test_after_a_failover_what_stragglers_publish_to_the_old_master_is_told(
    three: RedisSentinel,
) -> None:
    """Others find the new master at their own next probe; until then we do not hear them."""
    broker = RedisBroker(RedisSettings(url=RedisUrl.parse(url_of(three)), failover_s=0.2))
    for _ in range(2):
        async with open_session(broker) as session:
            await anyio.sleep(0.4)  # nothing is to come, which tells nobody
            assert session.inbox.gaps == []
    await anyio.to_thread.run_sync(three.failover)
    async with open_session(broker):
        pass  # one that ends before
    async with open_session(broker) as session:
        await until(lambda: bool(session.inbox.gaps), 5, "a gap")
        assert session.inbox.gaps == [None]


@pytest.mark.parametrize("kill", [False, True], ids=["asked for", "master killed"])
async def test_nodes_live_through_a_failover(three: RedisSentinel, make_node: MakeNode, kill: bool) -> None:
    nodes = [await make_node(url_of(three)) for _ in range(2)]
    sockets = [await node.join("lobby", f"own:{number}") for number, node in enumerate(nodes)]
    port = await anyio.to_thread.run_sync(lambda: three.failover(kill=kill))
    await until(lambda: all(socket.resyncs for socket in sockets), 20, "a word to each socket")
    assert {node.broker.pairs[0].address.port for node in nodes} == {port}
    for number, node in enumerate(nodes):
        await node.provider.publish("lobby", f"from {number}")
    for socket in sockets:
        await until(lambda: len(socket.messages) == 2, 5, "both messages")  # noqa: B023 - awaited at once


async def test_passwords_of_the_sentinels_and_of_the_master() -> None:
    lines = ["requirepass servers", "masterauth servers"]
    watch = ["requirepass watchers", "sentinel auth-pass wigwag servers"]
    with RedisSentinel(*lines, sentinel_lines=watch) as sentinel:
        url = RedisUrl.parse(url_of(sentinel, ":servers@"))
        settings = RedisSettings(url=url, sentinel_password=Secret("watchers"))
        async with open_session(RedisBroker(settings)) as session:
            await session.check()


async def test_sentinels_that_all_hang(watched: RedisSentinel) -> None:
    settings = RedisSettings(url=RedisUrl.parse(url_of(watched)), connect_timeout=0.2)
    with (
        hanging(watched.sentinels),
        pytest.raises(BrokerLost, match=r"^no sentinel answers: .* it did not answer within 0.2 s"),
    ):
        await RedisBroker(settings).run(RecordingInbox())
