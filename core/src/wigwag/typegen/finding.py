"""The messages of an application: its routes, and what it emits.

Which messages belong to an application?  Its routes are those of its ``Sockets``.  What it emits is registered
nowhere: it is every message that a module of the application names, at its top level or in a class there.  Modules
of the application are those that it has loaded and that live where it lives: in the same top-level package, or
beside it in the same directory, unless that is where packages are installed.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import sysconfig
import typing
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from starlette.routing import Host, Mount, WebSocketRoute

from wigwag.errors import NotDescribable, SettingsError
from wigwag.messages import MessageType, ServerMessage, name_and_data, reply_type_of
from wigwag.service.loading import load_object, why_not_asgi
from wigwag.service.messages import RESERVED_PREFIX
from wigwag.sockets import SocketRouter, Sockets
from wigwag.sockets.handlers import Route, signature, written
from wigwag.sockets.sockets import sockets_of

#: The data of a handler that takes none.
NOTHING: Final[Any] = object()


@dataclass(frozen=True)
class Request:
    """What clients ask: the handler's data, and what it returns."""

    type: str
    data: Any
    reply: Any
    description: str
    #: The handler, for people.
    origin: str

    @property
    def says_no_reply(self) -> bool:
        """Whether the handler's return is not annotated."""
        return self.reply is inspect.Signature.empty


@dataclass(frozen=True)
class Event:
    """What the server emits."""

    name: str
    data: Any
    #: The class, or where the type is named, for people.
    origin: str


@dataclass(frozen=True)
class Endpoint:
    """One ``Sockets``, or a router by itself; ``path`` is where it is routed, if it is."""

    name: str
    path: str | None
    requests: tuple[Request, ...]
    #: Whether messages without a route are handled too.
    takes_raw: bool = False


@dataclass
class Found:
    """All that was found."""

    #: What was asked for, as it was written.
    targets: tuple[str, ...]
    #: FastAPI's, where the target has them.
    title: str | None = None
    version: str | None = None
    endpoints: list[Endpoint] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def find(targets: Iterable[str], *, messages: Iterable[str] = (), app_dir: str | None = None) -> Found:
    """Import what is named, and find the messages.

    Args:
        targets: ``module:name`` of an ASGI application, a Sockets, a router or registry, or a module alone.
        messages: Modules that have more of what is emitted, with those below them.
        app_dir: Where modules are looked for first; None: the current directory.

    Raises:
        SettingsError: a target can't be imported, or is something else.
        NotDescribable: no message was found, or a handler's reply can't be told.
    """
    found = Found(tuple(targets))
    modules: dict[str, ModuleType] = {}
    roots: list[tuple[str, Any]] = []
    for target in found.targets:
        roots.append((target, _load(target, app_dir)))
        modules |= _modules_of(target.partition(":")[0])
    for name in messages:
        if ":" in name:
            raise SettingsError(f"--messages {name} is no module: leave out what stands behind the colon")
        _load(name, app_dir)
        modules |= _within(name)
    in_order = [modules[name] for name in sorted(modules)]
    endpoints: dict[tuple[int, str | None], Endpoint] = {}
    routed: set[int] = set()
    for target, root in roots:
        for name, path, source in _endpoints_of(root, target, in_order):
            if path is not None:
                routed.add(id(source))
            if path is not None or id(source) not in routed:
                endpoints.setdefault((id(source), path), _endpoint(name, path, source))
        if isinstance(getattr(root, "openapi_version", None), str):  # FastAPI
            found.title, found.version = found.title or root.title, found.version or root.version
    found.endpoints = sorted(endpoints.values(), key=lambda endpoint: (endpoint.path or "", endpoint.name))
    found.events = _events_of(in_order)
    requests = [request for endpoint in found.endpoints for request in endpoint.requests]
    if not requests and not found.events:
        searched = ", ".join(module.__name__ for module in in_order)
        raise NotDescribable(
            f"{' '.join(found.targets)} has no messages: no router or registry is given to its Sockets, and no "
            f"SocketMessage is named in {searched}. --messages MODULE says where else to look"
        )
    return found


def _load(spec: str, app_dir: str | None) -> Any:
    """What a target names, imported; what its modules print goes to standard error."""
    module, colon, name = spec.partition(":")
    if not module or (colon and not name):
        raise SettingsError(f"{spec!r} names nothing: it must be MODULE:NAME, like main:app, or MODULE")
    with contextlib.redirect_stdout(sys.stderr):
        return load_object(spec, app_dir)


# Modules


def _modules_of(name: str) -> dict[str, ModuleType]:
    """The loaded modules of the application that this module is of."""
    loaded = _loaded()
    home = _home_of(name, loaded[name])
    if home is None or _is_for_installed(home):
        return _within(name.partition(".")[0])
    beside = {key: module for key, module in loaded.items() if _home_of(key, module) == home}
    return beside | _within(name.partition(".")[0])


def _within(package: str) -> dict[str, ModuleType]:
    """A module, and those below it."""
    return {
        key: module for key, module in _loaded().items() if key == package or key.startswith(f"{package}.")
    }


def _loaded() -> dict[str, ModuleType]:
    # Asked by type alone, here and below: what stands in for something else may do anything when it is looked at.
    modules = {
        key: module for key, module in list(sys.modules.items()) if issubclass(type(module), ModuleType)
    }
    modules.pop("__main__", None)  # is we
    return modules


def _home_of(name: str, module: ModuleType) -> Path | None:
    """The directory that a module is imported from: ``/x`` of ``a.b`` in ``/x/a/b.py``."""
    file = vars(module).get("__file__")
    if not isinstance(file, str):
        return None
    above = Path(file).absolute().parents  # not resolved: there may be thousands of modules
    depth = name.count(".") + ("__path__" in vars(module))
    return above[depth] if depth < len(above) else None


