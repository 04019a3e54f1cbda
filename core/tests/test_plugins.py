"""Plugins: found by name without being imported, and loaded only when chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wigwag.errors import SettingsError, UnknownProvider
from wigwag.memory import MemoryBroker, MemorySettings
from wigwag.plugins import distribution_of, installed, load

Install = Callable[..., None]

GOOD = """
from dataclasses import dataclass
from wigwag.memory import MemoryBroker
from wigwag.plugins import ProviderPlugin, hookimpl

@dataclass(frozen=True)
class Settings:
    url: str = "x://"

@hookimpl
def wigwag_provider():
    return ProviderPlugin(name="NAME", summary="s", settings=Settings, create=lambda s: MemoryBroker())
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution, as its metadata and one module on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(name: str, source: str, *, distribution: str | None = None) -> None:
        module = f"plugin_{name}_{tmp_path.name}"
        info = tmp_path / f"{(distribution or f'wigwag_{name}')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution or f'wigwag-{name}'}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[wigwag]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(source.replace("NAME", name))

    return install


def test_memory_is_found_by_its_entry_point_like_any_other() -> None:
    plugin = load("memory")
    assert plugin.name == "memory"
    assert plugin.settings is MemorySettings
    assert isinstance(plugin.create(MemorySettings()), MemoryBroker)


def test_the_installed_are_listed_without_being_imported(install: Install) -> None:
    install("mqtt", "raise SystemError('imported')")
    assert list(installed()) == ["local", "memory", "mqtt"]
    assert distribution_of(installed()["mqtt"]) == "wigwag-mqtt 1.2"


def test_only_the_chosen_one_is_imported(install: Install) -> None:
    install("mqtt", GOOD)
    install("pulsar", "raise SystemError('imported')")
    assert load("mqtt").name == "mqtt"
    assert not [name for name in sys.modules if name.startswith("plugin_pulsar")]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("redis", ["installed: local, memory", "pip install wigwag-redis"]),
        ("nats", ["pip install wigwag-nats"]),
        ("kafka", ["pip install wigwag-kafka"]),
        ("memroy", ["installed: local, memory", "Did you mean memory?"]),
        ("Redis", ["Did you mean redis (pip install wigwag-redis)?"]),
        ("lokal", ["Did you mean local?"]),
        ("", ["installed: local, memory"]),
    ],
)
def test_an_unknown_name_is_told_what_there_is(name: str, parts: list[str]) -> None:
    with pytest.raises(UnknownProvider) as caught:
        load(name)
    assert not [part for part in parts if part not in str(caught.value)], str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.variable == "WIGWAG_PROVIDER"


def test_a_plugin_that_lacks_its_client_library_says_which_and_what_to_do(install: Install) -> None:
    install("mqtt", "import paho_client_that_is_missing")
    with pytest.raises(SettingsError) as caught:
        load("mqtt")
    assert str(caught.value) == (
        "the provider 'mqtt' can't be loaded (No module named 'paho_client_that_is_missing'); install what "
        "it needs: pip install --force-reinstall wigwag-mqtt"
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "it does not implement the hook wigwag_provider"),
        (GOOD.replace("wigwag_provider", "wigwag_provder"), "unknown hook 'wigwag_provder'"),
        (GOOD.replace("provider()", "provider(name)"), "Argument(s) {'name'}"),
        (GOOD.replace("return ", "return 1 or "), "wigwag_provider() returned int, no ProviderPlugin"),
        (GOOD.replace("NAME", "other"), "it calls itself 'other'"),
    ],
)
def test_a_plugin_that_does_not_implement_the_hook_is_called_faulty(
    install: Install, source: str, why: str
) -> None:
    install("mqtt", source)
    with pytest.raises(SettingsError) as caught:
        load("mqtt")
    message = str(caught.value)
    assert message.startswith("the plugin 'mqtt' of wigwag-mqtt 1.2 is faulty, and its author must mend it")
    assert why in message
    assert "\n" not in message


def test_what_the_plugins_own_code_raises_is_not_hidden(install: Install) -> None:
    install("mqtt", "raise ZeroDivisionError('in the plugin')")
    with pytest.raises(ZeroDivisionError, match="in the plugin"):
        load("mqtt")
