"""Kafka as a broker: one Kafka topic for all topics, its partitions read from end to end by every node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import anyio
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox, Refused
from wigwag_kafka.clients import abort, new_consumer, new_producer
from wigwag_kafka.cluster import BEGINNING, DEFAULT_PARTITIONS, END, Cluster, NoAnswer, Topic
from wigwag_kafka.positions import Positions
from wigwag_kafka.quiet import LogFilter
from wigwag_kafka.sending import largest_payload, send
from wigwag_kafka.settings import KafkaSettings, connection_options
from wigwag_kafka.unreadable import pass_over
from wigwag_kafka.words import why, why_unreadable

logger: logging.Logger = logging.getLogger("wigwag.kafka")

#: Kafka's own default of max.message.bytes, for where it may not be asked.
_DEFAULT_MESSAGE_BYTES: Final = 1_048_588
_POLL_MS: Final = 1000
_WATCH_S: Final = 0.2
_POLL_RECORDS: Final = 500


class KafkaBroker(Broker):
    """A session is a consumer, a producer, and an idle client that is asked for offsets.

    aiokafka mends its connections by itself: a session ends when core's probe does not come back, when the topic
    is not the one that it was, or when the producer is stuck.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(scope="fleet", order="sessions", keeps_messages=True)

    def __init__(self, settings: KafkaSettings) -> None:
        """Raises SettingsError where the settings do not fit together."""
        self._settings = settings
        self._options = connection_options(settings)
        self._positions = Positions()
        self._log = LogFilter()
        self._cluster: Cluster | None = None
        self._consumer: Any = None
        self._producer: Any = None
        self._inbox: Inbox | None = None
        self._has_new_metadata = anyio.Event()
        self._has_joined = False
        self._unreadable: set[str] = set()  # the causes that were logged

    # A session

    async def run(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._has_new_metadata = anyio.Event()
        self._has_joined = False
        self._log = LogFilter()
        self._log.attach()
        with self._log.claimed():
            await self._begin(inbox)
            self._log.is_silent = False
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._watch)
                    await self._receive(inbox)
            except ExceptionGroup as group:
                lost = group.exceptions[0]
                raise lost if isinstance(lost, BrokerLost) else BrokerLost(f"Kafka {why(lost)}") from lost

    async def _begin(self, inbox: Inbox) -> None:
        try:
            with anyio.fail_after(self._settings.connect_timeout):
                await self._open(inbox)
        except TimeoutError:
            cause = "" if self._log.cause is None else f"; the last that was heard: it {why(self._log.cause)}"
            limit = f"WIGWAG_KAFKA_CONNECT_TIMEOUT={self._settings.connect_timeout:g} s"
            raise BrokerLost(f"Kafka did not have a session ready within {limit}{cause}") from None
        except KafkaError as exc:
            raise BrokerLost(f"Kafka {why(self._log.cause or exc)}") from exc

    async def _open(self, inbox: Inbox) -> None:
        cluster = self._cluster = Cluster(self._settings, self._options, self._log)
        await cluster.connect()
        topic = await cluster.prepare(
            self._settings.partitions or self._positions.partitions or DEFAULT_PARTITIONS
        )
        self._compare(topic)
        config = await cluster.config()
        limit = int(config.get("max.message.bytes", _DEFAULT_MESSAGE_BYTES))
        await self._start_clients(cluster, limit)
        begins = await cluster.offsets(self._positions.next, BEGINNING)
        ends = await cluster.offsets(self._positions.next, END)
        kept = self._positions.begin(topic.id, len(topic.leaders), begins, ends)
        partitions = [self._named(number) for number in range(len(topic.leaders))]
        # Once: a second time it would forget every position.
        self._consumer.assign(partitions)
        self._consumer.pause(*partitions)
        for partition in partitions:  # one without any would be asked of a consumer group
            self._consumer.seek(partition, 0)
        inbox.ready(max_payload_bytes=largest_payload(limit), kept=kept)

    def _compare(self, topic: Topic) -> None:
        count, wanted, before = len(topic.leaders), self._settings.partitions, self._positions.partitions
        name = self._settings.topic
        if wanted is not None and wanted != count:
            raise BrokerLost(
                f"WIGWAG_KAFKA_PARTITIONS={wanted}, but the Kafka topic {name!r} has {count}: unset it, or "
                "stop all nodes and make the topic anew"
            )
        if before and before != count:
            logger.error(
                "the Kafka topic %r has %d partitions now, and had %d: topics are in other partitions than before, "
                "and nodes that do not know it yet are not heard; restart all nodes",
                name,
                count,
                before,
            )

    async def _start_clients(self, cluster: Cluster, max_message_bytes: int) -> None:
        self._consumer = new_consumer(self._settings, self._options, max_message_bytes)
        self._producer = new_producer(self._settings, self._options, max_message_bytes)
        cluster.adopt(self._consumer._client)
        cluster.adopt(self._producer.client)
        await self._consumer.start()
        pass_over(self._consumer, self._skip)
        await self._producer.start()
        await self._producer.partitions_for(self._settings.topic)
        self._consumer._client.cluster.add_listener(self._note_metadata)

    def _note_metadata(self, _: object) -> None:
        self._has_new_metadata.set()

    async def _watch(self) -> None:
        """Look at the topic whenever aiokafka had to ask where its partitions are: it may have been deleted."""
        while True:
            await self._has_new_metadata.wait()
            self._has_new_metadata = anyio.Event()
            await self._check_topic()
            await anyio.sleep(_WATCH_S)

    async def _receive(self, inbox: Inbox) -> None:
        consumer, hand_over, deliver = self._consumer, self._positions.hand_over, inbox.deliver
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            except OffsetOutOfRangeError as exc:
                await self._mend(partition.partition for partition in exc.args[0])
                continue
            except (
                RecordTooLargeError
            ) as exc:  # a batch was cut short, and aiokafka goes on one offset further
                _, partition, offset, *_ = exc.args
                self._skip(partition.partition, offset + 1, exc)
                continue
            for partition, records in batches.items():
                hand_over(partition.partition, records, deliver)
            if batches:
                await asyncio.sleep(0)  # where there is more already, getmany does not wait

    def _skip(self, number: int, behind: int, exc: Exception) -> None:
        """A batch can't be read: pass over it, and never come back to it."""
        topics = self._positions.skip(number, behind)
        if self._inbox is not None and topics:
            self._inbox.gap(topics)
        cause = why_unreadable(exc)
        if cause not in self._unreadable:
            self._unreadable.add(cause)
            logger.error(
                "records of the Kafka topic %r can't be read, and are skipped: %s (partition %d, before offset %d; "
                "said once)",
                self._settings.topic,
                cause,
                number,
                behind,
            )

    async def _mend(self, numbers: Iterable[int]) -> None:
        """Messages are gone that were not read yet: retention was faster, or the log was cut."""
        cluster, inbox = self._running()
        await self._check_topic()
        numbers = [number for number in numbers if number in self._positions.next]
        begins = await cluster.offsets(numbers, BEGINNING)
        ends = await cluster.offsets(numbers, END)
        for number in self._positions.next.keys() & begins.keys():
            topics = self._positions.mend(number, begins[number], ends[number])
            self._consumer.seek(self._named(number), self._positions.next[number])
            if topics:
                logger.warning("messages of partition %d are gone that were not read yet", number)
                inbox.gap(topics)

    async def check(self) -> None:
        if not self._has_joined:
            self._pause(self._positions.settle())
        self._has_joined = False
        with self._log.claimed():
            await self._check_topic()

    async def _check_topic(self) -> None:
        cluster, _ = self._running()
        name = self._settings.topic
        try:
            topic = await cluster.look()
        except NoAnswer:
            return  # the probe decides whether the session is lost
        if topic is None:
            raise BrokerLost(f"the Kafka topic {name!r} was deleted; what was in it is lost")
        if not self._positions.is_of(topic.id, len(topic.leaders)):
            raise BrokerLost(f"the Kafka topic {name!r} was made anew, or has other partitions than before")

    async def close(self) -> None:
        clients = [self._consumer, self._producer, self._cluster and self._cluster.client]
        self._cluster = self._consumer = self._producer = self._inbox = None
        try:
            await abort(client for client in clients if client is not None)
        finally:
            self._log.detach()

    # Topics

    def lane(self, topic: str) -> Hashable:
        return self._positions.partition(topic)

    async def subscribe(self, topics: Sequence[str]) -> None:
        cluster, _ = self._running()
        self._has_joined = True
        self._read(self._positions.resume(topics))
        missing = self._positions.want(topics)
        if missing:
            with self._log.claimed():
                ends = await cluster.offsets(missing, END)
            self._positions.start(ends)
            self._read(ends)
        self._has_joined = True

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        self._running()
        self._pause(self._positions.unwant(topics))
        # Core joins all that it wants before it leaves anything.
        self._pause(self._positions.settle())

    def _read(self, offsets: Mapping[int, int]) -> None:
        for number, offset in offsets.items():
            self._consumer.seek(self._named(number), offset)
            self._consumer.resume(self._named(number))

    def _pause(self, numbers: Iterable[int]) -> None:
        self._consumer.pause(*map(self._named, numbers))

    def _named(self, number: int) -> Any:
        return TopicPartition(self._settings.topic, number)

    def _running(self) -> tuple[Cluster, Inbox]:
        if self._cluster is None or self._inbox is None or self._consumer is None:
            raise BrokerLost("there is no session")
        return self._cluster, self._inbox

    # Publishing

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._running()
        partition = self._named(self._positions.partition(messages[0][0]))
        with self._log.claimed():
            refused = await send(self._producer, partition, messages)
        if refused:
            raise Refused(refused)
