"""The connection that asks: after the topic and its id, its offsets and its settings; it makes the topic."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
from aiokafka import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NodeNotReadyError, for_code
from aiokafka.protocol.admin import (
    CreateTopicsRequest,
    DescribeConfigsRequest,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from wigwag.broker import BrokerLost
from wigwag_kafka.metadata import NO_ID, TopicRequest
from wigwag_kafka.quiet import LogFilter
from wigwag_kafka.settings import KafkaSettings
from wigwag_kafka.words import OLDEST, command, why, why_not_connected, why_not_made

BEGINNING: Final = -2
END: Final = -1
DEFAULT_PARTITIONS: Final = 16
_RETRY_S = 0.1
_UNKNOWN, _EXISTS, _NOT_CONTROLLER = 3, 36, 41
_TOPIC, _BROKER = 2, 4  # kinds of what has settings


class NoAnswer(BrokerLost):
    """No broker of the cluster answers."""


@dataclass(frozen=True)
class Topic:
    """What the cluster says of our topic."""

    id: bytes
    #: The node that leads each partition, by its number; -1 while there is none.
    leaders: tuple[int, ...]
    #: The smallest number of replicas that a partition has.
    replication: int


class Cluster:
    """A client that is idle, so that no answer waits behind a long poll."""

    def __init__(self, settings: KafkaSettings, options: Mapping[str, Any], log: LogFilter) -> None:
        self._settings = settings
        self._options = options
        self._log = log
        self.client: Any = AIOKafkaClient(bootstrap_servers=settings.bootstrap, **options)
        self._brokers: Any = None

    async def connect(self) -> None:
        """Connect to one of the brokers.

        Raises:
            BrokerLost: none can be reached, or lets us in; one line, of the first.
        """
        lost: str | None = None
        for host, port, _ in self.client.hosts:
            try:
                self._brokers = await self._brokers_by(host, port)
                break
            except (OSError, KafkaError, NotImplementedError, AssertionError) as exc:
                lost = lost or why_not_connected(exc, f"{host}:{port}", self._settings)
        else:
            raise BrokerLost(lost or "no Kafka broker is named")
        self.adopt(self.client)
        await self.client.bootstrap()

    async def _brokers_by(self, host: str, port: int) -> Any:
        connection = await create_conn(host, port, **self._options)
        try:
            return await connection.send(MetadataRequest([]))
        finally:
            connection.close()

    def adopt(self, client: Any) -> None:
        """Have a client of aiokafka's start from the brokers that we know.

        What it does itself says "unable to bootstrap", whatever the reason, and leaves a connection behind when it
        is cancelled.
        """

        async def bootstrap() -> None:
            client.cluster.update_metadata(self._brokers)
            client._sync_task = asyncio.create_task(client._md_synchronizer())

        client.bootstrap = bootstrap

    async def look(self) -> Topic | None:
        """What the topic is; None where there is none.

        Raises:
            NoAnswer: no broker answers.
            BrokerLost: it does not say.
        """
        response = await self.ask(TopicRequest(self._settings.topic))
        code, _, topic_id, _, partitions, *_ = response.topics[0]
        if code == _UNKNOWN:
            return None
        if code:
            raise BrokerLost(f"Kafka {why(for_code(code)())}")
        if topic_id == NO_ID:
            raise BrokerLost(f"Kafka is too old, or still speaks an older version inside: {OLDEST} is needed")
        found = {partition: (leader, len(replicas)) for _, partition, leader, _, replicas, *_ in partitions}
        leaders = tuple(found[number][0] for number in range(len(found)))
        return Topic(topic_id, leaders, min((count for _, count in found.values()), default=0))

    async def prepare(self, partitions: int) -> Topic:
        """The topic, made if it is missing, when each of its partitions has a leader.

        Raises:
            BrokerLost: it is missing and can't be made; the line holds the command that makes it.
        """
        topic = await self.look()
        if topic is None:
            await self._make(partitions)
        while topic is None or -1 in topic.leaders:
            await anyio.sleep(_RETRY_S / 2)
            topic = await self.look()
        return topic

    async def _make(self, partitions: int) -> None:
        reason = await self.try_to_make(partitions, really=True)
        if reason is not None:
            raise BrokerLost(reason)

    async def try_to_make(self, partitions: int, *, really: bool) -> str | None:
        """Make the topic, or only ask whether it could be made. Returns why it can't be."""
        settings = self._settings
        retention = str(round(settings.retention_s * 1000))
        # A segment that is written to is never deleted: without the second the first would mean little.
        config = [("cleanup.policy", "delete"), ("retention.ms", retention), ("segment.ms", retention)]
        replication = -1 if settings.replication is None else settings.replication
        wanted: list[Any] = [(settings.topic, partitions, replication, [], config)]
        request = CreateTopicsRequest(wanted, int(self._options["request_timeout_ms"]), not really)
        controller = self.client.cluster.controller
        response = await self.ask(request, None if controller is None else controller.nodeId)
        code = response.topic_errors[0][1]
        if code in (0, _EXISTS, _NOT_CONTROLLER):  # another node was faster; or the next session asks again
            return None
        return why_not_made(code, settings, command(settings, partitions, config))

    async def offsets(self, partitions: Collection[int], at: int) -> dict[int, int]:
        """Where these partitions begin or end, asked of their leaders until all have said it.

        Raises:
            BrokerLost: the topic has gone, or may not be looked at.
        """
        missing, found = set(partitions), dict[int, int]()
        while missing:
            topic = await self.look()
            if topic is None or max(missing) >= len(topic.leaders):
                raise BrokerLost(
                    f"the Kafka topic {self._settings.topic!r} was deleted, or made again, under us"
                )
            for leader in {topic.leaders[partition] for partition in missing} - {-1}:
                led = [partition for partition in missing if topic.leaders[partition] == leader]
                found |= await self._offsets_of(leader, led, at)
            missing -= found.keys()
            if missing:
                await anyio.sleep(_RETRY_S)
        return found

    async def _offsets_of(self, leader: int, partitions: Collection[int], at: int) -> dict[int, int]:
        """Those that this leader says; not those that it leads no longer."""
        request = OffsetRequest(-1, 0, [(self._settings.topic, [(number, at) for number in partitions])])
        try:
            response = await self.client.send(leader, request)
        except KafkaError:
            return {}
        found = {}
        for number, code, _, offset in response.topics[0][1]:
            error = for_code(code)()
            if code and not error.retriable:
                raise BrokerLost(f"Kafka {why(error)}")
            if not code:
                found[number] = offset
        return found

    async def config(self, node: int | None = None) -> dict[str, str]:
        """The settings of the topic, or of a broker; empty where this login, or nobody, may see them."""
        resource = (_TOPIC, self._settings.topic, None) if node is None else (_BROKER, str(node), None)
        try:
            response = await self.ask(DescribeConfigsRequest([resource]), node)
        except NoAnswer as exc:
            if isinstance(exc.__cause__, IncompatibleBrokerVersion):
                return {}  # what speaks Kafka's protocol need not have this part of it
            raise
        code, _, _, _, entries = response.resources[0]
        return {} if code else {name: value for name, value, *_ in entries}

    def request_versions(self) -> dict[int, int]:
        """The newest version of each kind of request that a broker speaks, by the kind's number."""
        found = [connection._versions for connection in self.client._conns.values()]
        return {kind: newest for kind, (_, newest) in found[0].items()} if found else {}

    async def ask(self, request: Any, node: int | None = None) -> Any:
        """The answer of this node, or of any.

        Raises:
            NoAnswer: none answers.
        """
        nodes = [broker.nodeId for broker in self.client.cluster.brokers()] if node is None else [node]
        random.shuffle(nodes)
        lost: Exception | None = None
        for number in nodes:
            try:
                return await self.client.send(number, request)
            except (KafkaError, NotImplementedError) as exc:
                lost = exc
        raise NoAnswer(self._why_silent(lost, nodes)) from lost

    def _why_silent(self, exc: Exception | None, nodes: list[int]) -> str:
        if not nodes:
            return "the Kafka cluster names no brokers"
        broker = self.client.cluster.broker_metadata(nodes[-1])
        where = "?" if broker is None else f"{broker.host}:{broker.port}"
        if isinstance(exc, NodeNotReadyError) and self._log.cause is not None:
            told = why_not_connected(self._log.cause, where, self._settings)
            return f"{told}; this is the address that the cluster names (advertised.listeners)"
        return why_not_connected(exc or KafkaError(), where, self._settings)
