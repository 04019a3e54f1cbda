"""Which trace what is done now belongs to, and the span of a message's delivery.

A trace comes with a request to the internal API (W3C Trace Context), or is that of the application's current
OpenTelemetry span.  OpenTelemetry is never imported here: where nobody in the process has imported it there is no span
to be found, and it costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from wigwag.wire.trace import TraceContext, read_trace

if TYPE_CHECKING:
    from opentelemetry.context import Context

_current: ContextVar[TraceContext | None] = ContextVar("wigwag.trace", default=None)
_modules = sys.modules


def current_trace() -> TraceContext | None:
    """The trace that is going on: of the current OpenTelemetry span or, without one, of :func:`in_trace`."""
    otel: Any = _modules.get("opentelemetry.trace")
    if otel is not None:
        span = otel.get_current_span().get_span_context()
        if span.is_valid:
            parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
            return TraceContext(parent, span.trace_state.to_header())
    return _current.get()


@contextmanager
def in_trace(trace: TraceContext | None) -> Generator[None]:
    """What is done in the block belongs to this trace."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def delivery(trace: TraceContext, topic: str, size_bytes: int, node: str) -> Generator[None]:
    """In the block a message of this trace is delivered on this node: one span, where a tracer is configured.

    Its parent is the span in which the message was published.
    """
    checked = read_trace([trace.traceparent], [trace.tracestate])  # another node's words
    with in_trace(checked):
        if checked is None or "opentelemetry.trace" not in _modules:
            yield
            return
        from opentelemetry import trace as otel

        attributes: dict[str, str | int] = {
            "messaging.system": "wigwag",
            "messaging.operation.name": "deliver",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.message.body.size": size_bytes,
            "wigwag.node": node,
        }
        with otel.get_tracer("wigwag").start_as_current_span(
            "wigwag deliver", _remote(checked), otel.SpanKind.CONSUMER, attributes
        ):
            yield


def _remote(trace: TraceContext) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(cast("dict[str, str]", trace._asdict()))
