"""The pages for operators name what exists: tests, metrics, alerts, settings."""

from __future__ import annotations

import re

import pytest

from documents import ROOT

OPERATIONS = sorted((ROOT / "docs/operations").glob("*.md"))
SECURITY = (ROOT / "docs/operations/security.md").read_text()
ATTACKS = re.findall(r"`([\w/]+/test_\w+\.py)::(test_\w+)`", SECURITY)


def test_attacks_are_listed() -> None:
    assert len(ATTACKS) > 25


@pytest.mark.parametrize(("path", "name"), ATTACKS, ids=[name for _, name in ATTACKS])
def test_the_test_of_an_attack_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), flags=re.MULTILINE)
