"""A request's W3C trace context, for what is done while it is answered."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from wigwag.tracing import in_trace
from wigwag.wire.trace import read_trace


class InTraceOfRequest:
    """Middleware: what the request has published belongs to the trace of its headers, as do the log lines."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`starlette.types.ASGIApp`."""
        headers = Headers(scope=scope)
        with in_trace(read_trace(headers.getlist("traceparent"), headers.getlist("tracestate"))):
            await self._app(scope, receive, send)
