"""The dashboard asks for what is exported, and shows all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from documents import ROOT
from monitoring.promql import labels_of, metrics_of, nodes, parse, selectors

DASHBOARD: dict[str, Any] = json.loads((ROOT / "charts/wigwag/files/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
LABELS = {"namespace", "job", "instance", "worker", "provider", "reason", "le", "version"}

#: What is not on it, and why.
LEFT_OUT = {
    "process_virtual_memory_bytes": "says nothing of what a process needs: resident memory is there",
    "process_start_time_seconds": "counters that begin anew say the same",
}


@pytest.mark.parametrize(("title", "expression"), TARGETS)
def test_a_panel_asks_for_what_a_server_exports(title: str, expression: str, exported: set[str]) -> None:
    assert metrics_of(expression, exported) <= exported
    assert labels_of(expression) <= LABELS


@pytest.mark.parametrize(("title", "expression"), TARGETS)
def test_a_panel_is_about_the_namespace_and_job_that_are_chosen(title: str, expression: str) -> None:
    assert selectors(expression)
    for selector in selectors(expression):
        matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert matchers.items() >= {"namespace": "$namespace", "job": "$job"}.items()


@pytest.mark.parametrize(("title", "expression"), TARGETS)
def test_workers_are_summed_and_counters_are_rates(title: str, expression: str, exported: set[str]) -> None:
    """A series that Prometheus shows twice as long as it is, or that only grows, is what a dashboard is not for."""
    tree = parse(expression)
    if "wigwag_workers" in expression or "wigwag_worker_" in expression or "wigwag_hub_" in expression:
        return  # the supervisor's own, of which there is one
    assert any(type(node).__name__ == "AggregateExpr" for node in nodes(tree)), "not summed over workers"
    ranged = {node.vector_selector.name for node in nodes(tree) if type(node).__name__ == "MatrixSelector"}
    for selector in selectors(expression):
        assert selector.name in ranged or not selector.name.endswith(("_total", "_bucket"))


def test_all_that_is_exported_is_shown_or_left_out_for_a_reason(exported: set[str]) -> None:
    shown = {name for _, expression in TARGETS for name in metrics_of(expression, exported)}
    assert exported - shown == LEFT_OUT.keys()


def test_each_panel_says_what_it_shows_and_has_a_place_of_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert all(panel["description"].endswith(".") for panel in PANELS)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_it_is_for_any_prometheus() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "job"]
    used = [
        *PANELS,
        *(t for panel in PANELS for t in panel["targets"]),
        variables["namespace"],
        variables["job"],
    ]
    assert all(item["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for item in used)
    assert not {"id", "__inputs"} & DASHBOARD.keys()  # which an instance of Grafana adds
