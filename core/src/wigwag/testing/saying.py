"""How messages are shown where a test fails."""

from __future__ import annotations

from typing import Any

from wigwag.client import Event, Received, Reply


def shorten(text: str) -> str:
    """At most 200 characters of it."""
    return text if len(text) <= 200 else text[:197] + "..."


def describe(message: Received) -> str:
    """A received message in a line."""
    if isinstance(message, Event):
        return shorten(f"{message.name!r} {message.data!r}")
    if isinstance(message, Reply):
        said: Any = message.data if message.error is None else f"error {message.error!r}"
        details = f" {message.details!r}" if message.details else ""
        return shorten(f"a reply to {message.type!r}: {said}{details}")
    return shorten(f"{'text' if isinstance(message.data, str) else 'bytes'} {message.data!r}")
