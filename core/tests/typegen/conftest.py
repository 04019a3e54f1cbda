"""Applications to write types of, imported as new ones for each test."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wigwag.typegen import Api, describe, find, typescript

HEAD = """
from __future__ import annotations
import dataclasses, datetime, decimal, enum, typing, typing_extensions, uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
import msgspec, pydantic
from msgspec import UNSET, Meta, Struct, UnsetType
from wigwag import (
    Heartbeat, MessageRegistry, ServerMessage, SocketContext, SocketMessage, SocketRouter, Sockets,
)
T = TypeVar("T")
router = SocketRouter[None]()
sockets = Sockets(routers=[router])
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write modules: ``write(main="…", **{"shop/orders": "…"})``; what was imported of them before is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)

    def is_here(module: object) -> bool:
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        return any(str(place).startswith(f"{tmp_path}/") for place in places)

    def forget() -> None:
        for name in [name for name, module in sys.modules.items() if is_here(module)]:
            del sys.modules[name]

    def write(**sources: str) -> None:
        for name, source in sources.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        forget()
        importlib.invalidate_caches()

    yield write
    forget()


@pytest.fixture
def described(write: Callable[..., None]) -> Callable[[str], Api]:
    """What ``main`` says: a module with ``router`` and the usual imports above the source that is given."""

    def described(source: str) -> Api:
        write(main=HEAD + textwrap.dedent(source))
        return describe(find(["main"]))

    return described


@pytest.fixture
def written(described: Callable[[str], Api]) -> Callable[[str], str]:
    """Its TypeScript."""
    return lambda source: typescript(described(source))
