"""The server's side of ASGI, scripted: a test says what clients do, and when the server takes what it is sent.

    peer = await world.connect(sockets)
    assert await peer.ask("say", {"text": "hi"}) == {...}

Every call that returns after an ``await`` has seen all that it causes: no test sleeps.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from starlette.applications import Starlette

from clocks import settle
from wigwag import Limits, SocketContext, Sockets
from wigwag.testing import Gate


class Peer:
    """One WebSocket: its client, and the server between."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = dict(scope)
        #: What the application has sent, in order.
        self.events: list[dict[str, Any]] = []
        #: Where ``send`` waits while a test holds it.
        self.sending = Gate()
        #: Raised by the next ``receive``.
        self.receive_error: Exception | None = None
        #: What the application's call ended with; ``is_served`` until then.
        self.error: BaseException | None = None
        self.error_is_expected = False
        self.is_served = True
        self.cancel_scope = anyio.CancelScope()
        self._taken = 0
        self._to_receive: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._came = anyio.Event()

    # The server

    async def receive(self) -> dict[str, Any]:
        while not self._to_receive:
            if self.receive_error is not None:
                raise self.receive_error
            self._came = anyio.Event()
            await self._came.wait()
        return self._to_receive.popleft()

    async def send(self, event: dict[str, Any]) -> None:
        await self.sending.pass_through()
        self.events.append(event)

    async def serve(self, app: Any) -> None:
        try:
            with self.cancel_scope:
                await app(self.scope, self.receive, self.send)
        except Exception as exc:  # noqa: BLE001 - the test asks for it
            self.error = exc
        finally:
            self.is_served = False

    def comes(self, event: dict[str, Any]) -> None:
        """What the application receives next; nothing runs until the test waits."""
        self._to_receive.append(event)
        self._came.set()

    # The client

    def sends(self, *messages: Any) -> None:
        """The client sends these: text and binary as they are, everything else as JSON."""
        for message in messages:
            if isinstance(message, bytes):
                self.comes({"type": "websocket.receive", "bytes": message})
            else:
                text = message if isinstance(message, str) else json.dumps(message)
                self.comes({"type": "websocket.receive", "text": text})

    async def say(self, *messages: Any) -> None:
        """The client sends these, and all that they cause happens."""
        self.sends(*messages)
        await settle()

    async def ask(self, type: str, data: Any = None, id: Any = "1") -> Any:
        """The reply to a message, which is all that is received."""
        message = {"type": type, "correlationId": id}
        if data is not None:
            message["data"] = data
        self.take()
        await self.say(message)
        (reply,) = self.take()
        return reply

    async def leave(self, code: int | None = 1000, reason: str | None = "") -> None:
        """The client closes."""
        event: dict[str, Any] = {"type": "websocket.disconnect", "reason": reason}
        if code is not None:
            event["code"] = code
        self.comes(event)
        await settle()

    def take(self) -> list[Any]:
        """What the client has received since it last looked: JSON parsed, binary as it is."""
        events, self._taken = self.events[self._taken :], len(self.events)
        return [_message(event) for event in events if event["type"] == "websocket.send"]

    @property
    def is_accepted(self) -> bool:
        return any(event["type"] == "websocket.accept" for event in self.events)

    @property
    def accepted(self) -> dict[str, Any]:
        (event,) = [event for event in self.events if event["type"] == "websocket.accept"]
        return event

    @property
    def is_closed(self) -> bool:
        return self.closed is not None

    @property
    def closed(self) -> tuple[int, str] | None:
        """How the application closed, if it did."""
        found = [event for event in self.events if event["type"] == "websocket.close"]
        assert len(found) <= 1
        return (found[0]["code"], found[0]["reason"]) if found else None


class World:
    """Runs applications on a scripted server; at the end nothing of them is left."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        #: Where the server runs what it serves.
        self.tasks: anyio.abc.TaskGroup
        self._started: list[Sockets[Any, Any]] = []
        self._entered = AsyncExitStack()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> World:
        self.tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            await self.stop()
        self.tasks.cancel_scope.cancel()
        await self._stack.aclose()
        for peer in self.peers:
            if isinstance(peer.error, Exception) and not peer.error_is_expected:
                raise peer.error

    async def start(self, sockets: Sockets[Any, Any]) -> None:
        """Enter them; they are left at the end, before the server stops."""
        self._started.append(sockets)
        await self._entered.enter_async_context(sockets)

    async def stop(self) -> None:
        """Leave what was entered, after which nothing of it is served or kept."""
        for peer in self.peers:
            peer.sending.open()
        await self._entered.aclose()
        await settle()
        for sockets in self._started:
            assert not sockets._app.sessions
            assert sockets.provider.connection_count() == 0
        assert not [peer for peer in self.peers if peer.is_served]

    def open(
        self,
        app: Any,
        path: str = "/ws",
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        extensions: Mapping[str, Any] | None = None,
        scheme: str = "ws",
    ) -> Peer:
        """A client connects; nothing runs until the test waits."""
        path, _, query = path.partition("?")
        peer = Peer(
            {
                "type": "websocket",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "scheme": scheme,
                "path": path,
                "root_path": "",
                "query_string": query.encode(),
                "headers": [
                    (name.lower().encode(), value.encode())
                    for name, value in {"host": "app.test", **(headers or {})}.items()
                ],
                "client": ("192.0.2.1", 50000),
                "subprotocols": list(subprotocols),
                "extensions": dict(extensions or {}),
            }
        )
        self.peers.append(peer)
        self.tasks.start_soon(peer.serve, application(app))
        return peer

    async def connect(self, app: Any, path: str = "/ws", **more: Any) -> Peer:
        """A client connects, and all that this causes happens; Sockets are started first."""
        if isinstance(app, Sockets) and not app._entered:
            await self.start(app)
        peer = self.open(app, path, **more)
        await settle()
        return peer


def noting(notes: list[Any], limits: Limits | None = None, **more: Any) -> Sockets[None]:
    """Sockets that join ``t``, and note the context of who comes, and the code, reason and topics of who goes."""

    async def opened(ctx: SocketContext) -> None:
        await ctx.subscribe("t")
        notes.append(ctx)

    def closed(ctx: SocketContext, code: int, reason: str) -> None:
        notes.append((code, reason, sorted(ctx.topics)))

    handlers: dict[str, Any] = {"open": opened, "close": closed, **more}
    return Sockets(limits=limits, **handlers)


async def publish(sockets: Sockets[Any, Any], *messages: str | bytes) -> None:
    """To the topic ``t``; each has gone as far as it can."""
    for message in messages:
        await sockets.emitter.publish("t", message)
        await settle()


async def slow_peer(world: World, sockets: Sockets[Any, Any], *backlog: str) -> Peer:
    """A peer whose server is stuck with the first of these, while the others wait."""
    peer = await world.connect(sockets)
    peer.sending.shut()
    await publish(sockets, *backlog)
    return peer


def application(app: Any) -> Any:
    """Of Sockets, the application that has them at ``/ws``."""
    return Starlette(routes=[app.route("/ws")]) if isinstance(app, Sockets) else app


def _message(event: Mapping[str, Any]) -> Any:
    text = event.get("text")
    if text is None:
        return event["bytes"]
    try:
        return json.loads(text)
    except ValueError:
        return text


async def pass_time(seconds: float) -> None:
    """Let so much time go by, and be done with what it brings."""
    await anyio.sleep(seconds)
    await settle()


async def steps(count: int) -> None:
    """Let the other tasks go so many steps."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()
