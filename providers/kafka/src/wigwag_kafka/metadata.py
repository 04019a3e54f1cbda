"""One request that aiokafka does not have: a topic's metadata with the topic's id.

A topic that is deleted and made again has another id, and nothing else of it need differ: its name, its
partitions and, when its log has grown long enough, its offsets are those of the one that is gone.

Metadata, version 10 (KIP-516); brokers speak it since Kafka 2.8.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, ClassVar

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

NO_ID = bytes(16)


class _Id(AbstractType):  # type: ignore[misc]
    """A UUID, as its 16 bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class MetadataResponse_v10(Response):  # type: ignore[misc]  # noqa: N801 - as aiokafka names them
    """What the cluster says of its brokers and of one topic."""

    API_KEY: ClassVar[int] = 3  # pyright: ignore[reportIncompatibleMethodOverride] - as aiokafka's own do
    API_VERSION: ClassVar[int] = 10  # pyright: ignore[reportIncompatibleMethodOverride]
    SCHEMA: ClassVar[Any] = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class MetadataRequest_v10(RequestStruct):  # type: ignore[misc]  # noqa: N801 - as aiokafka names them
    """See :class:`TopicRequest`."""

    API_KEY: ClassVar[int] = 3
    API_VERSION: ClassVar[int] = 10
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE: ClassVar[type] = MetadataResponse_v10
    SCHEMA: ClassVar[Any] = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Id), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicRequest(Request[MetadataRequest_v10]):  # type: ignore[misc]
    """Ask for one topic by its name; it is not made by asking, whatever the cluster's settings."""

    API_KEY: ClassVar[int] = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[MetadataRequest_v10]) -> MetadataRequest_v10:
        return request_struct_class([(NO_ID, self._topic, {})], False, False, False, {})
