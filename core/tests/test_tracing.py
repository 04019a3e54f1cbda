"""A message belongs to the trace in which it was published, on every node that it comes to."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import opentelemetry.trace
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clocks import backend, settle
from internal_api import LOBBY, Api, connected
from wigwag.node import node_channel
from wigwag.provider import Provider
from wigwag.testing import FakeBroker, FakeNetwork, FakeSocket
from wigwag.tracing import current_trace, in_trace
from wigwag.wire.envelope import Kind, decode_envelope, encode_envelope
from wigwag.wire.trace import TraceContext

pytestmark = pytest.mark.anyio

TRACE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where spans end: a tracer is configured, as an application does it once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", provider)
    return exporter


class Fleet:
    """Two nodes, with a socket on the second that wants the topic ``lobby``."""

    def __init__(self, network: FakeNetwork, one: Provider, two: Provider, socket: FakeSocket) -> None:
        self.network = network
        self.one = one
        self.two = two
        self.socket = socket

    def envelope(self, topic: str = "lobby") -> Any:
        return decode_envelope(topic, self.network.messages[topic][-1])


@pytest.fixture
async def fleet() -> AsyncGenerator[Fleet]:
    network = FakeNetwork()
    async with Provider(FakeBroker(network)) as one, Provider(FakeBroker(network)) as two:
        await settle()
        socket = FakeSocket(two.new_socket_id())
        two.attach(socket)
        await two.subscribe(socket.id, "lobby")
        yield Fleet(network, one, two, socket)


def deliveries(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == "wigwag deliver"]


async def test_without_a_trace_nothing_is_carried(fleet: Fleet, spans: InMemorySpanExporter) -> None:
    await fleet.one.publish("lobby", "x")
    assert current_trace() is None
    assert fleet.envelope().trace is None
    assert deliveries(spans) == []
    assert fleet.socket.messages == ["x"]


async def test_a_request_says_which_trace_it_belongs_to(fleet: Fleet) -> None:
    async with connected(fleet.one) as client:
        headers = {"traceparent": TRACE.traceparent, "tracestate": TRACE.tracestate}
        await Api(fleet.one, client).post("/api/publish", LOBBY, **headers)
        assert fleet.envelope().trace == TRACE
        await Api(fleet.one, client).post("/api/publish", {"messages": [LOBBY, LOBBY]}, **headers)
        assert fleet.envelope().trace == TRACE
        body = {"socketId": fleet.socket.id, "text": "x"}
        await Api(fleet.one, client).post("/api/send", body, **headers)
        assert fleet.envelope(node_channel(fleet.socket.id[:8])).trace == TRACE
        await Api(fleet.one, client).post("/api/broadcast", {"text": "x"}, **headers)
        assert fleet.envelope("__broadcast__").trace == TRACE
        await Api(fleet.one, client).post("/api/publish", LOBBY, traceparent="00-nonsense")
        assert fleet.envelope().trace is None
    assert len(fleet.socket.messages) == 6


async def test_each_node_that_wants_it_has_one_span_below_the_publishers(
    fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    other = FakeSocket(fleet.two.new_socket_id())
    fleet.two.attach(other)
    await fleet.two.subscribe(other.id, "lobby")
    tracer = opentelemetry.trace.get_tracer("an application")
    with tracer.start_as_current_span("an incident is created") as publishing:
        await fleet.one.publish("lobby", "hello")
    (span,) = deliveries(spans)
    assert span.context is not None
    assert span.parent is not None
    assert span.context.trace_id == publishing.get_span_context().trace_id
    assert span.parent.span_id == publishing.get_span_context().span_id
    assert span.parent.is_remote
    assert span.kind is opentelemetry.trace.SpanKind.CONSUMER
    assert fleet.two.node is not None
    assert dict(span.attributes or {}) == {
        "messaging.system": "wigwag",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": "lobby",
        "messaging.message.body.size": 5,
        "wigwag.node": fleet.two.node.tag,
    }
    assert (fleet.socket.messages, other.messages) == (["hello"], ["hello"])


async def test_the_applications_span_counts_more_than_the_request(
    fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    with in_trace(TRACE), opentelemetry.trace.get_tracer("x").start_as_current_span("route") as span:
        await fleet.one.publish("lobby", "x")
    trace_id = fleet.envelope().trace.trace_id
    assert trace_id == f"{span.get_span_context().trace_id:032x}" != TRACE.trace_id


async def test_what_is_not_sampled_makes_no_span(fleet: Fleet, spans: InMemorySpanExporter) -> None:
    with in_trace(TraceContext(TRACE.traceparent[:-1] + "0")):
        await fleet.one.publish("lobby", "x")
    assert deliveries(spans) == []
    assert fleet.socket.messages == ["x"]


async def test_the_log_lines_of_a_delivery_have_its_trace(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, TraceContext | None]] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.getMessage(), current_trace()))

    logging.getLogger("wigwag.provider").addHandler(handler := Listening())
    try:
        with caplog.at_level("DEBUG", "wigwag.provider"), in_trace(TRACE):
            await fleet.one.publish("lobby", "hello")
        await settle()
    finally:
        logging.getLogger("wigwag.provider").removeHandler(handler)
    assert ("a message of 5 bytes on 'lobby'", TRACE) in seen


async def test_a_trace_that_another_node_made_up_is_no_harm(
    fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    for parent in ("", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 100_000):
        fleet.network.publish(
            "lobby", encode_envelope(Kind.TEXT, "lobby", b"x", trace=TraceContext(parent, "\n"))
        )
    await settle()
    assert fleet.socket.messages == ["x"] * 4
    assert deliveries(spans) == []


async def test_a_turn_that_publishes_for_several_lends_none_of_their_traces(
    fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    """Sockets are written to when the turn ends: that is nobody's own work."""
    seen: list[TraceContext | None] = []
    fleet.socket.on_write = lambda frame: seen.append(current_trace())
    with in_trace(TRACE):
        await fleet.one.publish("lobby", "x")
    await settle()
    assert seen == [None]


def test_opentelemetry_is_not_imported_by_wigwag() -> None:
    text = "import sys, wigwag, wigwag.cli, wigwag.service.server; print([m for m in sys.modules if 'telemetry' in m])"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == "[]\n"
