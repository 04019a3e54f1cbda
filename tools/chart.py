"""`make chart`: what the chart repeats of the code is written anew: variables in values.schema.json, and README.md."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from charts.programs import program
from wigwag.plugins import load
from wigwag.provider import ProviderSettings
from wigwag.settings import CoreSettings, ServiceSettings, Variable, variables
from wigwag.settings.load import names
from wigwag.settings.unknown import prefix_of

CHART = Path(__file__).parents[1] / "charts/wigwag"
SCHEMA = CHART / "values.schema.json"
PROVIDERS = ("redis", "nats", "kafka")
#: What a value of the chart must not hold: a Secret does.
SECRET = ("WIGWAG_API_KEY", "WIGWAG_JWT_SECRET")


def all_settings() -> list[Variable]:
    """What `wigwag serve` reads, whatever the provider."""
    classes = (CoreSettings, ServiceSettings, ProviderSettings)
    return [variable for each in classes for variable in variables(each, "WIGWAG_")]


def form(accepted: str) -> dict[str, Any]:
    """The schema of what a setting accepts, which it says in words."""
    if accepted == "true or false":
        return {"type": "boolean"}
    if number := re.fullmatch(r"a (whole )?number.*?(?:(of at least|greater than) ([0-9.]+))", accepted):
        bound = "minimum" if number[2] == "of at least" else "exclusiveMinimum"
        return {"type": "integer" if number[1] else "number", bound: int(number[3])}
    if re.fullmatch(r"\w+(, \w+)* or \w+", accepted):
        return {"enum": re.split(", | or ", accepted)}
    return {"type": "string"}


def schema_text() -> str:
    """What values.schema.json has to be."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    definitions = schema["definitions"]
    own = (*definitions["chartsOwn"]["enum"], *SECRET)
    definitions["settings"]["properties"] = {
        each.name: {"description": each.help, **form(each.accepted)}
        for each in all_settings()
        if each.name not in own
    }
    for name in PROVIDERS:
        definitions[name]["enum"] = names(load(name).settings, prefix_of(name))
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def readme_text() -> str:
    """What README.md has to be: helm-docs makes it of values.yaml and README.md.gotmpl."""
    command = [
        str(program("helm-docs")),
        "--chart-search-root",
        str(CHART),
        "--dry-run",
        "--sort-values-order",
        "file",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip() + "\n"


def main() -> None:
    """Write both, where Go is, which brings helm-docs."""
    SCHEMA.write_text(schema_text())
    (CHART / "README.md").write_text(readme_text())


if __name__ == "__main__":
    main()
