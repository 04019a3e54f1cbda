"""The Python client against a model of the server, while calls come in any order and everything fails that can.

A generated program of steps is interpreted inside one run of the event loop, with a clock that jumps, over WebSockets
in memory. ``WIGWAG_EXAMPLES=20000`` looks longer, ``WIGWAG_BACKEND=trio`` adds trio's random scheduling.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clocks import backend, settle
from thoroughness import ALWAYS_THE_SAME, examples
from wigwag.client import ClientError, ConnectFailed, RequestFailed, SocketClient
from wigwag.client.waiting import Bell
from wigwag.client.websocket import LinkOptions, Over, WebSocket
from wigwag.errors import NotRunning, Unsubscribed

BACKEND = os.environ.get("WIGWAG_BACKEND", "asyncio")
ROOMS = "abc"


class Wire:
    """A WebSocket in memory, seen from the client; ``rooms`` are those that it has joined."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.rooms: set[str] = set()
        self.end: tuple[int, str] | None = None
        self.to_client: deque[str] = deque()
        self._changed = Bell()

    @property
    def is_open(self) -> bool:
        return self.end is None

    @property
    def ending(self) -> tuple[int, str]:
        return self.end or (1006, "")

    async def send(self, message: str | bytes) -> None:
        if self.end is not None:
            raise Over
        self._server.received(self, str(message))
        await anyio.lowlevel.checkpoint()
        if self.end is not None:
            raise Over

    async def receive(self) -> str | bytes:
        while not self.to_client:
            if self.end is not None:
                raise Over
            await self._changed.wait()
        return self.to_client.popleft()

    async def close(self) -> None:
        self.finish(1000)
        await anyio.lowlevel.checkpoint()

    def abort(self) -> None:
        self.finish(1006)

    def say(self, message: str) -> None:
        if self.end is None:
            self.to_client.append(message)
            self._changed.ring()

    def finish(self, code: int) -> None:
        if self.end is None:
            self.end = (code, "")
            self._changed.ring()


