"""Every setting and every hook is documented, with what the code says of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from wigwag.factory import PREFIX, known_variables
from wigwag.local import LocalSettings
from wigwag.plugins import INSTALLABLE, Hooks, load
from wigwag.provider import ProviderSettings
from wigwag.settings import CoreSettings, ServiceSettings, Variable, variables
from wigwag.settings.unknown import prefix_of

DOCS = Path(__file__).parents[1] / "docs"
SETTINGS = (DOCS / "settings.md").read_text()
PLUGINS = (DOCS / "plugins.md").read_text()

SECTIONS = {
    "Every application": (CoreSettings, PREFIX),
    "`wigwag serve`": (ServiceSettings, PREFIX),
    "Providers, whatever the broker": (ProviderSettings, PREFIX),
    "The processes of one machine": (LocalSettings, prefix_of("local")),
}


def row(variable: Variable) -> str:
    """Return the table row that docs/settings.md has for a variable."""
    return f"| `{variable.name}` | `{variable.default}` | {variable.accepted} | {variable.help} |"


@pytest.mark.parametrize("title", SECTIONS)
def test_each_setting_stands_in_its_table_with_default_form_and_help(title: str) -> None:
    section = SETTINGS.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = [line for line in section.splitlines() if line.startswith("| `")]
    assert found == [row(variable) for variable in variables(*SECTIONS[title])]


@pytest.mark.parametrize("name", INSTALLABLE)
def test_each_setting_of_a_provider_stands_in_its_readme_with_default_and_help(name: str) -> None:
    text = (DOCS.parent / f"providers/{name}/README.md").read_text()
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    found = [line for line in section.splitlines() if line.startswith("| `WIGWAG_")]
    expected = variables(load(name).settings, prefix_of(name))
    assert found == [f"| `{v.name}` | `{v.default}` | {v.help} |" for v in expected]


def test_no_variable_is_documented_that_is_not_read() -> None:
    known = {variable.name for variable in known_variables(load("local"))}
    mentioned = set(re.findall(r"WIGWAG_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_<…])", SETTINGS))
    # As the text says of each.
    examples = {"WIGWAG_PORT", "WIGWAG_SERVICE_HOST", "WIGWAG_REDIS_URL", "WIGWAG_REDIS_PASSWORD_FILE"}
    assert mentioned - known == examples


@pytest.mark.parametrize("command", INSTALLABLE.values())
def test_each_provider_of_ours_is_named_with_how_to_get_it(command: str) -> None:
    assert f"`{command}`" in SETTINGS


@pytest.mark.parametrize(
    "hook", [name for name, _ in inspect.getmembers(Hooks, inspect.isfunction) if name[0] != "_"]
)
def test_each_hook_is_documented(hook: str) -> None:
    assert f"### `{hook}()" in PLUGINS


def test_the_example_of_a_plugin_is_one() -> None:
    (source,) = re.findall(r"```python\n(.+?)```", PLUGINS, re.DOTALL)
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(source, "docs/plugins.md", "exec", dont_inherit=True), names)
    plugin = names["wigwag_provider"]()  # type: ignore[operator]
    assert plugin.name == "mqtt"
    described = {v.name: v.help for v in variables(plugin.settings, "WIGWAG_MQTT_")}
    assert described["WIGWAG_MQTT_URL"] == "Where the MQTT broker listens."
