"""The pages for operators name what exists: tests, metrics, alerts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from documents import ROOT, anchors

PAGES = sorted((ROOT / "docs/operations").glob("*.md"))
DRILLS = ROOT / "docs/operations/drills.md"
ATTACKS = re.findall(
    r"`([\w/]+/test_\w+\.py)::(test_\w+)`", (ROOT / "docs/operations/security.md").read_text()
)
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "charts/wigwag/files/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
MONITORING = (ROOT / "docs/operations/monitoring.md").read_text()
#: What stands in the guide, of the supervisor.
WORKERS = (ROOT / "docs/guide/serving.md").read_text()


def test_attacks_are_listed() -> None:
    assert len(ATTACKS) > 25


@pytest.mark.parametrize(("path", "name"), ATTACKS, ids=[name for _, name in ATTACKS])
def test_the_test_of_an_attack_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_an_alert_leads_to_its_drill(rule: dict[str, dict[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page.endswith("docs/operations/drills.md")
    assert anchor in anchors(DRILLS)
    heading = anchor.replace("-", " ").capitalize()
    section = DRILLS.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert f"`{rule['alert']}`" in section
    assert "**Drill**" in section


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_metrics_of_a_page_exist(page: Path) -> None:
    for name in set(re.findall(r"`(wigwag_[a-z_]+)", page.read_text())) - {"wigwag_"}:
        assert f"`{name}`" in MONITORING + WORKERS, name
