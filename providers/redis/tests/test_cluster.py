"""Redis Cluster: topics on all shards, slots that move, masters that die."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from servers.redis import RedisCluster
from wigwag.broker import BrokerLost, Refused
from wigwag.settings import Secret
from wigwag.testing.contract import ContractSession, open_session
from wigwag.testing.contract.checks import until
from wigwag_redis import RedisBroker, RedisClusterBroker, RedisSettings, RedisUrl
from wigwag_redis.shards import read_slots
from wigwag_redis.url import Address

if TYPE_CHECKING:
    from conftest import MakeNode

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]

#: What stands in README.md.
ACL = "resetchannels &ws:* -@all +spublish +ssubscribe +sunsubscribe +cluster|slots"
TOPICS = [f"topic:{number}" for number in range(60)]


def url_of(cluster: RedisCluster) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)


def broker_of(cluster: RedisCluster) -> RedisClusterBroker:
    return RedisClusterBroker(RedisSettings(url=RedisUrl.parse(url_of(cluster))))


@pytest.fixture(scope="module")
def cluster() -> Generator[RedisCluster]:
    with RedisCluster(shards=3) as cluster:
        yield cluster


async def test_topics_are_spread_over_the_shards(cluster: RedisCluster) -> None:
    async with open_session(broker_of(cluster)) as one, open_session(broker_of(cluster)) as two:
        await one.subscribe(*TOPICS)
        for node in cluster.masters:
            assert len(node.command("PUBSUB", "SHARDCHANNELS").splitlines()) > 5
        for topic in TOPICS:
            await two.publish((topic, topic.encode()))
        for topic in TOPICS:
            await one.hear(topic, topic.encode())
            assert one.inbox.of(topic) == [topic.encode()]
        await one.unsubscribe(*TOPICS)
        assert [node.command("PUBSUB", "SHARDCHANNELS") for node in cluster.masters] == ["", "", ""]


async def test_a_lane_is_a_shard(cluster: RedisCluster) -> None:
    broker = broker_of(cluster)
    assert {broker.lane(topic) for topic in TOPICS} == {0}  # nothing is known yet
    async with open_session(broker):
        for topic in TOPICS:
            owner = cluster.owner(cluster.slot(f"ws:{topic}"))
            assert broker.pairs[broker.lane(topic)].address.port == owner.port
    assert {broker.lane(topic) for topic in TOPICS} == {0, 1, 2}  # as the last session knew it


async def test_a_batch_that_waited_since_another_session_may_have_topics_of_several_shards(
    cluster: RedisCluster,
) -> None:
    broker = broker_of(cluster)
    async with open_session(broker) as session:
        await session.subscribe(*TOPICS)
        await broker.publish([(topic, b"%d" % count) for count in range(3) for topic in TOPICS])
        for topic in TOPICS:
            await session.hear(topic, b"2")
            assert session.inbox.of(topic) == [b"0", b"1", b"2"]


async def test_a_hash_tag_keeps_topics_together(cluster: RedisCluster) -> None:
    broker = broker_of(cluster)
    async with open_session(broker):
        assert len({broker.lane(f"{{room}}:{number}") for number in range(50)}) == 1


async def test_what_is_forbidden_is_told_for_each_topic(cluster: RedisCluster) -> None:
    for node in cluster.masters:
        node.command("ACL", "SETUSER", "half", "on", ">secret", *ACL.replace("ws:*", "ws:a*").split())
    settings = RedisSettings(url=RedisUrl.parse(url_of(cluster)), username="half", password=Secret("secret"))
    topics = [f"{kind}:{number}" for kind in "ab" for number in range(10)]
    async with open_session(RedisClusterBroker(settings)) as session:
        with pytest.raises(Refused) as caught:
            await session.subscribe(*topics)
        assert set(caught.value.reasons or ()) == set(topics[10:])
        with pytest.raises(Refused) as caught:
            await session.broker.publish([(topic, topic.encode()) for topic in topics])
        assert set(caught.value.reasons or ()) == set(range(10, 20))
        for topic in topics[:10]:
            await session.hear(topic, topic.encode())


async def test_the_user_of_the_readme_may_do_all_that_is_needed(
    cluster: RedisCluster, make_node: MakeNode
) -> None:
    for node in cluster.masters:
        node.command("ACL", "SETUSER", "wigwag", "on", ">secret", *ACL.split())
    member = await make_node(url_of(cluster), username="wigwag", password=Secret("secret"))
    socket = await member.join(*TOPICS)
    for topic in TOPICS:
        await member.provider.publish(topic, topic)
    await until(lambda: sorted(map(str, socket.messages)) == sorted(TOPICS), 5, "all topics")
    assert member.provider.counters.sessions == 1


async def test_one_node_of_the_url_is_enough(cluster: RedisCluster) -> None:
    hosts = f"127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}"
    broker = RedisClusterBroker(RedisSettings(url=RedisUrl.parse(f"redis+cluster://{hosts}")))
    async with open_session(broker) as session:
        await session.check()
        assert len(broker.pairs) == 3


async def test_a_plain_url_to_a_node_hears_the_whole_cluster(cluster: RedisCluster) -> None:
    one, two = (RedisBroker(RedisSettings(url=RedisUrl.parse(node.url))) for node in cluster.masters[:2])
    async with open_session(one) as first, open_session(two) as second:
        await first.subscribe("lobby")
        await first.check()
        await second.publish(("lobby", b"from elsewhere"))
        await first.hear("lobby", b"from elsewhere")


async def test_a_link_to_one_shard_that_is_lost_ends_the_session(cluster: RedisCluster) -> None:
    for node in cluster.masters:
        async with open_session(broker_of(cluster)) as session:
            node.command("CLIENT", "KILL", "TYPE", "pubsub")
            if not session.is_over:
                node.command("CLIENT", "KILL", "TYPE", "normal")
            assert f"the link to 127.0.0.1:{node.port} is lost" in str(await session.end())


async def test_a_shard_that_hangs_fails_the_check(cluster: RedisCluster) -> None:
    """Core's probe goes through one shard; the others must answer too."""
    for node in cluster.masters:
        async with open_session(broker_of(cluster)) as session:
            node.pause()
            with anyio.move_on_after(0.3) as scope:
                await session.broker.check()
            node.resume()
            assert scope.cancelled_caught


