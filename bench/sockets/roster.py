"""The servers that are compared, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sockets import toolchains
from sockets.dialect import BARE, CENTRIFUGE, SOCKET_IO, WIGWAG, Dialect

PEERS = toolchains.PEERS


@dataclass(frozen=True)
class Peer:
    """A server. ``key`` is what ``--only`` calls it; ``command`` raises Missing where its toolchain is not there."""

    key: str
    name: str
    command: Callable[[], Sequence[str | Path]]
    dialect: Dialect = BARE
    environ: Mapping[str, str] = field(default_factory=dict)
    broker: str | None = None  # the one that it publishes through
    is_slow: bool = False  # so that fewer connections and cases have to do


def wigwag(key: str, name: str, ws: str = "auto", **environ: str) -> Peer:
    """wigwag on uvicorn, by this WebSocket class."""
    command: Sequence[str | Path] = [sys.executable, PEERS / "serve.py", "wigwag_app", "--ws", ws]
    return Peer(key, name, lambda: command, WIGWAG, environ)


def _python(module: str, ws: str) -> Callable[[], Sequence[str | Path]]:
    return lambda: [toolchains.python(), PEERS / "serve.py", module, "--ws", ws]


def _bun(program: str) -> Callable[[], Sequence[str | Path]]:
    return lambda: [toolchains.bun(), toolchains.node_folder() / program]


def _node(program: str) -> Callable[[], Sequence[str | Path]]:
    return lambda: [toolchains.node(), toolchains.node_folder() / program]


def through(peer: Peer, broker: str, variable: str) -> Peer:
    """The server with a broker, whose address it finds in this variable."""
    environ = {**peer.environ, variable: "{url}"}
    if variable.startswith("WIGWAG_"):
        environ["WIGWAG_PROVIDER"] = broker
    return replace(peer, name=f"{peer.name}, {broker}", environ=environ, broker=broker)


FLOOR = Peer("floor", "C floor", lambda: [toolchains.floor_program()])
OURS = wigwag("wigwag", "wigwag")
#: What two medians of the same differ by is the noise.
AGAIN = wigwag("again", "wigwag, again")
ON_PLAIN_UVICORN = wigwag("plain-uvicorn", "wigwag over plain uvicorn", "websockets-sansio")
BUN = Peer("bun", "Bun", _bun("bun.mjs"))
ORIJS = Peer("orijs", "OriJS-like on Bun", _bun("orijs.mjs"))
WS = Peer("ws", "ws on Node", _node("ws.mjs"))
SOCKET_IO_NODE = Peer("socketio", "Socket.IO on Node", _node("socketio.mjs"), SOCKET_IO)
GO = Peer("centrifuge", "centrifuge (Go)", lambda: [toolchains.centrifuge()], CENTRIFUGE)
STARLETTE = Peer("starlette", "Starlette", _python("starlette_app", "websockets-sansio"))
STARLETTE_LEGACY = Peer(
    "starlette-websockets", "Starlette, websockets", _python("starlette_app", "websockets")
)
BROADCASTER = Peer(
    "broadcaster", "broadcaster", _python("broadcaster_app", "websockets-sansio"), is_slow=True
)
PYTHON_SOCKET_IO = Peer(
    "python-socketio",
    "python-socketio",
    _python("socketio_app", "websockets-sansio"),
    SOCKET_IO,
    is_slow=True,
)
CHANNELS = Peer("channels", "Channels", _python("channels_app", "websockets-sansio"), is_slow=True)

ALL = (
    FLOOR,
    OURS,
    AGAIN,
    ON_PLAIN_UVICORN,
    BUN,
    ORIJS,
    WS,
    SOCKET_IO_NODE,
    GO,
    STARLETTE,
    STARLETTE_LEGACY,
    BROADCASTER,
    PYTHON_SOCKET_IO,
    CHANNELS,
)
