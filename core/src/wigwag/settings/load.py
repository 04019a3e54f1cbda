"""From the environment to a settings dataclass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, get_type_hints

from wigwag.errors import SettingsError
from wigwag.settings.unknown import is_service_link
from wigwag.settings.values import Form, form_of

T = TypeVar("T")

_LONGEST_SHOWN = 60
_FILE = "_FILE"
_LONGEST_SECRET = 64 * 1024


class Variable(NamedTuple):
    """One setting, for people: its variable, what it is unless set, what may be written, what it means."""

    name: str
    default: str
    accepted: str
    help: str


def load_settings(cls: type[T], prefix: str, environ: Mapping[str, str]) -> T:
    """Make an instance of a settings dataclass from the variables that begin with ``prefix``.

    What is not set has the class's default. Variables that no field has are not looked at: see
    :func:`~wigwag.settings.check_unknown`.

    Raises:
        SettingsError: naming the variable and the accepted form; a secret's value is never in it.
        TypeError: a field's type can't be read from a variable.
    """
    values: dict[str, Any] = {}
    for field, name, form in _fields(cls, prefix):
        text = environ.get(name)
        if form.is_secret and _may_stand_in_file(cls, field):
            text = _from_file(name, text, form, environ)
        if text is not None and not is_service_link(name, text):
            values[field.name] = _parse(name, text, form)
        elif _is_required(field):
            raise SettingsError(f"{name} is not set: it must be {form.accepted}", variable=name)
    return cls(**values)


def variables(cls: type[Any], prefix: str) -> list[Variable]:
    """What :func:`load_settings` reads, in the order of the fields."""
    return [
        Variable(name, _shown_default(field), form.accepted, field.metadata.get("help", ""))
        for field, name, form in _fields(cls, prefix)
    ]


def names(cls: type[Any], prefix: str) -> list[str]:
    """The variables that :func:`load_settings` looks at: those of the fields, and of files in which secrets stand."""
    found: list[str] = []
    for field, name, form in _fields(cls, prefix):
        found.append(name)
        if form.is_secret and _may_stand_in_file(cls, field):
            found.append(f"{name}{_FILE}")
    return found


def _may_stand_in_file(cls: type[Any], field: dataclasses.Field[Any]) -> bool:
    """Whether a secret may be given by a file, read once.  Not where the class has a field for its file: then what is
    read there, and when, is the class's own matter."""
    return all(other.name != f"{field.name}{_FILE.lower()}" for other in dataclasses.fields(cls))


def _from_file(name: str, text: str | None, form: Form, environ: Mapping[str, str]) -> str | None:
    """The secret, where ``…_FILE`` says in which file it stands, as Kubernetes and others mount them."""
    variable = f"{name}{_FILE}"
    path = environ.get(variable)
    if path is None:
        return text
    if text is not None:
        raise SettingsError(f"{name} and {variable} are both set: one of them says it", variable=variable)
    try:
        with open(path, encoding="utf-8") as file:
            found = file.read(_LONGEST_SECRET + 1).strip()
    except (OSError, ValueError) as exc:
        why = (exc.strerror or str(exc)).lower() if isinstance(exc, OSError) else "it is no text"
        raise SettingsError(f"{variable}={path}: {why}", variable=variable) from None
    try:
        form.parse(found)
    except ValueError:
        text = f"{variable}={path}: what stands in it must be {form.accepted}"
        raise SettingsError(text, variable=variable) from None
    return found


def _fields(cls: type[Any], prefix: str) -> Iterator[tuple[dataclasses.Field[Any], str, Form]]:
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.init:
            form = form_of(hints[field.name], field.name, field.metadata)
            yield field, f"{prefix}{field.name}".upper(), form


def _parse(name: str, text: str, form: Form) -> Any:
    try:
        return form.parse(text)
    except ValueError:
        pass
    raise SettingsError(f"{name}{_shown_value(text, form)}: it must be {form.accepted}", variable=name)


def _shown_value(text: str, form: Form) -> str:
    if form.is_secret or "@" in text:  # a URL may hold a password
        return ""
    shown = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    return f"={shown!r}"


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _shown_default(field: dataclasses.Field[Any]) -> str:
    if _is_required(field):
        return "(required)"
    factory = field.default_factory
    default = field.default if factory is dataclasses.MISSING else factory()
    if default is None or default in ("", ()):
        return "(none)"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if type(default) is tuple:
        return ",".join(map(str, default))
    return str(default)
