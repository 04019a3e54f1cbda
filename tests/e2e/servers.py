"""Real servers on free ports, each in a thread of its own: uvicorn, and hypercorn on asyncio and trio."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import hypercorn.asyncio
import hypercorn.trio
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypercorn.config import Config as HypercornConfig

with warnings.catch_warnings():  # one of uvicorn's protocols is deprecated, and stands on what is, too
    warnings.simplefilter("ignore")
    import uvicorn.protocols.websockets.websockets_impl

#: Each is a way to run the same application.
SERVERS = (
    pytest.param("uvicorn-wigwag"),
    pytest.param("uvicorn-sansio"),
    pytest.param(
        "uvicorn-websockets",  # it calls what websockets wants to be rid of
        marks=pytest.mark.filterwarnings("ignore:remove second argument:DeprecationWarning"),
    ),
    pytest.param("hypercorn-asyncio"),
    pytest.param("hypercorn-trio"),
)

#: How long a server has to start, and to stop with all its limits.
START_LIMIT_S = 10.0
STOP_LIMIT_S = 15.0
#: How long a server lets sockets live once it stops; hypercorn waits for all of it.
GRACE_S = 1.0


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    address: tuple[str, int]
    portal: BlockingPortal
    _stop: Callable[[], None]

    @property
    def http(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def ws(self) -> str:
        return f"ws://{self.address[0]}:{self.address[1]}"

    @property
    def is_uvicorn(self) -> bool:
        return self.name.startswith("uvicorn")

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function, or an async one, in the server's event loop, and return its result."""
        return self.portal.call(function, *args)

    def stop(self) -> None:
        """Stop as a signal would, and return when the server has ended."""
        self._stop()


class _Uvicorn(uvicorn.Server):
    """uvicorn's server without signals, which says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def listener(send_buffer_bytes: int | None = None) -> socket.socket:
    """A socket that listens on a free port; connections inherit its buffer."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if send_buffer_bytes is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    found.bind(("127.0.0.1", 0))
    found.listen(512)
    return found


@contextmanager
def serving(
    name: str, app: Any, *, send_buffer_bytes: int | None = None, **options: Any
) -> Generator[Server]:
    """Run the application under the server of this name; ``options`` are its own.

    On leaving the server is stopped, if it was not, and has ended.
    """
    started = threading.Event()
    bound = listener(send_buffer_bytes)
    address: Any = bound.getsockname()
    kind, _, flavour = name.partition("-")
    run = _run_uvicorn if kind == "uvicorn" else _run_hypercorn
    backend = "trio" if flavour == "trio" else "asyncio"
    with bound, start_blocking_portal(backend) as portal:
        stopping = portal.call(anyio.Event)
        done = portal.start_task_soon(run, flavour, app, bound, stopping, started, options)
        done.add_done_callback(lambda _: started.set())

        def stop() -> None:
            if not done.done():
                portal.call(stopping.set)
            done.result(STOP_LIMIT_S)

        assert started.wait(START_LIMIT_S), f"{name} does not start"
        if done.done():
            done.result()
        try:
            yield Server(name, address, portal, stop)
        finally:
            stop()


async def _run_uvicorn(
    flavour: str,
    app: Any,
    bound: socket.socket,
    stopping: anyio.Event,
    started: threading.Event,
    options: dict[str, Any],
) -> None:
    ws: Any = {
        "wigwag": "wigwag.uvicorn:WebSocketProtocol",
        "sansio": "websockets-sansio",
        "websockets": "websockets",
    }[flavour]
    given = {"timeout_graceful_shutdown": 5, **options}
    server = _Uvicorn(uvicorn.Config(app, ws=ws, log_config=None, lifespan="on", **given))

    async def obey() -> None:
        await server.listening.wait()
        started.set()
        await stopping.wait()
        server.should_exit = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(obey)
        await server.serve([bound])
        tasks.cancel_scope.cancel()


async def _run_hypercorn(
    flavour: str,
    app: Any,
    bound: socket.socket,
    stopping: anyio.Event,
    started: threading.Event,
    options: dict[str, Any],
) -> None:
    config = HypercornConfig()
    config.bind = [f"fd://{bound.detach()}"]
    config.graceful_timeout = GRACE_S
    for option, value in options.items():
        setattr(config, option, value)
    serve: Any = hypercorn.trio.serve if flavour == "trio" else hypercorn.asyncio.serve
    # It listens already, and accepts when the lifespan has started.
    await serve(_Started(app, started), config, shutdown_trigger=stopping.wait, mode="asgi")


class _Started:
    """Passes everything on, and says when the lifespan has started."""

    def __init__(self, app: Any, started: threading.Event) -> None:
        self._app = app
        self._started = started

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def watched(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._started.set()

        await self._app(scope, receive, watched if scope["type"] == "lifespan" else send)
