"""Requests of commands to the internal port of a running service."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any, Final

import msgspec

from wigwag.errors import WigwagError

_TIMEOUT_S: Final = 15.0


def post(base: str, path: str, body: bytes, key: str | None) -> None:
    """Post JSON, and return when it is accepted.

    Raises:
        WigwagError: it is not, or nobody answers.
    """
    _open(base, urllib.request.Request(f"{base.rstrip('/')}{path}", body, _headers(key)))


def get(base: str, path: str, key: str | None) -> bytes:
    """The answer.  Raises WigwagError likewise."""
    return _open(base, urllib.request.Request(f"{base.rstrip('/')}{path}", headers=_headers(key)))


def _headers(key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _open(base: str, request: urllib.request.Request) -> bytes:
    # No proxy: the internal port is on this machine, or within the cluster.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as exc:
        with exc:
            raise WigwagError(f"{base} answered {exc.code}: {_why(exc.read())}") from None
    except (OSError, ValueError, http.client.HTTPException) as exc:
        why = getattr(exc, "reason", exc)
        why = getattr(why, "strerror", None) or why
        raise WigwagError(f"can't reach {base}: {why}; is `wigwag serve` running?") from None


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
