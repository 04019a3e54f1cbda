"""The alerts stand on what is exported, fire when they should, and lead to a page that says what to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from documents import ROOT
from monitoring import promtool
from monitoring.promql import labels_of, metrics_of, selectors

FILE = ROOT / "charts/wigwag/files/alerts.yaml"
TESTS = Path(__file__).with_name("alerts_test.yaml")
MONITORING = (ROOT / "docs/operations/monitoring.md").read_text()

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
#: What Prometheus itself adds, and what ours have.
LABELS = {"namespace", "job", "instance", "worker", "provider", "reason", "le", "version"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_stands_on_what_a_server_exports(rule: dict[str, Any], exported: set[str]) -> None:
    assert selectors(rule["expr"])
    assert metrics_of(rule["expr"], exported) <= exported
    assert labels_of(rule["expr"]) <= LABELS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "for" in rule
    assert re.fullmatch(r"docs/operations/drills\.md#[a-z0-9-]+", rule["annotations"]["runbook_url"])


def test_what_to_do_stands_where_an_alert_says() -> None:
    headings = re.findall("^#+ (.+)$", (ROOT / "docs/operations/drills.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {rule["annotations"]["runbook_url"].partition("#")[2] for rule in RULES} <= anchors


def test_each_alert_is_documented() -> None:
    section = MONITORING.partition("\n## Alerts\n")[2]
    rows = re.findall(r"^\| `(Wigwag\w+)` \| (\w+) \| ([0-9a-z ]+) \|", section, re.MULTILINE)
    assert rows == [
        (rule["alert"], rule["labels"]["severity"], "at once" if rule["for"] == "0m" else rule["for"])
        for rule in RULES
    ]


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_rules() -> None:
    done = promtool.run("check", "rules", "--lint=all", "--lint-fatal", FILE, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_each_alert_fires_when_it_should_and_not_every_day(tmp_path: Path) -> None:
    for file in (FILE, TESTS):
        shutil.copy(file, tmp_path)
    done = promtool.run("test", "rules", TESTS.name, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("rule", "bent"),
    [
        (
            "increase(wigwag_broker_sessions_total[15m])) > 5",
            "increase(wigwag_broker_sessions_total[15m])) > 0",
        ),
        ("> 0.001", "> 0.0001"),
        ("sockets|connections|handshakes", "sockets|malformed"),
        ("> 0.85", "> 0.95"),
        ("for: 10m", "for: 40m"),
    ],
)
def test_an_alert_that_is_bent_is_noticed(tmp_path: Path, rule: str, bent: str) -> None:
    text = FILE.read_text()
    assert rule in text
    (tmp_path / FILE.name).write_text(text.replace(rule, bent))
    shutil.copy(TESTS, tmp_path)
    assert promtool.run("test", "rules", TESTS.name, cwd=tmp_path).returncode != 0


@pytest.mark.needs("promtool")
def test_the_names_are_as_prometheus_wants_them(page: str) -> None:
    """Of all that a server exports, also the library's own (``process_…``)."""
    done = promtool.run("check", "metrics", cwd=ROOT, said=page)
    assert done.returncode == 0, done.stdout + done.stderr
