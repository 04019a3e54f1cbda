"""Plugins: how a provider makes itself known, and how exactly the chosen one is loaded.

A distribution names a module in its entry points, and the module implements the one hook::

    [project.entry-points.wigwag]
    mqtt = "wigwag_mqtt.plugin"

    @hookimpl
    def wigwag_provider() -> ProviderPlugin[MqttSettings]:
        return ProviderPlugin(name="mqtt", summary="…", settings=MqttSettings, create=MqttBroker)

The entry point's name is what stands in ``WIGWAG_PROVIDER``.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

import pluggy

from wigwag.broker import Broker, Finding
from wigwag.errors import SettingsError, UnknownProvider

S = TypeVar("S")

#: The entry-point group, and pluggy's project name.
GROUP: Final = "wigwag"
#: What is not part of this distribution and can be installed, by the provider's name.
INSTALLABLE: Final = {name: f"pip install wigwag-{name}" for name in ("redis", "nats", "kafka")}

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(GROUP)
#: Marks a function as an implementation of a hook of :class:`Hooks`.
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True)
class ProviderPlugin(Generic[S]):
    """What a plugin says of its provider."""

    #: The same as the entry point's.
    name: str
    #: One line for ``wigwag providers``.
    summary: str
    #: A frozen dataclass. Each field is a variable ``WIGWAG_<NAME>_<FIELD>``; its help stands in
    #: ``dataclasses.field(metadata={"help": …})``, or is given by :func:`wigwag.settings.setting`.
    settings: type[S]
    #: Makes a broker; it must not connect.
    #:
    #: Raises SettingsError where the settings do not fit together.
    create: Callable[[S], Broker]
    #: For ``wigwag check``: connects, looks at the server and what it allows, and says what will hurt.
    #: Core limits its time.  Raises BrokerLost, with one line, where the broker can't be reached.
    check: Callable[[S], Awaitable[Sequence[Finding]]] | None = None


class Hooks:
    """The hooks that a plugin implements."""

    @hookspec(firstresult=True)
    def wigwag_provider(self) -> ProviderPlugin[Any] | None:
        """The provider that this plugin brings.

        Called once, when the provider has been chosen by the name of the plugin's entry point. Nothing may be
        connected, started or read from the environment here.
        """


def installed() -> dict[str, EntryPoint]:
    """The installed plugins by name, in alphabetical order.  None of them is imported."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load(name: str) -> ProviderPlugin[Any]:
    """Import the plugin of this name, and no other.

    Raises:
        UnknownProvider: none of this name is installed.
        SettingsError: it can't be imported, or does not implement the hook as it must.
    """
    found = installed()
    if name not in found:
        raise UnknownProvider(_unknown(name, list(found)), variable="WIGWAG_PROVIDER")
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        manager.load_setuptools_entrypoints(GROUP, name=name)
    except ImportError as exc:
        raise SettingsError(_not_importable(found[name], exc), variable="WIGWAG_PROVIDER") from exc
    except pluggy.PluginValidationError as exc:  # arguments that the hook doesn't have
        raise _broken(found[name], _one_line(exc)) from exc
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as exc:  # a hook that doesn't exist: a mistyped name
        raise _broken(found[name], _one_line(exc)) from exc
    return _checked(manager.hook.wigwag_provider(), found[name])


def distribution_of(entry: EntryPoint) -> str:
    """The name and version of the distribution that brings a plugin."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def _checked(plugin: object, entry: EntryPoint) -> ProviderPlugin[Any]:
    if plugin is None:
        raise _broken(entry, "it does not implement the hook wigwag_provider")
    if not isinstance(plugin, ProviderPlugin):
        raise _broken(entry, f"wigwag_provider() returned {type(plugin).__name__}, no ProviderPlugin")
    if plugin.name != entry.name:
        raise _broken(entry, f"it calls itself {plugin.name!r}")
    return plugin


def _unknown(name: str, known: list[str]) -> str:
    text = f"WIGWAG_PROVIDER={name!r}: no such provider is installed; installed: {', '.join(known) or 'none'}"
    if name in INSTALLABLE:
        return f"{text}. To have it: {INSTALLABLE[name]}"
    nearest = difflib.get_close_matches(name.lower(), [*known, *INSTALLABLE], n=1)
    if nearest:
        pip = "" if nearest[0] in known else f" ({INSTALLABLE[nearest[0]]})"
        return f"{text}. Did you mean {nearest[0]}{pip}?"
    return f"{text}. Others of ours: {', '.join(INSTALLABLE.values())}"


def _not_importable(entry: EntryPoint, exc: ImportError) -> str:
    again = "" if entry.dist is None else f": pip install --force-reinstall {entry.dist.name}"
    return f"the provider {entry.name!r} can't be loaded ({_one_line(exc)}); install what it needs{again}"


def _broken(entry: EntryPoint, why: str) -> SettingsError:
    return SettingsError(
        f"the plugin {entry.name!r} of {distribution_of(entry)} is faulty, and its author must mend it: {why}",
        variable="WIGWAG_PROVIDER",
    )


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())
