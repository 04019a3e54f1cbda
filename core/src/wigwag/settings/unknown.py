"""Variables that begin with ``WIGWAG_`` and are no settings: typing errors, and what Kubernetes writes."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from wigwag.errors import SettingsError

#: The providers that this project makes or will make.
OUR_PROVIDERS: Final = ("memory", "local", "redis", "nats", "kafka")

# What people try, and no comparison of letters finds.
_OFTEN_MEANT: Final = {
    "WIGWAG_PORT": "WIGWAG_LISTEN",
    "WIGWAG_HOST": "WIGWAG_LISTEN",
    "WIGWAG_BIND": "WIGWAG_LISTEN",
    "WIGWAG_INTERNAL_PORT": "WIGWAG_INTERNAL_LISTEN",
    "WIGWAG_INTERNAL_HOST": "WIGWAG_INTERNAL_LISTEN",
}

_URL: Final = r"(?:tcp|udp|sctp)://(?:[0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]+"
_NUMBER: Final = r"[0-9]+"
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINKS: Final = tuple(
    (re.compile(rf"WIGWAG(?:_[A-Z0-9_]+)?_{name}").fullmatch, re.compile(value).fullmatch)
    for name, value in (
        (r"SERVICE_PORT(?:_[A-Z0-9_]+)?", _NUMBER),
        (r"PORT", _URL),
        (r"PORT_[0-9]+_(?:TCP|UDP|SCTP)", _URL),
        (r"PORT_[0-9]+_(?:TCP|UDP|SCTP)_PROTO", r"tcp|udp|sctp"),
        (r"PORT_[0-9]+_(?:TCP|UDP|SCTP)_PORT", _NUMBER),
    )
)
_is_address_link = re.compile(
    r"WIGWAG(?:_[A-Z0-9_]+)?_(?:SERVICE_HOST|PORT_[0-9]+_(?:TCP|UDP|SCTP)_ADDR)"
).fullmatch


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes wrote this variable, for a Service named ``wigwag`` or ``wigwag-something``.

    Name and value are judged: ``WIGWAG_PORT=tcp://10.0.0.1:8000`` is one, ``WIGWAG_PORT=8000`` is not.
    """
    if _is_address_link(name):
        return _is_ip_address(value)
    return any(fits(name) and has_form(value) for fits, has_form in _SERVICE_LINKS)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_unknown(environ: Mapping[str, str], known: Collection[str], plugin_names: Iterable[str]) -> None:
    """Return if each ``WIGWAG_…`` variable is one that somebody reads.

    ``known`` are the variables that are read; what belongs to one of ``plugin_names``, the providers that were
    not chosen, is left alone, and so is what Kubernetes writes.

    Raises:
        SettingsError: naming the first such variable, and the known one that is nearest.
    """
    others = tuple(prefix_of(name) for name in plugin_names)
    for name in sorted(environ):
        if not name.startswith("WIGWAG_") or name in known or name.startswith(others):
            continue
        if not is_service_link(name, environ[name]):
            raise SettingsError(f"{name} is no setting of wigwag{_hint(name, known)}", variable=name)


def prefix_of(plugin_name: str) -> str:
    """What the variables of a provider begin with."""
    return f"WIGWAG_{re.sub('[^A-Z0-9]', '_', plugin_name.upper())}_"


def _hint(name: str, known: Collection[str]) -> str:
    meant = _OFTEN_MEANT.get(name)
    if meant in known:
        return f"; {meant} is"
    # Without the prefix, which all share and which would make anything look near.
    bare = {other.removeprefix("WIGWAG_"): other for other in known}
    nearest = difflib.get_close_matches(name.removeprefix("WIGWAG_"), bare, n=1, cutoff=0.5)
    return f"; the nearest is {bare[nearest[0]]}" if nearest else "; docs/settings.md lists those that are"
