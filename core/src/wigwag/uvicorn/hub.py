"""What all WebSockets of one server share: settings, the timer, tasks, compression."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.server import ServerState

from wigwag.errors import SettingsError
from wigwag.factory import load_core_settings
from wigwag.frames.deflate import Agreement, Deflater, InvalidHeader, negotiate
from wigwag.uvicorn.wheel import Timed, Wheel

logger: Final = logging.getLogger("uvicorn.error")

#: How exactly deadlines are kept, in seconds, where the settings' own times are not shorter.
_TICK_S: Final = 0.25
_LEAST_TICK_S: Final = 0.005

_hubs: Final[WeakKeyDictionary[ServerState, Hub]] = WeakKeyDictionary()


def hub_of(config: uvicorn.Config, server_state: ServerState) -> Hub:
    """The hub of this server, made for its first WebSocket."""
    hub = _hubs.get(server_state)
    if hub is None:
        hub = _hubs[server_state] = Hub(config, server_state)
    return hub


class _Task(asyncio.Task[None]):
    """A task whose first step is always taken: cancelled before that, not even its ``finally`` would run."""

    def cancel(self, msg: Any | None = None) -> bool:
        coroutine = self.get_coro()
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            self.get_loop().call_soon(super().cancel, msg)
            return True
        return super().cancel(msg)


class Hub:
    """One server's."""

    def __init__(self, config: uvicorn.Config, server_state: ServerState) -> None:
        if not config.loaded:
            config.load()
        self.app: Any = config.loaded_app
        self.config: uvicorn.Config = config
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.max_message_bytes: int = config.ws_max_size
        self.ping_interval_s: float | None = config.ws_ping_interval or None
        self.ping_timeout_s: float | None = config.ws_ping_timeout
        # Not the state itself, of which this is to live no longer.
        self.connections: set[Any] = server_state.connections
        self._tasks: set[Any] = server_state.tasks
        times = [s for s in (self.ping_interval_s, self.ping_timeout_s) if s]
        self._wheel = Wheel(max(_LEAST_TICK_S, min([_TICK_S, *(s / 8 for s in times)])))
        self._tick: asyncio.TimerHandle | None = None
        self._deflaters: dict[int, Deflater] = {}
        try:
            settings = load_core_settings()
        except (
            SettingsError
        ) as exc:  # an application of wigwag's does not start so; another one need not care
            logger.error("WebSockets are not compressed: %s", exc)
            self._deflate_from_bytes: int | None = None
        else:
            self._deflate_from_bytes = settings.compression_min_bytes if settings.compression else None

    # Time

    def set_deadline(self, timed: Timed, delay_s: float) -> None:
        """Call its ``is_due`` then, unless another deadline is set, or this one dropped."""
        self._wheel.set(timed, delay_s)
        self._keep_ticking()

    def drop_deadline(self, timed: Timed) -> None:
        """It has none any more."""
        self._wheel.drop(timed)
        if self._wheel.is_empty and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _advance(self) -> None:
        self._tick = None
        self._wheel.advance()
        self._keep_ticking()

    def _keep_ticking(self) -> None:
        if self._tick is None and not self._wheel.is_empty:
            self._tick = self.loop.call_later(self._wheel.tick_s, self._advance)

    def first_ping_s(self) -> float | None:
        """When a new connection is first pinged: those that come together are not to be pinged together."""
        interval_s = self.ping_interval_s
        return None if interval_s is None else interval_s * random.uniform(0.5, 1)

    # Tasks

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        """Run it as a task of the server's, which waits for it as it stops; returns what cancels it.

        Python 3.12 and later take its first step at once, and where that is all no task is ever scheduled.
        """
        if sys.version_info >= (3, 12):
            task = asyncio.Task(work(), loop=self.loop, eager_start=True)
            return task.cancel if task.done() else self._keep(task)
        return self.start(work())

    def start(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        """Likewise, but in a later turn."""
        return self._keep(_Task(work, loop=self.loop))

    def _keep(self, task: asyncio.Task[None]) -> Callable[[], object]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    # Compression

    def agree(self, offers: list[str]) -> tuple[Agreement, Deflater] | None:
        """What to answer to a client's offers of extensions, and what then compresses for it."""
        if self._deflate_from_bytes is None or not offers:
            return None
        try:
            agreement = negotiate(offers)
        except InvalidHeader:
            agreement = None
        if agreement is None:
            return None
        deflater = self._deflaters.get(agreement.window_bits)
        if deflater is None:
            deflater = Deflater(self._deflate_from_bytes, agreement.window_bits)
            self._deflaters[agreement.window_bits] = deflater
        return agreement, deflater
