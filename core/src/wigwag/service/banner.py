"""What ``wigwag serve`` prints when it listens."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from wigwag.provider import Provider
from wigwag.service.app import url_of
from wigwag.settings import Listen

EXAMPLE = '{"topic":"lobby","text":"hello"}'


def banner(
    public: Listen,
    internal: Listen,
    providers: Sequence[Provider],
    *,
    app: str | None,
    has_key: bool,
    is_local: bool,
) -> str:
    """A few lines: what runs, where, and how to publish."""
    named = [f"provider {p.name} · node {p.node.tag}" for p in providers if p.node is not None]
    key = '-H "Authorization: Bearer $WIGWAG_API_KEY" ' if has_key else ""
    rows = [("app", f"{url_of(public)}/  ({app})")] if app else _stock_rows(public)
    rows += [
        ("internal", f"{url_of(internal)}/  (api, livez, readyz, metrics)"),
        ("publish", f"curl {key}-d '{EXAMPLE}' {url_of(internal)}/api/publish"),
    ]
    lines = [" · ".join([f"wigwag {version('wigwag')}", *(named or ["no provider"])])]
    lines += [f"  {name:<9} {text}" for name, text in rows]
    if not app:
        where = "on this machine" if is_local else "who reaches it, for you said --insecure,"
        lines.append(f"Development mode: anyone {where} may join and publish.  Ctrl-C stops it.")
    return "\n".join(lines) + "\n"


def _stock_rows(public: Listen) -> list[tuple[str, str]]:
    return [("page", f"{url_of(public)}/"), ("sockets", f"{url_of(public, 'ws')}/ws")]
