"""An application's messages with the schemas of their data, and a name for every type."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from wigwag.errors import NotDescribable
from wigwag.typegen.definitions import Definitions, JsonSchema, changed, parts
from wigwag.typegen.finding import NOTHING, Endpoint, Found, Request
from wigwag.typegen.schemas import schema_of_type

#: Names that mean something else where the types are used.
_TAKEN: Final = frozenset(
    {
        *("Events", "Requests", "ClientMessage", "Record", "Partial"),
        *("any", "bigint", "boolean", "never", "null", "number", "object", "string", "symbol", "undefined"),
        *("unknown", "void", "as", "async", "await", "break", "case", "catch", "class", "const", "continue"),
        *(
            "debugger",
            "default",
            "delete",
            "do",
            "else",
            "enum",
            "export",
            "extends",
            "false",
            "finally",
            "for",
        ),
        *("function", "if", "implements", "import", "in", "instanceof", "interface", "let", "new", "package"),
        *("private", "protected", "public", "return", "static", "super", "switch", "this", "throw", "true"),
        *("try", "type", "typeof", "var", "while", "with", "yield"),
    }
)


@dataclass(frozen=True)
class DescribedEvent:
    """What the server emits."""

    name: str
    data: JsonSchema


@dataclass(frozen=True)
class DescribedRequest:
    """What clients ask; ``data`` is None where the handler takes none."""

    type: str
    data: JsonSchema | None
    reply: JsonSchema
    #: What was found.
    request: Request

    @property
    def schemas(self) -> list[JsonSchema]:
        """The schemas of its data and its reply."""
        return [self.reply] if self.data is None else [self.data, self.reply]


@dataclass(frozen=True)
class Api:
    """All that an application and its clients say to each other, sorted by name.

    ``types`` are the definitions, by names that are identifiers; each ``$ref`` is such a name.
    """

    found: Found
    endpoints: tuple[tuple[Endpoint, tuple[DescribedRequest, ...]], ...]
    requests: tuple[DescribedRequest, ...]
    events: tuple[DescribedEvent, ...]
    types: dict[str, JsonSchema]


def describe(found: Found) -> Api:
    """Describe what was found.

    Raises:
        NotDescribable: a type can't be described, or two messages of one name differ.
    """
    definitions = Definitions()
    events = _events(found, definitions)
    endpoints = tuple(
        (endpoint, tuple(_request(request, definitions) for request in endpoint.requests))
        for endpoint in found.endpoints
    )
    requests = _merged((request for _, of_one in endpoints for request in of_one), definitions)
    named = _Named(definitions, [event.data for event in events], requests)
    return Api(
        found,
        tuple((endpoint, tuple(map(named.request, of_one))) for endpoint, of_one in endpoints),
        tuple(map(named.request, requests)),
        tuple(DescribedEvent(event.name, named.schema(event.data)) for event in events),
        named.types(),
    )


def _events(found: Found, definitions: Definitions) -> list[DescribedEvent]:
    described: dict[str, tuple[DescribedEvent, str]] = {}
    for event in found.events:
        data = schema_of_type(
            event.data, definitions, "out", f"the data of the event {event.name!r} ({event.origin})"
        )
        first, origin = described.setdefault(event.name, (DescribedEvent(event.name, data), event.origin))
        if not definitions.alike(first.data, data):
            raise NotDescribable(
                f"two messages are called {event.name!r}, with different data: {origin} and {event.origin}"
            )
    return [event for event, _ in described.values()]


def _request(request: Request, definitions: Definitions) -> DescribedRequest:
    where = f"of {request.type!r} ({request.origin})"
    data = (
        None
        if request.data is NOTHING
        else schema_of_type(request.data, definitions, "in", f"the data {where}")
    )
    reply = (
        {}
        if request.says_no_reply
        else schema_of_type(request.reply, definitions, "out", f"the reply {where}")
    )
    return DescribedRequest(request.type, data, reply, request)


def _merged(requests: Iterable[DescribedRequest], definitions: Definitions) -> list[DescribedRequest]:
    """Each once, though several endpoints take it."""
    merged: dict[str, DescribedRequest] = {}
    for request in requests:
        first = merged.setdefault(request.type, request)
        is_same = (first.data is None) == (request.data is None) and (
            definitions.alike(first.data or {}, request.data or {})
            and definitions.alike(first.reply, request.reply)
        )
        if not is_same:
            raise NotDescribable(
                f"{request.type!r} is two requests: {first.request.origin} and {request.request.origin} differ in "
                "data or reply. Name one Sockets, MODULE:NAME, so that each gets a file of its own"
            )
    return [merged[type_] for type_ in sorted(merged)]


def reached(roots: Iterable[JsonSchema], definitions: Mapping[str, JsonSchema]) -> set[str]:
    """The references that schemas hold, and those that what they refer to holds."""
    found: set[str] = set()
    stack = list(roots)
    while stack:
        for part in parts(stack.pop()):
            ref = part.get("$ref")
            if ref is not None and ref not in found:
                found.add(ref)
                stack.append(definitions[ref])
    return found


class _Named:
    """A name for each type that is reached, and the schemas with these names as references."""

    def __init__(
        self, definitions: Definitions, events: Iterable[JsonSchema], requests: Iterable[DescribedRequest]
    ) -> None:
        self._definitions = definitions
        roots = [*events, *(part for request in requests for part in request.schemas)]
        self._refs = reached(roots, definitions.schemas)
        self._names = self._choose()

    def schema(self, schema: JsonSchema) -> JsonSchema:
        """The schema with names as references."""

        def renamed(part: JsonSchema) -> JsonSchema:
            return {**part, "$ref": self._names[part["$ref"]]} if "$ref" in part else part

        whole: JsonSchema = changed(schema, renamed)
        return whole

    def request(self, request: DescribedRequest) -> DescribedRequest:
        """The request, likewise."""
        data = None if request.data is None else self.schema(request.data)
        return DescribedRequest(request.type, data, self.schema(request.reply), request.request)

    def types(self) -> dict[str, JsonSchema]:
        """The definitions by name.  Of a type that is the same both ways, that of ``in``, with the defaults."""
        found = {self._names[ref]: ref for ref in sorted(self._refs, reverse=True)}
        return {name: self.schema(self._definitions.schemas[found[name]]) for name in sorted(found)}

    def _choose(self) -> dict[str, str]:
        """Names: the class's own, with ``Input`` where clients send it otherwise than the server does; with as
        much of its module before it as is needed where two are called so."""
        suffixes: dict[tuple[str, str], list[str]] = {}
        for ref in sorted(self._refs):
            direction, _, path = ref.partition(":")
            twin = f"out:{path}"
            differs = (
                direction == "in"
                and twin in self._refs
                and not self._definitions.alike(*map(_to, (ref, twin)))
            )
            suffixes.setdefault((path, "Input" if differs else ""), []).append(ref)
        longest = {key: max(part.count(".") for part in re.split(r"[^\w.]+", key[0])) + 1 for key in suffixes}
        lengths = dict.fromkeys(suffixes, 1)
        while True:
            names = {key: _name(*key, length) for key, length in lengths.items()}
            counts = Counter(names.values())
            unclear = [key for key, name in names.items() if counts[name] > 1 or name in _TAKEN]
            if not unclear:
                return {ref: names[key] for key, refs in suffixes.items() for ref in refs}
            for key in unclear:
                if lengths[key] == longest[key]:
                    raise NotDescribable(
                        f"{key[0]} would be called {names[key]}, which something else is: rename it"
                    )
                lengths[key] += 1


def _to(ref: str) -> JsonSchema:
    return {"$ref": ref}


def _name(path: str, suffix: str, length: int) -> str:
    """An identifier of the last parts of a path: ``a.b.Page[a.Item]`` is PageItem, or BPageItem of two."""
    origin, bracket, arguments = path.replace("'", "").partition("[")
    words = origin.split(".")[-length:]
    if bracket:
        words += [
            word
            for argument in re.split(r"[^\w.]+", arguments)
            for word in argument.split(".")[-length:]
            if word
        ]
    text = words[0] if len(words) == 1 else "".join(word[:1].upper() + word[1:] for word in words)
    text = re.sub(r"\W", "_", text) + suffix
    return f"_{text}" if text[:1].isdigit() else text
