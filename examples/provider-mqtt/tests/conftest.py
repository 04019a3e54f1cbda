"""A mosquitto for all tests, and one with the limits of its makers."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(
    str(Path(__file__).parent)
)  # pytest's importlib mode, wigwag's own, puts no folder on the path

from mosquitto_server import LIMITS, Mosquitto, serving


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """One that has the limits of the README."""
    with serving(tmp_path_factory.mktemp("mosquitto"), "allow_anonymous true", *LIMITS) as server:
        yield server


@pytest.fixture
def mosquitto_as_it_comes(tmp_path: Path) -> Iterator[Mosquitto]:
    """One with the limits of its makers; without nodelay each 20 messages cost 40 ms."""
    with serving(tmp_path, "allow_anonymous true", "set_tcp_nodelay true") as server:
        yield server


@pytest.fixture
def free_port() -> int:
    """One on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
