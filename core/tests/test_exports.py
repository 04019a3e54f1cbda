"""The public names of wigwag are pinned: one more, or one less, is a decision."""

from __future__ import annotations

import importlib

import pytest

import wigwag

NAMES = [
    "Emitter",
    "Forbidden",
    "Heartbeat",
    "Incoming",
    "InvalidTopic",
    "JoinRoom",
    "LeaveRoom",
    "Limits",
    "MessageRegistry",
    "MessageType",
    "NotRunning",
    "RateLimit",
    "ServerMessage",
    "SocketContext",
    "SocketEmitter",
    "SocketError",
    "SocketLifecycle",
    "SocketMessage",
    "SocketMessageLike",
    "SocketRouter",
    "SocketState",
    "Sockets",
    "WebSocketProvider",
    "WigwagError",
    "create_emitter",
    "create_provider",
    "topic",
]
MODULES = ["wigwag.broker", "wigwag.client", "wigwag.logs", "wigwag.sync", "wigwag.testing"]


def test_the_public_names() -> None:
    assert sorted(wigwag.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is(name: str) -> None:
    docstring = getattr(wigwag, name).__doc__ or ""
    made_up = docstring.startswith(f"{name}(")  # by dataclass
    assert docstring, f"wigwag.{name} has no docstring"
    assert not made_up, f"wigwag.{name} has no docstring of its own"


@pytest.mark.parametrize("name", MODULES)
def test_a_public_module_says_what_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__
