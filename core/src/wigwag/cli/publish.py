"""``wigwag publish``: one request to the internal port of a running service."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any, Final

import click
import msgspec

from wigwag.errors import WigwagError

_TIMEOUT_S: Final = 15.0


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
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url.rstrip('/')}/api/publish", msgspec.json.encode(content), headers)
    # No proxy: the internal port is on this machine, or within the cluster.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S):
            return
    except urllib.error.HTTPError as exc:
        with exc:
            raise WigwagError(f"{url} answered {exc.code}: {_why(exc.read())}") from None
    except (OSError, ValueError, http.client.HTTPException) as exc:
        why = getattr(exc, "reason", exc)
        why = getattr(why, "strerror", None) or why
        raise WigwagError(f"can't reach {url}: {why}; is `wigwag serve` running?") from None


def _json(text: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError) as exc:
        raise click.UsageError(f"with --name MESSAGE is the event's data, in JSON: {exc}") from None
    return msgspec.Raw(text.encode())


class _Refusal(msgspec.Struct):
    error: str
    details: list[dict[str, Any]] = []


def _why(body: bytes) -> str:
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except ValueError:
        return body[:200].decode("utf-8", "replace")
    found = [f"{detail.get('path')}: {detail.get('message')}" for detail in refusal.details]
    return "; ".join(found) or refusal.error
