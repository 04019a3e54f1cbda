"""What ``wigwag serve`` prints when it listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version

from starlette.routing import Match, Mount, WebSocketRoute
from starlette.types import ASGIApp

from wigwag.provider import Provider
from wigwag.service.app import url_of
from wigwag.settings import Listen


def banner(
    public: Listen,
    internal: Listen,
    providers: Sequence[Provider],
    *,
    app: str | None,
    served: ASGIApp | None = None,
    has_key: bool,
    asks_for_tokens: bool = False,
    is_local: bool,
    workers: int | None = None,
) -> str:
    """A few lines: what runs, where, and how to publish.

    ``app`` and ``served`` are the user's application, by its name and itself; of its routes the sockets' are named.
    ``workers``: how many processes there are, of which each is a node.
    """
    named = [f"provider {p.name} · node {p.node.tag}" for p in providers if p.node is not None]
    if workers is not None:
        named = [*(f"provider {p.name}" for p in providers), f"{workers} worker{'s' if workers > 1 else ''}"]
    key = '-H "Authorization: Bearer $WIGWAG_API_KEY" ' if has_key else ""
    rows = _app_rows(public, app, served) if app else _stock_rows(public)
    # Which topics an application has, only it knows.
    example = f'{{"topic":"{"TOPIC" if app else "lobby"}","text":"hello"}}'
    rows += [
        ("internal", f"{url_of(internal)}/  (api, livez, readyz, metrics)"),
        ("publish", f"curl {key}-d '{example}' {url_of(internal)}/api/publish"),
    ]
    lines = [" · ".join([f"wigwag {version('wigwag')}", *(named or ["no provider"])])]
    lines += [f"  {name:<9} {text}" for name, text in rows]
    if asks_for_tokens:
        lines.append("Clients bring a token: `wigwag token --help` makes one.  Ctrl-C stops it.")
    elif not app:
        where = "on this machine" if is_local else "who reaches it, for you said --insecure,"
        lines.append(f"Development mode: anyone {where} may join and publish.  Ctrl-C stops it.")
    return "\n".join(lines) + "\n"


def socket_paths(app: object) -> Iterator[str]:
    """The paths of the WebSocket routes of a Starlette application, mounted ones too; of others none."""
    for route in getattr(app, "routes", None) or ():
        if isinstance(route, WebSocketRoute):
            yield route.path
        elif isinstance(route, Mount):
            for path in socket_paths(route.app):
                yield f"{route.path}{path}"


def _has_root(app: object) -> bool:
    request = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": []}
    return any(route.matches(request)[0] is Match.FULL for route in getattr(app, "routes", None) or ())


def _app_rows(public: Listen, app: str, served: object) -> list[tuple[str, str]]:
    sockets = [("sockets", f"{url_of(public, 'ws')}{path}") for path in socket_paths(served)]
    # Without a page, its URL would only lead to a 404.
    where = app if sockets and not _has_root(served) else f"{url_of(public)}/  ({app})"
    return [("app", where), *sockets]


def _stock_rows(public: Listen) -> list[tuple[str, str]]:
    return [("page", f"{url_of(public)}/"), ("sockets", f"{url_of(public, 'ws')}/ws")]
