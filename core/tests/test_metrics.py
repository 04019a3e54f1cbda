"""The metrics page: which numbers there are, and that they follow what happens."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from clocks import backend, settle
from wigwag.errors import NotAccepted, Uncertain
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider, ProviderSettings
from wigwag.provider.histogram import BOUNDS_S, Histogram
from wigwag.provider.lag import Lags
from wigwag.service.internal import create_internal_app
from wigwag.service.metrics import exposition, registry_of
from wigwag.service.workers.metrics import Merged
from wigwag.testing import FakeBroker, FakeNetwork, FakeSocket

pytestmark = pytest.mark.anyio

HISTOGRAMS = ("publish", "delivery_lag")
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
    "wigwag_outbound_buffer_bytes",
    "wigwag_publish_queue_messages",
    "wigwag_publish_errors_total",
    "wigwag_messages_foreign_total",
    "wigwag_resyncs_total",
    *(f"wigwag_{name}_seconds_{kind}" for name in HISTOGRAMS for kind in ("bucket", "sum", "count")),
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
        provider.counters.publish_errors["refused"] += 1
        provider.counters.foreign["version"] += 1
        names = {name for name, _ in read([provider]) if name.startswith("wigwag_")}
    assert names == NAMES


async def test_no_label_names_a_topic_or_a_user() -> None:
    async with Provider(MemoryBroker(), name="memory") as provider:
        socket = attach(provider, "ann@example.com")
        await provider.subscribe(socket.id, "account:7")
        labels = {label for _, found in read([provider]) for label, _ in found}
    assert labels <= {"provider", "reason", "version", "python", "le"}


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


async def test_what_the_broker_took_is_timed_and_what_it_did_not_is_counted() -> None:
    broker = FakeBroker()
    settings = ProviderSettings(publish_timeout_s=2, outbox_messages=3)
    async with Provider(broker, name="memory", settings=settings) as provider:
        await settle()
        await provider.publish("a", "x")
        broker.publishing.shut()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(provider.publish, "a", "x")
            await settle()
            assert value(read([provider]), "wigwag_publish_queue_messages") == 3
            with pytest.raises(NotAccepted):
                await provider.publish("a", "too much")
            await anyio.sleep(0.2)
            broker.publishing.open()
        broker.refuse_indices = {0: "too hot"}
        with pytest.raises(NotAccepted):
            await provider.publish("a", "x")
        broker.refuse_indices = {}
        broker.confirming.shut()
        with pytest.raises(Uncertain):
            await provider.publish("a", "x")
        samples = read([provider])
    assert value(samples, "wigwag_publish_queue_messages") == 0
    assert value(samples, "wigwag_publish_seconds_count") == 4
    assert value(samples, "wigwag_publish_seconds_bucket", le="0.1") == 1
    assert value(samples, "wigwag_publish_seconds_bucket", le="0.25") == 4
    assert value(samples, "wigwag_publish_seconds_sum") == pytest.approx(0.6)
    for reason in ("queue full", "refused", "in doubt"):
        assert value(samples, "wigwag_publish_errors_total", reason=reason) == 1, reason


@pytest.mark.parametrize(
    ("behind_s", "bucket", "sum_s"),
    [(0.0, "0.0005", 0.0), (0.2, "0.25", 0.2), (-9.0, "0.0005", 0.0), (1e6, "+Inf", 3600.0)],
)
async def test_the_lag_is_by_the_publishers_clock_and_bounded(
    monkeypatch: pytest.MonkeyPatch, behind_s: float, bucket: str, sum_s: float
) -> None:
    """A clock that is ahead makes no time negative, one that is far behind no sum useless."""
    clock = 1_800_000_000.0
    now = [clock - behind_s]
    monkeypatch.setattr(time, "time", lambda: now[0])
    network = FakeNetwork()
    async with (
        Provider(FakeBroker(network), name="one") as one,
        Provider(FakeBroker(network), name="memory") as two,
    ):
        await settle()
        sockets = [attach(two) for _ in range(3)]
        for socket in sockets:
            await two.subscribe(socket.id, "a")
        network.holds_deliveries = True
        await one.publish("a", "x")
        await one.publish("unwanted", "x")
        await one.send(sockets[0].id, "y")
        now[0] = clock
        network.deliver_held()
        await settle()
        samples = read([two])
        assert [socket.messages for socket in sockets] == [["x", "y"], ["x"], ["x"]]
    # Once for each message, however many sockets it has; not for those that nobody here wants, nor for probes.
    assert value(samples, "wigwag_delivery_lag_seconds_count") == 2
    assert value(samples, "wigwag_delivery_lag_seconds_bucket", le=bucket) == 2
    assert value(samples, "wigwag_delivery_lag_seconds_sum") == pytest.approx(2 * sum_s, abs=1e-3)


async def test_within_one_process_nothing_is_timed() -> None:
    async with Provider(MemoryBroker(), name="memory") as provider:
        await provider.publish("a", "x")
        samples = read([provider])
    assert value(samples, "wigwag_publish_seconds_count") is None


class Buffered(FakeSocket):
    """A :class:`BatchingSocket` for which so much waits."""

    def __init__(self, id_: str, buffered_bytes: int, send_now: Any) -> None:
        super().__init__(id_)
        self.buffered_bytes = buffered_bytes
        self.send_now = send_now
        self.flush: Any = None

    def write_batch(self, batch: Any) -> None:
        raise NotImplementedError

    def unsent(self, data: bytes, sent: int) -> None:
        raise NotImplementedError


async def test_what_waits_for_slow_sockets_is_summed() -> None:
    async with Provider(MemoryBroker(), name="memory") as provider:
        # One that can be sent to has nothing that waits: it is not asked.
        for waiting, send_now in ((5, None), (7, None), (9, len)):
            provider.attach(Buffered(provider.new_socket_id(), waiting, send_now))
        attach(provider)
        samples = read([provider])
        for socket_id in list(provider.node.fanout.sockets if provider.node else ()):
            provider.detach(socket_id)
    assert value(samples, "wigwag_outbound_buffer_bytes") == 12


async def test_a_time_that_no_clock_shows_is_no_harm() -> None:
    histogram = Histogram()
    lags = Lags(histogram)
    for sent_at in (math.nan, math.inf, -math.inf, -1e300):
        lags.arrived(sent_at)
    lags.count()
    assert histogram.count == 4
    assert histogram.sum_s == pytest.approx(3 * 3600)
    assert dict(histogram.buckets())["0.0005"] == 1


@given(
    st.lists(st.floats(-20, 20) | st.sampled_from([0.0005, 0.25, 10.0, math.nan]) | st.floats(), min_size=1),
)
def test_each_time_counts_in_the_bucket_of_how_long_ago_it_is(ago: list[float]) -> None:
    now, histogram = 0.0, Histogram()  # at that time all differences are exact
    histogram.observe_since([now - seconds for seconds in ago], now, most_s=10.5)
    lags = [10.5 if math.isnan(seconds) else max(0.0, min(seconds, 10.5)) for seconds in ago]
    expected = {str(bound): sum(lag <= bound for lag in lags) for bound in BOUNDS_S}
    assert dict(histogram.buckets()) == {**expected, "+Inf": len(lags)}
    assert histogram.sum_s == pytest.approx(sum(lags))


async def test_a_turn_that_brings_messages_without_end_is_counted_meanwhile() -> None:
    histogram = Histogram()
    lags = Lags(histogram)
    for _ in range(2048):
        lags.arrived(time.time())
    assert histogram.count == 2048


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("", text_string_to_metric_families), ("application/openmetrics-text; version=1.0.0", openmetrics)],
)
async def test_histograms_of_workers_stand_side_by_side(accept: str, parse: Any) -> None:
    pages: dict[str, str] = {}
    for number in (1, 2):
        async with Provider(FakeBroker(), name="local") as provider:
            await settle()
            for _ in range(number):
                await provider.publish("a", "x")
            pages[str(number)] = exposition(registry_of([provider]), "")[0].decode()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Merged(pages, []))
    (family,) = (
        family
        for family in parse(exposition(registry, accept)[0].decode())
        if family.name == "wigwag_publish_seconds"
    )
    assert family.type == "histogram"
    counts = {s.labels["worker"]: s.value for s in family.samples if s.name.endswith("_count")}
    assert counts == {"1": 1, "2": 2}
    ends = {s.labels["worker"]: s.value for s in family.samples if s.labels.get("le") == "+Inf"}
    assert ends == counts