async def test_a_receiving_link_that_is_deaf_fails_the_check(cluster: RedisCluster) -> None:
    broker = broker_of(cluster)
    async with open_session(broker):
        await broker.check()
        for pair in broker.pairs:
            transport = pair._receiver._transport
            assert transport is not None
            transport.pause_reading()
            with anyio.move_on_after(0.1) as scope:
                await broker.check()
            transport.resume_reading()
            assert scope.cancelled_caught


async def test_word_that_a_slot_has_moved_is_heard_during_a_call(cluster: RedisCluster) -> None:
    broker = broker_of(cluster)
    async with open_session(broker) as session, anyio.create_task_group() as tasks:
        tasks.start_soon(_subscribe, session)
        receiver = broker.pairs[broker.lane("a")]._receiver
        while not receiver._calls:
            await anyio.lowlevel.checkpoint()
        receiver.data_received(b"*3\r\n$12\r\nsunsubscribe\r\n$4\r\nws:b\r\n:0\r\n")
        # Whichever is heard first: the call's own, which is answered by a word of another, or what is left over.
        assert re.search(r"its slot has moved|ended it \(ssubscribe ws:a\)", str(await session.end()))


async def _subscribe(session: ContractSession) -> None:
    with contextlib.suppress(BrokerLost):
        await session.subscribe("a")


async def test_a_slot_that_moves_ends_the_session(cluster: RedisCluster) -> None:
    topic = "moving"
    slot = cluster.slot(f"ws:{topic}")
    source = cluster.owner(slot)
    target = next(node for node in cluster.masters if node is not source)
    async with open_session(broker_of(cluster)) as idle, open_session(broker_of(cluster)) as session:
        await session.subscribe(topic, *TOPICS)
        await anyio.to_thread.run_sync(cluster.move_slot, slot, source, target)
        assert "sunsubscribe" in str(await session.end())
        # Who had no channel there is told by the check, or where it publishes.
        with pytest.raises(BrokerLost, match="slots have moved"):
            await idle.broker.check()
        with pytest.raises(BrokerLost, match="not the server to ask any more: MOVED"):
            await idle.broker.publish([(topic, b"late")])
        with pytest.raises(BrokerLost, match="not the server to ask any more: MOVED"):
            await idle.broker.subscribe([topic])


async def test_nodes_live_through_a_slot_that_moves(cluster: RedisCluster, make_node: MakeNode) -> None:
    topic = "moving:too"
    nodes = [await make_node(url_of(cluster)) for _ in range(2)]
    sockets = [await node.join(topic) for node in nodes]
    slot = cluster.slot(f"ws:{topic}")
    source = cluster.owner(slot)
    target = next(node for node in cluster.masters if node is not source)
    await anyio.to_thread.run_sync(cluster.move_slot, slot, source, target)
    await until(lambda: all(socket.resyncs for socket in sockets), 20, "a word to each socket")
    await until(lambda: all(node.is_up for node in nodes), 10, "both are up")
    for node in nodes:
        await node.provider.publish(topic, "after")
    await until(lambda: all(socket.messages == ["after"] * 2 for socket in sockets), 5, "both messages")


async def test_nodes_live_through_the_death_of_a_master(make_node: MakeNode) -> None:
    with RedisCluster(shards=3, replicas=1) as cluster:
        nodes = [await make_node(url_of(cluster)) for _ in range(2)]
        sockets = [await node.join(*TOPICS) for node in nodes]
        await anyio.to_thread.run_sync(lambda: cluster.failover(1))
        await until(lambda: all(socket.resyncs for socket in sockets), 20, "a word to each socket")
        await until(lambda: all(node.is_up for node in nodes), 10, "both are up")
        for topic in TOPICS:
            await nodes[0].provider.publish(topic, topic)
        for socket in sockets:
            await until(lambda: sorted(map(str, socket.messages)) == sorted(TOPICS), 5, "all topics")  # noqa: B023


# What CLUSTER SLOTS says


def span(first: int, last: int, host: str | None, port: int) -> list[object]:
    return [first, last, [None if host is None else host.encode(), port, b"id", []], [b"replica", 1, b"id"]]


def test_a_master_may_have_several_ranges() -> None:
    reply = [span(8000, 16383, "b", 1), span(0, 99, "b", 1), span(100, 7999, "a", 2)]
    shards = read_slots(reply, Address("asked", 1))
    assert shards.masters == (Address("b", 1), Address("a", 2))
    assert [shards.slots[slot] for slot in (0, 99, 100, 7999, 8000, 16383)] == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("host", [None, ""])
def test_a_node_that_does_not_know_its_address_is_where_it_was_asked(host: str | None) -> None:
    shards = read_slots([span(0, 16383, host, 7000)], Address("asked", 1))
    assert shards.masters == (Address("asked", 7000),)


def test_slots_that_nobody_serves() -> None:
    with pytest.raises(BrokerLost, match=r"^the cluster at asked:1 has 84 slots that no master serves"):
        read_slots([span(100, 16383, "a", 1), span(0, 15, "b", 1)], Address("asked", 1))
