"""``wigwag publish``: one request to the internal port of a running service."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from wigwag.cli.requests import post


def publish(topic: str, message: str, *, name: str | None, url: str, key: str | None) -> None:
    """Publish, and return when the service has accepted it.

    Raises:
        click.UsageError: the data is not JSON, or the URL is none.
        WigwagError: it was not accepted, or nobody answers.
    """
    content: dict[str, Any] = {"topic": topic}
    if name is None:
        content["text"] = message
    else:
        content |= {"name": name, "data": _json(message)}
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url must begin with http:// or https://, unlike {url!r}")
    post(url, "/api/publish", msgspec.json.encode(content), key)


def _json(text: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError) as exc:
        raise click.UsageError(f"with --name MESSAGE is the event's data, in JSON: {exc}") from None
    return msgspec.Raw(text.encode())
