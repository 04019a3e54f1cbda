"""The chart, rendered by Helm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from charts.programs import program

CHART = Path(__file__).parents[2] / "charts/wigwag"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
#: What an installation needs besides: without keys the templates refuse.
ACCESS: dict[str, Any] = {"auth": {"apiKeys": {"existingSecret": "keys"}, "jwt": {"existingSecret": "jwt"}}}
LIMIT_S = 60.0

Manifest = dict[str, Any]


class Refused(Exception):
    """What Helm said."""


def helm(*arguments: str | Path, given: str = "") -> str:
    """Run Helm; what it printed.  Raises Refused."""
    command = [program("helm"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def render(
    values: Mapping[str, Any] | Path = ACCESS, *more: str, release: str = "wigwag", schema: bool = True
) -> list[Manifest]:
    """What an installation with these values consists of, hooks included.  Raises Refused."""
    unchecked = () if schema else ("--skip-schema-validation",)
    given = values.read_text() if isinstance(values, Path) else json.dumps(values, ensure_ascii=False)
    printed = helm(
        "template", release, CHART, "--namespace", "realtime", "-f", "-", *unchecked, *more, given=given
    )
    return [each for each in yaml.load_all(printed, yaml.CSafeLoader) if each]


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The only one of its kind, or of that name."""
    (found,) = (
        each for each in manifests if each["kind"] == kind and (not name or each["metadata"]["name"] == name)
    )
    return found


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others over them, as Helm does it."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            result[key] = (
                merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
            )
    return result
