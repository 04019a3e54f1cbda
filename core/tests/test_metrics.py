"""The metrics page: which numbers there are, and that they follow what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clocks import backend, settle
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service.internal import create_internal_app
from wigwag.service.metrics import exposition, registry_of
from wigwag.testing import FakeBroker, FakeSocket

pytestmark = pytest.mark.anyio

NAMES = {
    "wigwag_connections",
    "wigwag_connections_opened_total",
    "wigwag_connections_closed_total",
    "wigwag_subscriptions",
    "wigwag_topics",
    "wigwag_messages_received_total",
    "wigwag_messages_published_total",
    "wigwag_messages_delivered_total",
    "wigwag_messages_dropped_total",
    "wigwag_broker_up",
    "wigwag_broker_sessions_total",
    "wigwag_broker_probe_seconds",
    "wigwag_build_info",
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")


def attach(provider: Provider, user_id: str | None = None) -> FakeSocket:
    socket = FakeSocket(provider.new_socket_id(), user_id)
    socket.on_close = lambda: provider.detach(socket.id)
    provider.attach(socket)
    return socket


def read(providers: Sequence[Provider]) -> Samples:
    page, _ = exposition(registry_of(providers), "")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset({"provider": "memory", **labels}.items())))


async def test_the_numbers_follow_what_happens() -> None:
    async with Provider(MemoryBroker(), name="memory") as provider:
        sockets = [attach(provider) for _ in range(3)]
        for socket in sockets:
            await provider.subscribe(socket.id, "a", "b")
        await provider.publish("a", "x")
        await provider.send(sockets[0].id, "y")
        provider.detach(sockets[2].id)
        provider.counters.closed["1000"] += 1
        provider.counters.dropped["drop"] += 2
        await settle()
        samples = read([provider])
    assert value(samples, "wigwag_connections") == 2
    assert value(samples, "wigwag_connections_opened_total") == 3
    assert value(samples, "wigwag_connections_closed_total", reason="1000") == 1
    assert value(samples, "wigwag_subscriptions") == 4
    assert value(samples, "wigwag_topics") == 2
    assert value(samples, "wigwag_messages_published_total") == 2
    assert value(samples, "wigwag_messages_delivered_total") == 4
    assert value(samples, "wigwag_messages_dropped_total", reason="drop") == 2
    assert value(samples, "wigwag_broker_up") == 1
    assert value(samples, "wigwag_broker_sessions_total") == 1


async def test_the_names_are_those_that_dashboards_rely_on() -> None:
    async with Provider(FakeBroker(), name="fake") as provider:
        await settle()  # a probe came back
        provider.counters.closed["1000"] += 1
        provider.counters.dropped["drop"] += 1
        names = {name for name, _ in read([provider]) if name.startswith("wigwag_")}
    assert names == NAMES


async def test_no_label_names_a_topic_or_a_user() -> None:
    async with Provider(MemoryBroker(), name="memory") as provider:
        socket = attach(provider, "ann@example.com")
        await provider.subscribe(socket.id, "account:7")
        labels = {label for _, found in read([provider]) for label, _ in found}
    assert labels <= {"provider", "reason", "version", "python"}


async def test_providers_of_one_name_are_one_series_and_the_stopped_keep_their_counts() -> None:
    stopped = Provider(MemoryBroker(), name="memory")
    async with stopped:
        await stopped.publish("a", "x")
    async with Provider(MemoryBroker(), name="memory") as running:
        await running.publish("a", "x")
        samples = read([stopped, running])
    assert value(samples, "wigwag_messages_published_total") == 2
    assert value(samples, "wigwag_connections") == 0


async def test_a_broker_that_is_down_reads_0() -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    async with Provider(broker, name="memory") as provider:
        samples = read([provider])
    assert value(samples, "wigwag_broker_up") == 0
    assert value(samples, "wigwag_broker_probe_seconds") is None


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version="),
        ("*/*", "text/plain; version="),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"),
    ],
)
async def test_the_page_has_the_format_that_is_asked_for(accept: str, content_type: str) -> None:
    transport = httpx.ASGITransport(create_internal_app([]), client=("10.0.0.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.8:9000") as client:
        response = await client.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(content_type)
    assert "wigwag_build_info{" in response.text
    assert "process_resident_memory_bytes" in response.text
