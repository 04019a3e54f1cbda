"""A request that crosses from the supervisor to a worker, and what the worker's internal API answers."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from starlette.types import ASGIApp, Message

from wigwag.service.workers.messages import Answer, Ask

logger: logging.Logger = logging.getLogger("wigwag.service")


async def answer_to(ask: Ask, app: ASGIApp) -> Answer:
    """Have an ASGI application answer it; of what it raises the log tells, and the answer is 500."""
    call = _Call(ask)
    try:
        await app(_scope(ask), call.receive, call.send)
    except Exception:
        logger.exception("%s %s failed", ask.method, ask.path)
    return Answer(ask.id, call.status, call.headers, bytes(call.body))


class _Call:
    """The server's side of one request."""

    def __init__(self, ask: Ask) -> None:
        self._body: bytes | None = ask.body
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def receive(self) -> Message:
        if self._body is None:  # whoever waits for the client to go waits for ever: it does not
            await anyio.sleep_forever()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def _scope(ask: Ask) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "http",
        "path": ask.path,
        "raw_path": ask.path.encode(),
        "query_string": ask.query,
        "root_path": "",
        "headers": ask.headers,
        "client": ask.client,
        "server": None,
    }
