"""One connection, from its first heartbeat to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import anyio.abc

from wigwag.client.errors import ConnectionClosed, ConnectionRefused
from wigwag.client.waiting import Bell
from wigwag.client.websocket import ABNORMAL, LinkOptions, Over, WebSocket, close_within_limit
from wigwag.wire.client import PING, PONG, REFUSED


class NotSent(Exception):
    """The connection is closing: certainly not sent."""


class Link:
    """A connection whose handshake is done: read, and watched by heartbeats."""

    def __init__(self, websocket: WebSocket, options: LinkOptions) -> None:
        self._websocket = websocket
        self._options = options
        self._heard = 0  # messages, answers to heartbeats among them
        self._held_up = False  # by a full inbox
        self._stalls = 0
        self._changed = Bell()  # one of the three above
        self._is_silent = False

    async def send(self, message: str | bytes) -> None:
        """Hand a message to the connection, waiting while its buffer is full.

        Raises:
            NotSent: the connection is closing.
            ConnectionClosed: it was lost meanwhile; the message may have been received.
        """
        if not self._websocket.is_open:
            raise NotSent
        try:
            await self._websocket.send(message)
        except Over as exc:
            raise ConnectionClosed(
                "the connection was lost while sending; the message may have been received",
                code=self._websocket.ending[0],
            ) from exc

    async def run(
        self,
        opened: Callable[[Link], Coroutine[Any, Any, None]],
        received: Callable[[str | bytes], Awaitable[bool]],
    ) -> ConnectionClosed:
        """Read until the connection ends; return why.  Cancelled, it closes the connection.

        ``opened`` is called once something has come of the server, the answer to a first heartbeat at the
        latest: one that refuses a client accepts the handshake first, and then closes.  ``received`` takes
        a message, and says whether it had to wait before it could; meanwhile nothing is read.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, tasks, opened)
                await self._read(received)
                tasks.cancel_scope.cancel()
        finally:
            await close_within_limit(self._websocket)
        return self._ending()

    async def _read(self, received: Callable[[str | bytes], Awaitable[bool]]) -> None:
        try:
            while True:
                message = await self._websocket.receive()
                self._heard += 1
                self._changed.ring()
                if message == PONG:
                    continue
                self._held_up = True
                if await received(message):
                    self._stalls += 1
                self._held_up = False
                self._changed.ring()
        except Over:
            return

    async def _watch(
        self, tasks: anyio.abc.TaskGroup, opened: Callable[[Link], Coroutine[Any, Any, None]]
    ) -> None:
        interval_s = self._options.heartbeat_interval_s
        if interval_s is None:
            tasks.start_soon(opened, self)
            return
        is_alive = await self._beat()
        if is_alive:
            tasks.start_soon(opened, self)
        while is_alive:
            await anyio.sleep(interval_s)
            is_alive = await self._beat()
        if self._websocket.is_open:
            self._is_silent = True
            self._websocket.abort()  # the reader notices

    async def _beat(self) -> bool:
        """Whether anything comes of the server.  Time in which nothing was read is not held against it."""
        while True:
            while self._is_held_up():
                await self._changed.wait()
            stalls, heard = self._stalls, self._heard
            with anyio.move_on_after(self._options.heartbeat_timeout_s):
                try:
                    await self.send(PING)
                except (NotSent, ConnectionClosed):
                    return False
                while self._heard == heard:
                    await self._changed.wait()
            if self._heard != heard:
                return True
            if not self._is_held_up() and self._stalls == stalls:
                return False

    def _is_held_up(self) -> bool:
        return self._held_up

    def _ending(self) -> ConnectionClosed:
        code, reason = self._websocket.ending
        if code == REFUSED:
            why = reason or "close code 1008"
            return ConnectionRefused(f"the server refuses this client: {why}", code=code, reason=reason)
        if self._is_silent and code == ABNORMAL:
            limit_s = self._options.heartbeat_timeout_s
            return ConnectionClosed(f"the server was silent for {limit_s:g} s", code=code)
        said = f" ({reason})" if reason else ""
        return ConnectionClosed(f"the connection ended with code {code}{said}", code=code, reason=reason)
