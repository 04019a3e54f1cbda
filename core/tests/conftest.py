"""For all unit tests of core."""

from __future__ import annotations

from collections.abc import Iterable
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
