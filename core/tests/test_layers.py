"""Dependencies point one way: the picture of ARCHITECTURE.md, held by reading the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "wigwag"

# Lowest first: a module imports from lines above its own, never from those below.
LAYERS = (
    "errors",
    "background",
    "pacing",
    "topics",
    "patterns",
    "node",
    "interest",
    "frames",
    "broker",
    "wire",
    "tracing",
    "logs",
    "schema",
    "messages",
    "interfaces",
    "plugins",
    "memory",
    "settings",
    "tokens",
    "local",
    "provider",
    "emitter",
    "factory",
    "sockets",
    "uvicorn",
    "service",
    "typegen",
    "client",
    "sync",
    "cli",
    "testing",
)
OUTSIDE_LAYERS = {"", "__main__"}  # wigwag/__init__.py gathers the public names; __main__ calls cli

# No sockets, no clocks, no tasks: tested as pure functions.
SANS_IO = ("interest", "patterns", "frames", "wire", "provider.channels", "provider.resync", "sockets.queue")
IO = ("anyio", "asyncio", "socket", "starlette", "threading", "time", "trio", "uvicorn")

# What a module (and what is in it) never imports.
NEVER = {
    **dict.fromkeys(SANS_IO, IO),
    "provider": ("wigwag.sockets", "wigwag.service", "starlette", "uvicorn"),
    "sockets": ("wigwag.service", "wigwag.cli", "uvicorn"),
    "uvicorn": ("wigwag.provider", "starlette"),
    "client": ("wigwag.provider", "wigwag.sockets", "wigwag.service"),
}
# All of wigwag that a module imports.
ONLY = {
    "broker": ("wigwag.errors",),
    "memory": ("wigwag.broker", "wigwag.errors", "wigwag.plugins"),
}


def name_of(path: Path) -> str:
    """Return the dotted name below wigwag: `wire.client`; the package itself is the empty name."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(source: str, importer: str, *, is_package: bool) -> Iterator[str]:
    """Yield the full name of all that is imported, in functions and for types too.

    `from a import b` yields `a.b`, since b may be a module, and `a` is above it.
    """
    home = ["wigwag", *filter(None, importer.split("."))]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1 if is_package else node.level
            base = home[: len(home) - up] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_within(name: str, places: tuple[str, ...]) -> bool:
    """Whether the name is one of the places, or in it."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def layer_of(name: str) -> str:
    return name.partition(".")[0]


def broken_rules(importer: str, imported: str) -> Iterator[str]:
    """Yield what is wrong with one import."""
    for place, forbidden in NEVER.items():
        if is_within(importer, (place,)) and is_within(imported, forbidden):
            yield f"{importer} imports {imported}: {place} must not"
    if imported.startswith("wigwag_"):
        yield f"{importer} imports {imported}: core knows no provider package"
    if not is_within(imported, ("wigwag",)):
        return
    source, target = layer_of(importer), layer_of(imported.removeprefix("wigwag").lstrip("."))
    if source in OUTSIDE_LAYERS or source == target:
        return
    if target not in LAYERS:
        yield f"{importer} imports {imported}: say from which module, not from wigwag as a whole"
    elif source in ONLY and not is_within(imported, ONLY[source]):
        yield f"{importer} imports {imported}: of wigwag, {source} may import only {ONLY[source]}"
    elif source in LAYERS and LAYERS.index(target) > LAYERS.index(source):
        yield f"{importer} imports {imported}: {target} stands above {source}"


def broken_in(source: str, importer: str, *, is_package: bool = False) -> list[str]:
    found = imports_of(source, importer, is_package=is_package)
    return [rule for imported in found for rule in broken_rules(importer, imported)]


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_from_below(module: str) -> None:
    path = SOURCES[module]
    assert not broken_in(path.read_text(), module, is_package=path.name == "__init__.py")


def test_each_module_has_its_place() -> None:
    unplaced = {layer_of(module) for module in SOURCES} - set(LAYERS) - OUTSIDE_LAYERS
    assert not unplaced, f"say in LAYERS where these stand: {sorted(unplaced)}"


@pytest.mark.parametrize("module", dict.fromkeys((*LAYERS, *NEVER, *ONLY)))
def test_each_rule_is_about_a_module_that_exists(module: str) -> None:
    assert module in SOURCES


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("broker", "from wigwag.provider import x"),
        ("broker", "from wigwag.topics import x"),
        ("broker", "def f():\n    import wigwag.cli"),
        ("client", "from .provider import x"),
        ("errors", "import wigwag_redis"),
        ("errors", "from wigwag import Sockets"),
        ("frames", "import time"),
        ("memory", "from wigwag import settings"),
        ("node", "from . import interest"),
        ("provider.channels", "from anyio import Event"),
        ("provider.loop", "from ..sockets.endpoint import x"),
        ("provider.loop", "from starlette.websockets import WebSocket"),
        ("sockets.endpoint", "if TYPE_CHECKING:\n    from wigwag.service.app import x"),
    ],
)
def test_the_rules_notice(importer: str, source: str) -> None:
    assert broken_in(source, importer)


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("memory", "import anyio\nfrom wigwag.broker import Broker"),
        ("provider.loop", "from .channels import x\nimport anyio"),
        ("provider", "from wigwag.provider.channels import x"),
        ("cli", "from wigwag import client"),
    ],
)
def test_the_rules_allow(importer: str, source: str) -> None:
    assert not broken_in(source, importer)
