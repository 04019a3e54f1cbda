"""The application that the end-to-end tests serve, and what they see of it from inside."""

from __future__ import annotations

import threading
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from wigwag import Limits, SocketContext, SocketError, SocketMessage, SocketRouter, Sockets, create_provider

Ctx = SocketContext[str]


class Said(SocketMessage, name="said"):
    text: str


class World:
    """One application, and a record of what its handlers saw."""

    def __init__(self, *, limits: Limits | None = None, raw: bool = False, **options: Any) -> None:
        """``raw``: what no router handles goes back as it came."""
        self.provider = create_provider("memory")
        self.opened: list[str] = []
        #: The last socket of each user.
        self.contexts: dict[str, Ctx] = {}
        #: Each socket's user, close code, and topics, as its close handler saw them.
        self.closed: list[tuple[str, int, frozenset[str]]] = []
        self.drained: list[str] = []
        self.finished: list[str] = []
        self.hangs_on_close = False
        self.upgrading = threading.Event()
        self.busy = threading.Event()
        self._gate: anyio.Event | None = None
        self.sockets: Sockets[str, Any] = Sockets(
            self.provider,
            upgrade=self._upgrade,
            routers=[self._router()],
            open=self._open,
            close=self._close,
            drain=self._drain,
            message=self._echo if raw else None,
            limits=limits or Limits(),
            **options,
        )
        self.app = Starlette(routes=[self.sockets.route("/ws")], lifespan=self.sockets.lifespan)

    def release(self) -> None:
        """Let the ``slow`` handler end; to be run in the server's loop."""
        assert self._gate is not None
        self._gate.set()

    async def publish(self, topic: str, message: str | bytes) -> None:
        await self.provider.publish(topic, message)

    async def _upgrade(self, connection: HTTPConnection) -> str | None:
        user = connection.query_params.get("user", "anybody")
        self.upgrading.set()
        if user == "nobody":
            return None
        if user == "broken":
            raise RuntimeError("secret of the upgrade")
        if user == "late":
            await anyio.sleep_forever()
        if user.isdecimal():
            raise HTTPException(int(user), "no entry", {"x-why": "test"})
        return user

    async def _open(self, ctx: Ctx) -> None:
        self.opened.append(ctx.user)
        self.contexts[ctx.user] = ctx

    async def _close(self, ctx: Ctx, code: int, reason: str) -> None:
        self.closed.append((ctx.user, code, frozenset(ctx.topics)))
        if self.hangs_on_close:
            await anyio.sleep_forever()

    async def _drain(self, ctx: Ctx) -> None:
        self.drained.append(ctx.user)

    async def _echo(self, ctx: Ctx, message: str | bytes) -> None:
        await ctx.send(message)

    def _router(self) -> SocketRouter[str]:
        router = SocketRouter[str]()

        @router.on("join")
        async def join(ctx: Ctx, data: str) -> None:
            await ctx.subscribe(data)

        @router.on("say")
        async def say(ctx: Ctx, data: dict[str, str]) -> None:
            await ctx.emitter.emit(Said(text=data["text"]), data["topic"])

        @router.on("echo")
        def echo(ctx: Ctx, data: Any) -> Any:
            return data

        @router.on("number")
        def number(ctx: Ctx, data: int) -> int:
            return data

        @router.on("slow")
        async def slow(ctx: Ctx) -> str:
            self._gate = anyio.Event()
            self.busy.set()
            await self._gate.wait()
            self.finished.append(ctx.user)
            return "done"

        @router.on("fail")
        async def fail(ctx: Ctx) -> None:
            raise RuntimeError("secret of the handler")

        @router.on("full")
        async def full(ctx: Ctx) -> None:
            raise SocketError("Room is full", [{"path": "$.room", "message": "of 2"}])

        @router.on("guarded", guards=[lambda ctx: False])
        async def guarded(ctx: Ctx) -> None:
            raise AssertionError("the guard let it pass")

        return router
