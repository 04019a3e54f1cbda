"""`make chart`: what the chart repeats of the code is written anew: variables in values.schema.json, and README.md."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from charts.programs import program
from wigwag.plugins import load
from wigwag.provider import ProviderSettings
from wigwag.settings import CoreSettings, ServiceSettings
from wigwag.settings.load import names
from wigwag.settings.unknown import prefix_of

CHART = Path(__file__).parents[1] / "charts/wigwag"
SCHEMA = CHART / "values.schema.json"
PROVIDERS = ("redis", "nats", "kafka")
#: What a value of the chart must not hold: a Secret does.
SECRET = ("WIGWAG_API_KEY", "WIGWAG_JWT_SECRET")


def all_variables() -> list[str]:
    """What `wigwag serve` reads, whatever the provider."""
    classes = (CoreSettings, ServiceSettings, ProviderSettings)
    return [name for each in classes for name in names(each, "WIGWAG_")]


def known(schema: dict[str, Any]) -> dict[str, list[str]]:
    """Each list of variables that the schema has, by its definition, as the code has it."""
    own = schema["definitions"]["chartsOwn"]["enum"]
    lists = {"settings": [name for name in all_variables() if name not in (*own, *SECRET)]}
    lists |= {name: names(load(name).settings, prefix_of(name)) for name in PROVIDERS}
    return lists


def schema_text() -> str:
    """What values.schema.json has to be."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    for name, found in known(schema).items():
        schema["definitions"][name]["enum"] = found
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
