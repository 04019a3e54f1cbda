"""The chart as others' tools see it, on the oldest and the newest Kubernetes, and what it repeats of the code."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.programs import program
from charts.programs.schemas import NEWEST, OLDEST, NotValid, validate
from charts.rendering import ACCESS, CASES, CHART, SCHEMA, helm, render

ROOT = CHART.parents[1]
ACCEPTED = Path(__file__).parent / "accepted.yaml"
PARAMETERS = [pytest.param(path, id=path.name.removesuffix("-values.yaml")) for path in CASES]


def tool() -> Any:
    """tools/chart.py."""
    spec = importlib.util.spec_from_file_location("chart_tool", ROOT / "tools/chart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.needs("helm")
@pytest.mark.parametrize("case", PARAMETERS)
def test_helm_has_nothing_to_say(case: Path) -> None:
    helm("lint", "--strict", CHART, "-f", case)


@pytest.mark.needs("charts")
@pytest.mark.parametrize("case", PARAMETERS)
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_knows_each_field(case: Path, version: str) -> None:
    for manifest in render(case, "--kube-version", version):
        validate(manifest, version)


@pytest.mark.needs("charts")
def test_a_field_that_kubernetes_does_not_know_is_seen() -> None:
    for manifest in render(CHART / "ci/nats-values.yaml"):
        manifest["spec" if "spec" in manifest else "metadata"]["nonsense"] = 1
        if "spec" in manifest:
            with pytest.raises(NotValid, match="nonsense"):
                validate(manifest, NEWEST)


def test_the_oldest_kubernetes_is_the_one_that_the_chart_asks_for() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={OLDEST}-0"


@pytest.mark.needs("charts")
@pytest.mark.parametrize("case", PARAMETERS)
def test_kube_score_finds_nothing_that_is_not_accepted(case: Path) -> None:
    accepted = yaml.safe_load(ACCEPTED.read_text())
    command = [
        str(program("kube-score")),
        "score",
        "-",
        "--output-format",
        "json",
        "--kubernetes-version",
        "v1.31",
    ]
    given = helm("template", "wigwag", CHART, "-f", case)
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    found = {
        f"{scored['type_meta']['kind']} {scored['object_meta']['name']} {check['check']['id']}"
        for scored in json.loads(done.stdout)
        for check in scored["checks"]
        if not check["skipped"] and check["grade"] < 10
    }
    kinds = {(kind, id_) for kind, _, id_ in (each.split(" ") for each in found)}
    assert kinds <= {(each["kind"], each["check"]) for each in accepted}, found


def test_each_accepted_finding_says_why() -> None:
    accepted = yaml.safe_load(ACCEPTED.read_text())
    assert all(set(each) == {"kind", "check", "why"} and each["why"] for each in accepted)


def test_the_lists_of_variables_are_those_of_the_code() -> None:
    assert tool().schema_text() == (CHART / "values.schema.json").read_text(), "make chart"


def test_what_values_of_the_chart_say_are_variables_that_are_read() -> None:
    own = set(SCHEMA["definitions"]["chartsOwn"]["enum"])
    assert own <= {each.name for each in tool().all_settings()}


@pytest.mark.needs("charts")
def test_the_readme_is_made_of_the_values() -> None:
    assert tool().readme_text() == (CHART / "README.md").read_text(), "make chart"


def objects(schema: Any, at: str = "") -> Any:
    """Each schema of an object within, and where."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield at, schema
        for key, each in schema.items():
            if key not in ("if", "then"):
                yield from objects(each, f"{at}/{key}")
    elif isinstance(schema, list):
        for number, each in enumerate(schema):
            yield from objects(each, f"{at}/{number}")


def test_no_name_that_is_not_known_is_taken_anywhere() -> None:
    open_ = {
        at
        for at, schema in objects(SCHEMA)
        if schema.get("additionalProperties") is not False
        # A map of the user's own names, whose values have a form.
        and not isinstance(schema.get("additionalProperties"), dict)
    }
    # What is Kubernetes' own is checked by Kubernetes; `global` is the parent chart's.
    assert open_ == {"/definitions/kubernetes", "/properties/global"}


def test_the_schema_and_the_values_have_the_same_names() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    differences = set(differing(values, SCHEMA, ""))
    # `settings` has what the code says; nothing of it is set.
    assert {each for each in differences if not each.startswith("/settings/")} == {"/global"}


def differing(values: Any, schema: dict[str, Any], at: str) -> Any:
    """The names that the one has and the other has not."""
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(values, dict) and "properties" in schema:
        yield from (f"{at}/{name}" for name in set(values) ^ set(schema["properties"]))
        for name in set(values) & set(schema["properties"]):
            yield from differing(values[name], schema["properties"][name], f"{at}/{name}")


@pytest.mark.needs("helm")
def test_a_chart_that_has_this_one_in_it_may_use_it() -> None:
    """Helm hands `global` down to it."""
    assert render({**ACCESS, "global": {"imageRegistry": "registry.example.com"}})


@pytest.mark.needs("charts")
def test_the_charts_own_unit_tests_pass() -> None:
    """helm-unittest, over charts/wigwag/tests."""
    command = [str(program("helm-unittest")), "--strict", str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
