"""How a dataclass says what its settings mean."""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar

T = TypeVar("T")


def setting(default: T, help: str, *, above: float | None = None, at_least: float | None = None) -> T:
    """A field of a settings dataclass: its default, what it means, and the bounds of a number.

    A duration, whose name ends in ``_s``, is above 0 unless a bound is given.  Without this function it is
    ``dataclasses.field(default=…, metadata={"help": …})``.
    """
    metadata = {"help": help, "above": above, "at_least": at_least}
    # Typed as its value, as dataclasses.field is, so that the field's annotation is checked against it.
    return field(default=default, metadata=metadata)
