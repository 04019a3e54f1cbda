"""For all unit tests of core."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from importlib.metadata import EntryPoint, entry_points

import pytest

from thoroughness import set_usual

set_usual()


@pytest.fixture(autouse=True)
def only_core_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the providers beside core: these tests hold with and without them."""

    def of_core(*, group: str) -> Iterable[EntryPoint]:
        return [entry for entry in entry_points(group=group) if not entry.value.startswith("wigwag_")]

    monkeypatch.setattr("wigwag.plugins.entry_points", of_core)


@pytest.fixture(autouse=True)
def logging_stays_as_it_was() -> Generator[None]:
    """What a command that runs in the tests' process sets up is its own."""
    root, ours = logging.getLogger(), logging.getLogger("wigwag")
    before = root.level, ours.level
    yield
    for logger, level in zip((root, ours), before, strict=True):
        logger.setLevel(level)