class Server:
    """What the client must never do, it notices."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.is_down = False
        self.refuses = False
        self.is_silent = False
        self.holds: list[tuple[Wire, dict[str, Any]]] | None = None
        self.forbidden: set[str] = set()
        self.may_join_twice = False
        self.numbers: list[int] = []
        self.faults: list[str] = []

    @property
    def open_wires(self) -> list[Wire]:
        return [wire for wire in self.wires if wire.is_open]

    async def accept(self) -> Wire:
        await anyio.sleep(0.01)
        if self.is_down:
            raise ConnectFailed("down")
        if self.open_wires:
            self.faults.append("a second connection at a time")
        wire = Wire(self)
        self.wires.append(wire)
        if self.refuses:
            wire.finish(1008)
        return wire

    def received(self, wire: Wire, text: str) -> None:
        if text == "2":
            if not self.is_silent:
                wire.say("3")
            return
        message = json.loads(text)
        if self.holds is not None:
            self.holds.append((wire, message))
        else:
            self.handle(wire, message)

    def release(self) -> None:
        held, self.holds = self.holds or [], None
        for wire, message in held:
            if wire.is_open:
                self.handle(wire, message)

    def handle(self, wire: Wire, message: dict[str, Any]) -> None:
        data: Any = message.get("data")
        answer: dict[str, Any] = {"data": data}
        if message["type"] == "room.join":
            room = data["room"]
            if room in wire.rooms and not self.may_join_twice:
                self.faults.append(f"{room} is joined twice on a connection")
            if room in self.forbidden:
                answer = {"error": "Forbidden"}
            else:
                wire.rooms.add(room)
        elif message["type"] == "room.leave":
            wire.rooms.discard(data["room"])
        elif message["type"] == "number":
            self.numbers.append(data)
        if "correlationId" in message:
            wire.say(
                json.dumps({"type": message["type"], "correlationId": message["correlationId"], **answer})
            )


class Client(SocketClient):
    def __init__(self, server: Server) -> None:
        self._server = server
        super().__init__("ws://127.0.0.1/ws", max_reconnect_delay_s=2.0, heartbeat_interval_s=10.0)

    def _check_backend(self) -> None: ...

    async def _open_websocket(self, url: str, options: LinkOptions) -> WebSocket:
        return await self._server.accept()


class Program:
    """Interprets steps."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.server = Server()
        self.client = Client(self.server)
        self.client.on_error(self.told)
        self.tasks = tasks
        self.wanted: set[str] = set()
        self.refused: set[str] = set()
        self.count = 0
        self.pending = 0
        self.faults = self.server.faults

    def step(self, name: str, more: int) -> None:
        server, room = self.server, ROOMS[more % len(ROOMS)]
        if name in ("connect", "disconnect", "clear", "send"):
            self.tasks.start_soon(self.call, getattr(self, name))
        elif name in ("join", "leave"):
            self.tasks.start_soon(self.call, getattr(self, name), room)
        elif name == "ask":
            self.tasks.start_soon(self.call, self.ask, more)
        elif name == "close":
            for wire in server.open_wires:
                wire.finish((1000, 1006, 1008, 1011, 1012, 1013, 4000, 1012, 1006, 1012)[more])
        elif name == "hold":
            server.holds = [] if server.holds is None else server.holds
        elif name == "release":
            server.release()
        elif name == "forbid":
            server.forbidden.add(room)
        elif name == "allow":
            server.forbidden.clear()
        else:
            attribute, value = {
                "down": ("is_down", True),
                "up": ("is_down", False),
                "refuse": ("refuses", True),
                "admit": ("refuses", False),
                "silent": ("is_silent", True),
                "speak": ("is_silent", False),
            }[name]
            setattr(server, attribute, value)

    # Calls: the model changes where they begin

    async def call(self, call: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        self.pending += 1
        with suppress(ClientError, Unsubscribed, NotRunning):
            await call(*arguments)
        self.pending -= 1

    async def connect(self) -> None:
        await self.client.connect()

    async def disconnect(self) -> None:
        await self.client.disconnect()

    async def join(self, room: str) -> None:
        self.wanted.add(room)
        try:
            await self.client.join_room(room)
        except RequestFailed:
            self.refused.add(room)

    def told(self, error: ClientError) -> None:
        if isinstance(error, RequestFailed):
            self.refused |= set(ROOMS)  # it does not say which

    async def leave(self, room: str) -> None:
        self.wanted.discard(room)
        await self.client.leave_room(room)

    async def clear(self) -> None:
        self.wanted.clear()
        self.server.may_join_twice = True  # who wants a room again before it is left does not leave it
        await self.client.clear_rooms()

    async def send(self) -> None:
        self.count += 1
        await self.client.send("number", self.count)

    async def ask(self, number: int) -> None:
        answer = await self.client.request("ask", number)
        if answer != number:
            self.faults.append(f"{answer} is the answer to {number}")

    async def heal_and_judge(self) -> None:
        """Every call ends; and then the client is connected, in the rooms that it wants."""
        server, client = self.server, self.client
        server.is_down = server.refuses = server.is_silent = False
        server.forbidden.clear()
        server.release()
        await anyio.sleep(60)
        if self.pending:
            self.faults.append(f"{self.pending} calls have not ended")
        await client.connect()
        for wire in server.open_wires:  # rooms that were refused are asked for again on the next connection
            wire.finish(1012)
        await settle()
        await anyio.sleep(10)
        assert await client.request("ask", 1) == 1
        await settle()
        (wire,) = server.open_wires
        if not wire.rooms == client.rooms <= self.wanted <= client.rooms | self.refused:
            self.faults.append(f"in {wire.rooms}, wants {client.rooms} of {self.wanted}, not {self.refused}")
        if self.server.numbers != sorted(set(self.server.numbers)):
            self.faults.append(f"sent out of order, or twice: {self.server.numbers}")
        await client.close()
        if server.open_wires:
            self.faults.append("a connection is left")
        assert not self.faults


async def run_program(steps: list[tuple[str, int, float | None]]) -> None:
    async with anyio.create_task_group() as tasks:
        program = Program(tasks)
        for name, more, pause_s in steps:
            program.step(name, more)
            if pause_s is not None:
                await settle()
                await anyio.sleep(pause_s)
        await program.heal_and_judge()
        tasks.cancel_scope.cancel()
    if BACKEND == "asyncio":
        left = [task for task in asyncio.all_tasks() if "wigwag" in task.get_name()]
        assert not left


#: Often what makes a situation, seldom what ends it.
NAMES = (
    *("connect",) * 4,
    *("join",) * 4,
    *("close",) * 3,
    *("leave", "disconnect", "send", "ask") * 2,
    *("clear", "down", "up", "refuse", "admit", "silent", "speak", "hold", "release", "forbid", "allow"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.sampled_from((None, None, 0.0, 0.02, 3.0, 20.0))),
    min_size=3,
    max_size=30,
)


@settings(
    max_examples=examples(200),
    derandomize=ALWAYS_THE_SAME,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(STEPS)
def test_calls_in_any_order_leave_nothing_and_reach_what_was_asked(
    steps: list[tuple[str, int, float | None]],
) -> None:
    logging.disable(logging.CRITICAL)
    try:
        anyio.run(
            run_program, [("connect", 0, 0.02), *steps], backend=BACKEND, backend_options=backend(BACKEND)[1]
        )
    finally:
        logging.disable(logging.NOTSET)
