"""From a variable's text to a value, and the accepted form in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin
from urllib.parse import urlsplit

from wigwag.settings.tls import is_loopback

_is_whole_number = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII).fullmatch
_is_number = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.ASCII | re.IGNORECASE
).fullmatch
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True} | {
    "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip


class Secret(str):
    """A string that is never shown: ``repr``, ``str`` and formatting give ``***``."""

    __slots__ = ()
    accepted: ClassVar[str] = "printable ASCII characters, at least one, without spaces around them"
    is_secret: ClassVar[bool] = True
    #: An empty one is a mistake, and must not open what it was to close.
    refuses_empty: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Raises ValueError where it is empty, or could not be sent in an HTTP header as it is."""
        if not text or text != text.strip() or not (text.isascii() and text.isprintable()):
            raise ValueError("not a secret that can be sent")
        return cls(text)

    def reveal(self) -> str:
        """The secret itself, for the one place that needs it."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)


class Secrets(tuple[Secret, ...]):
    """Several secrets of which each counts, so that one may be exchanged for another; at least one."""

    __slots__ = ()
    accepted: ClassVar[str] = (
        "printable ASCII characters without spaces around them; several with commas between"
    )
    is_secret: ClassVar[bool] = True
    refuses_empty: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str) -> Secrets:
        """Raises ValueError where one is empty, or could not be sent in an HTTP header as it is."""
        return cls(Secret.parse(part) for part in text.split(","))

    @classmethod
    def parse_lines(cls, content: bytes) -> Secrets:
        """Those of a file, one a line; a comma is a character like others.

        Raises:
            ValueError: there is none, or one that could not be sent; with words that do not show it.
        """
        try:
            lines = [line.strip() for line in content.decode("ascii").splitlines()]
            found = cls(Secret.parse(line) for line in lines if line)
        except ValueError:
            raise ValueError("each line must be printable ASCII characters") from None
        if not found:
            raise ValueError("it is empty, and must have a secret a line")
        return found


class SecretFile(str):
    """The path of a file with secrets or keys."""

    __slots__ = ()
    accepted: ClassVar[str] = "a path"
    refuses_empty: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str) -> SecretFile:
        """Raises ValueError where it is empty."""
        if not text:
            raise ValueError("no path")
        return cls(text)


class JwksUrl(str):
    """Where a JWK Set is fetched: over HTTPS, so that nobody on the way can exchange it."""

    __slots__ = ()
    accepted: ClassVar[str] = "an https URL (http only to this machine)"
    refuses_empty: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str) -> JwksUrl:
        """Raises ValueError unless it is such a URL, without a login or a fragment."""
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number, or too large
        host = parts.hostname
        if (
            not host
            or parts.username is not None
            or parts.fragment
            or not (text.isascii() and text.isprintable())
        ):
            raise ValueError(text)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise ValueError(text)
        return cls(text)


class Listen(NamedTuple):
    """Where to listen; an empty host means every address of the machine."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Raises ValueError unless it is ``HOST:PORT``, ``[HOST]:PORT`` for IPv6, or ``:PORT``."""
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/\[\]]*)):([0-9]{1,5})", text, re.ASCII)
        if found is None or int(found[3]) > 65535:
            raise ValueError(text)
        return cls(found[1] or found[2], int(found[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Origin(str):
    """A browser's origin, as its ``Origin`` header has it; ``*`` means any."""

    __slots__ = ()
    accepted: ClassVar[str] = "an origin like https://app.example.com (or * for any)"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Raises ValueError unless it is ``*`` or ``SCHEME://HOST[:PORT]``."""
        if text == "*":
            return cls(text)
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number, or too large
        if not (parts.scheme and parts.hostname) or parts.username is not None:
            raise ValueError(text)
        if text.lower() != f"{parts.scheme}://{parts.netloc}".lower():  # no path, not even a slash
            raise ValueError(text)
        return cls(text.lower())


# On the class, these would be fields.
_ACCEPTED: Mapping[Any, str] = {
    Listen: "HOST:PORT, like 127.0.0.1:8000, [::1]:8000, or :8000 for every address; ports 0 to 65535"
}


@dataclass(frozen=True)
class Form:
    """What a variable's text may be: in words, and as a function that raises ValueError."""

    accepted: str
    parse: Callable[[str], Any]
    is_secret: bool = False
    refuses_empty: bool = False


def form_of(type_: Any, name: str, metadata: Mapping[str, Any]) -> Form:
    """The form of a field's texts.

    Raises:
        TypeError: a setting can't have this type; the fault of who wrote the class.
    """
    origin = get_origin(type_)
    if origin in (Union, UnionType):
        inner = [arg for arg in get_args(type_) if arg is not NoneType]
        if len(inner) == 1:
            form = form_of(inner[0], name, metadata)
            if form.refuses_empty:
                return form
            return Form(form.accepted, lambda text: form.parse(text) if text else None)
    elif origin is Literal:
        choices = {str(choice): choice for choice in get_args(type_)}
        return Form(_one_of(list(choices)), lambda text: _choose(choices, text))
    elif origin is tuple and get_args(type_)[1:] == (Ellipsis,):
        item = form_of(get_args(type_)[0], name, metadata)
        accepted = f"comma-separated, each {item.accepted}"
        return Form(accepted, lambda text: _split(text, item), item.is_secret)
    elif type_ in (int, float):
        return _number(type_, name, metadata)
    elif type_ is bool:
        return Form("true or false", lambda text: _choose(_BOOLEANS, text.lower()))
    elif type_ is str:
        return Form("a text", str)
    elif type_ is Path:
        return Form("a path", Path)
    elif hasattr(type_, "parse"):
        accepted = _ACCEPTED.get(type_) or type_.accepted
        is_secret, refuses_empty = (getattr(type_, name, False) for name in ("is_secret", "refuses_empty"))
        return Form(accepted, type_.parse, is_secret, refuses_empty)
    raise TypeError(f"the setting {name!r} has the type {type_!r}, which can't be read from a variable")


def _number(type_: type[int] | type[float], name: str, metadata: Mapping[str, Any]) -> Form:
    above, at_least = metadata.get("above"), metadata.get("at_least")
    if name.endswith("_s") and above is None and at_least is None:
        above = 0
    what = "a whole number" if type_ is int else "a number"
    if name.endswith("_per_s"):
        pass  # a rate, no duration
    elif name.endswith("_s"):
        what += " of seconds"
    elif name.endswith("_bytes"):
        what += " of bytes"
    bounds = [f"greater than {above:g}"] if above is not None else []
    bounds += [f"of at least {at_least:g}"] if at_least is not None else []
    is_form = _is_whole_number if type_ is int else _is_number

    def parse(text: str) -> int | float:
        if not is_form(text):
            raise ValueError(text)
        number = type_(text)
        if not math.isfinite(number):
            raise ValueError(text)
        if (above is not None and number <= above) or (at_least is not None and number < at_least):
            raise ValueError(text)
        return number

    return Form(" ".join([what, *bounds]), parse)


def _choose(choices: Mapping[str, Any], text: str) -> Any:
    if text not in choices:
        raise ValueError(text)
    return choices[text]


def _one_of(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _split(text: str, item: Form) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",")]
    return tuple(item.parse(part) for part in parts if part)
