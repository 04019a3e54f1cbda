"""``wigwag new-provider``: a distribution to begin with, which runs, and which the conformance suite finds wanting."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from wigwag.errors import SettingsError
from wigwag.plugins import distribution_of, installed
from wigwag.settings import OUR_PROVIDERS

_is_name = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*").fullmatch

#: Each template, and where it goes.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "__init__.py": "src/wigwag_$name/__init__.py",
    "settings.py": "src/wigwag_$name/settings.py",
    "plugin.py": "src/wigwag_$name/plugin.py",
    "broker.py": "src/wigwag_$name/broker.py",
    "test_contract.py": "tests/test_contract.py",
}


def new_provider(name: str, directory: Path) -> Path:
    """Write the distribution ``wigwag-NAME`` into the directory; where it stands.

    Raises:
        SettingsError: the name can't be one, or is taken, or there is something already.
    """
    name = name.removeprefix("wigwag-").removeprefix("wigwag_").replace("-", "_")
    if not _is_name(name):
        raise SettingsError(
            f"{name!r} can't be a provider's name: it must be like mqtt or my_broker, in lower case"
        )
    if name in OUR_PROVIDERS:
        raise SettingsError(f"{name!r} is a provider of wigwag's own; give yours another name")
    if name in installed():
        raise SettingsError(f"{name!r} is installed already, by {distribution_of(installed()[name])}")
    words = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "upper": name.upper(),
        "camel": "".join(part.capitalize() for part in name.split("_")),
        "title": " ".join(part.capitalize() for part in name.split("_")),
        "version": ".".join(version("wigwag").split(".")[:2]),
    }
    root = directory / f"wigwag-{words['dashed']}"
    if root.exists():
        raise SettingsError(f"{root} exists already; nothing was written")
    for template, place in _FILES.items():
        path = root / Template(place).substitute(words)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = files("wigwag.cli").joinpath(f"scaffold/{template}.txt").read_text()
        path.write_text(Template(text).substitute(words))
    (root / f"src/wigwag_{name}/py.typed").touch()
    return root