def _is_for_installed(directory: Path) -> bool:
    kinds = ("purelib", "platlib", "stdlib", "platstdlib")
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in kinds}
    return directory.resolve() in installed or directory.name in {"site-packages", "dist-packages"}


# Routes


def _endpoints_of(
    root: Any, target: str, modules: list[ModuleType]
) -> Iterator[tuple[str, str | None, Sockets[Any, Any] | SocketRouter[Any]]]:
    """The Sockets, or the router, of a target, each with a name and its path."""
    if isinstance(root, Sockets | SocketRouter):
        yield target.partition(":")[2], None, root
        return
    if not isinstance(root, ModuleType):
        why = why_not_asgi(root)
        if why is not None:
            raise SettingsError(
                f"{target} is {why}: it must be an ASGI application, a Sockets, a SocketRouter or a MessageRegistry, "
                "or MODULE alone, for the messages of a module"
            )
        yield from _routed(root, "")
    # Those that an endpoint of the application's own serves.
    for module in modules:
        for name, value in sorted(vars(module).items()):
            if issubclass(type(value), Sockets):
                yield f"{module.__name__}.{name}", None, value


def _routed(app: Any, prefix: str) -> Iterator[tuple[str, str, Sockets[Any, Any]]]:
    """The Sockets in an ASGI application's routes, through mounts and middleware, with their paths."""
    seen: set[int] = set()
    while not isinstance(getattr(app, "routes", None), list) and id(app) not in seen:
        seen.add(id(app))
        app = getattr(app, "app", None)  # of a middleware
    for route in getattr(app, "routes", None) or ():
        path = prefix + str(getattr(route, "path", ""))
        if isinstance(route, WebSocketRoute):
            sockets = sockets_of(route)
            if sockets is not None:
                yield path, path, sockets
        elif isinstance(route, Mount | Host):
            yield from _routed(route.app, path)


def _endpoint(name: str, path: str | None, source: Sockets[Any, Any] | SocketRouter[Any]) -> Endpoint:
    takes_raw = isinstance(source, Sockets) and source.takes_raw
    routes: Mapping[str, Route]
    try:
        routes = source.routes
    except TypeError as exc:
        raise NotDescribable(f"{path or name}: {exc}") from None
    requests = tuple(_request(routes[type_]) for type_ in sorted(routes))
    return Endpoint(name, path, requests, takes_raw)


def _request(route: Route) -> Request:
    handler = written(route.handler)
    name = (
        f"{handler.__module__}.{handler.__qualname__}" if hasattr(handler, "__qualname__") else repr(handler)
    )
    return Request(
        route.name,
        NOTHING if route.schema is None else route.schema.type,
        _reply_of(route, handler, name),
        inspect.cleandoc(getattr(handler, "__doc__", None) or ""),
        name,
    )


def _declared_reply(route: Route) -> Any:
    """What a handler that is not annotated returns: what a ``ServerMessage[Said]`` says, if it is of one."""
    data = None if route.schema is None else route.schema.type
    reply = reply_type_of(data) if isinstance(data, type) and issubclass(data, ServerMessage) else Any
    return inspect.Signature.empty if reply is Any else reply


def _reply_of(route: Route, handler: Any, name: str) -> Any:
    """What a handler returns, by its annotation; ``inspect.Signature.empty`` if it does not say."""
    try:
        annotation = signature(handler).return_annotation
    except (TypeError, ValueError):  # a builtin without a signature
        annotation = inspect.Signature.empty
    if annotation is inspect.Signature.empty:
        return _declared_reply(route)
    names = dict(getattr(handler, "__globals__", {}))
    names |= {parameter.__name__: parameter for parameter in getattr(handler, "__type_params__", ())}
    try:
        annotation = _evaluated(annotation, names)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
        shown = getattr(annotation, "__forward_arg__", annotation)
        raise NotDescribable(
            f"the reply of {route.name!r}: {shown!r}, which {name} returns, can't be seen from its module ({exc}): "
            "import or define it at the top level, not under TYPE_CHECKING"
        ) from None
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if (
        origin in (Awaitable, Coroutine) and args
    ):  # of a plain function that hands on what another will return
        annotation = args[-1]
    return None if annotation is type(None) else annotation


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    """An annotation without names that are written as strings, though within another."""

    def annotated() -> None: ...

    annotated.__annotations__ = {"return": annotation}
    return typing.get_type_hints(annotated, names, include_extras=True)["return"]


# Events


def _events_of(modules: list[ModuleType]) -> list[Event]:
    found: dict[tuple[str, int], Event] = {}
    for module in modules:
        for place, value in _named(module):
            named = name_and_data(value)
            if named is not None and not named[0].startswith(
                RESERVED_PREFIX
            ):  # the server's own, for Python's clients
                name, data = named
                origin = place if type(value) is MessageType else f"{data.__module__}.{data.__qualname__}"
                found.setdefault((name, id(value)), Event(name, data, origin))
    return sorted(found.values(), key=lambda event: (event.name, event.origin))


def _named(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What a module names, and what the classes in it do."""
    stack: list[tuple[str, Any]] = [(module.__name__, module)]
    seen: set[int] = set()
    while stack:
        place, owner = stack.pop()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        for name, value in sorted(vars(owner).items()):
            yield f"{place}.{name}", value
            if issubclass(type(value), type) and value.__module__ == module.__name__:
                stack.append((f"{place}.{name}", value))
