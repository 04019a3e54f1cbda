"""TypeScript of an application's messages, for the client ``wigwag-client``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from wigwag.errors import NotDescribable
from wigwag.messages import Heartbeat, JoinRoom, LeaveRoom
from wigwag.typegen.definitions import JsonSchema
from wigwag.typegen.describing import Api, DescribedRequest, reached

#: A type: the options of a union, mostly one.
Options = tuple[str, ...]

_ANYTHING: Final = ("unknown",)
_NOTHING: Final = ("never",)
_TAKEN: Final = frozenset({"ClientMessage", "Events", "Requests"})
_INDENT: Final = "  "
_SCALARS: Final = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}
#: Keywords that make an array or object of a schema without a type.
_ARRAY: Final = frozenset({"items", "additionalItems"})
_OBJECT: Final = frozenset(
    {"properties", "additionalProperties", "patternProperties", "propertyNames", "required"}
)
_UNWRITABLE: Final = frozenset({"not", "if", "dependentSchemas", "$dynamicRef", "contains"})


def typescript(api: Api) -> str:
    """A module of TypeScript: an interface for each type, ``Events``, ``Requests``, and a constant for each message.

    Raises:
        NotDescribable: something can't be written so, or two messages would have one constant.
    """
    writer = _Writer(api.types)
    # The client has words of its own for rooms.
    requests = [request for request in api.requests if not _is_of_rooms(request)]
    used = reached(
        [*(event.data for event in api.events), *(part for request in requests for part in request.schemas)],
        api.types,
    )
    events = {event.name: writer.type(event.data, f"event {event.name!r}") for event in api.events}
    by_type = {request.type: request for request in requests}
    entries = {request.type: writer.request(request) for request in requests}
    blocks = [
        f"// Made by `wigwag typegen {' '.join(api.found.targets)}`: change the Python, and run it again.",
        *(writer.declaration(name) for name in sorted(used)),
        _map("Events", "What the server emits: name to data.", [(n, t, "") for n, t in events.items()]),
        _map(
            "Requests",
            "What the server takes: type to data, and to the data of the reply.",
            [
                (name, f"{{ data: {data}; reply: {reply} }}", by_type[name].request.description)
                for name, (data, reply) in entries.items()
            ],
        ),
        *_constants(events, entries, by_type),
    ]
    if any("ClientMessage.define" in block for block in blocks):
        blocks.insert(1, 'import { ClientMessage } from "wigwag-client";')
    return "\n\n".join(blocks).replace("\n\nimport", "\nimport", 1) + "\n"


def _is_of_rooms(request: DescribedRequest) -> bool:
    return request.request.data is JoinRoom or request.request.data is LeaveRoom


def _map(name: str, doc: str, members: list[tuple[str, str, str]]) -> str:
    if not members:
        return f"/** {doc} */\nexport interface {name} {{}}"
    lines = [f"/** {doc} */", f"export interface {name} {{"]
    for key, type_, description in members:
        lines += _doc(description, _INDENT)
        lines.append(f"{_INDENT}{_quoted(key)}: {type_};")
    return "\n".join([*lines, "}"])


def _constants(
    events: dict[str, str], entries: dict[str, tuple[str, str]], requests: dict[str, DescribedRequest]
) -> Iterator[str]:
    taken: dict[str, str] = {}

    def constant(wire_name: str, suffix: str, arguments: str) -> str:
        name = _constant_name(wire_name) + suffix
        if name in _TAKEN:
            raise NotDescribable(
                f"{wire_name!r} would be the constant {name}, which has another meaning: rename it"
            )
        if taken.setdefault(name, wire_name) != wire_name:
            raise NotDescribable(
                f"{wire_name!r} would be the constant {name}, as would {taken[name]!r}: rename one of them"
            )
        return (
            f"export const {name} = /* @__PURE__ */ ClientMessage.define<{arguments}>({_quoted(wire_name)});"
        )

    lines: list[str] = []
    for name, type_ in events.items():
        reply = f", {entries[name][1]}" if _is_both(name, events, entries) else ""
        lines.append(constant(name, "", type_ + reply))
    if lines:
        yield "\n".join(["// What the server emits.", *lines])
    lines = []
    for name, (data, reply) in entries.items():
        is_defined = name == Heartbeat.__message_name__ or _is_both(name, events, entries)
        if is_defined:  # by the client, or above
            continue
        lines += _doc(requests[name].request.description, "")
        lines.append(constant(name, "Request" if name in events else "", f"{data}, {reply}"))
    if lines:
        yield "\n".join(["// What the server takes.", *lines])


def _is_both(name: str, events: dict[str, str], entries: dict[str, tuple[str, str]]) -> bool:
    """Whether the server emits and takes a message of this name, with the same data."""
    return name in entries and events.get(name) == entries[name][0]


def _constant_name(wire_name: str) -> str:
    """``incident.created`` is IncidentCreated."""
    words = re.findall(r"[^\W_]+", wire_name)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    if not name:
        raise NotDescribable(f"of {wire_name!r} no constant can be made: give it a name with a letter in it")
    return f"_{name}" if name[0].isdigit() else name


def _quoted(text: Any) -> str:
    return json.dumps(text, ensure_ascii=False)


def _doc(text: str, indent: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("*/", "*\\/").splitlines()]
    if len(lines) <= 1:
        return [f"{indent}/** {line} */" for line in lines]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


class _Writer:
    """Types of schemas."""

    def __init__(self, types: dict[str, JsonSchema]) -> None:
        self._types = types
        self._where = ""
        #: An alias that refers to itself may do so in an object type, and not as an argument of Record.
        self._in_alias = False

    def declaration(self, name: str) -> str:
        """What declares a type: an interface, or an alias where it is no object."""
        schema = self._types[name]
        self._where = name
        doc = _doc_of(schema, "")
        if schema.get("type") == "object" and schema.get("properties") and not (schema.keys() & _COMBINED):
            return "\n".join([*doc, f"export interface {name} {self._members(schema, '')}"])
        self._in_alias = True
        try:
            return "\n".join([*doc, f"export type {name} = {_text(self._of(schema))};"])
        finally:
            self._in_alias = False

    def request(self, request: DescribedRequest) -> tuple[str, str]:
        """The types of a request's data and reply."""
        data = "undefined" if request.data is None else self.type(request.data, f"data of {request.type!r}")
        return data, self.type(request.reply, f"reply of {request.type!r}")

    def type(self, schema: JsonSchema, where: str) -> str:
        """The type of a schema; ``where`` is what it is of, for errors.

        Raises:
            NotDescribable: it can't be written in TypeScript.
        """
        self._where = where
        return _text(self._of(schema))

    def _of(self, schema: Any, indent: str = "") -> Options:
        if isinstance(schema, bool):
            return _ANYTHING if schema else _NOTHING
        if schema == {"not": {}}:
            return _NOTHING
        unwritable = sorted(schema.keys() & _UNWRITABLE)
        if unwritable:
            raise self._refuse(f"JSON Schema's {unwritable[0]!r}")
        every: list[Options] = [self._of(part, indent) for part in schema.get("allOf", ())]
        if "$ref" in schema:
            every.append((schema["$ref"],))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                every.append(_union(self._of(option, indent) for option in schema[keyword]))
        if "const" in schema:
            every.append((self._literal(schema["const"]),))
        elif "enum" in schema:
            every.append(_union([tuple(map(self._literal, schema["enum"]))]))
        elif "type" in schema or schema.keys() & (_ARRAY | _OBJECT):
            every.append(self._typed(schema, indent))
        every = [options for options in dict.fromkeys(every) if options != _ANYTHING]
        if len(every) <= 1:
            return every[0] if every else _ANYTHING
        return (" & ".join(map(_grouped, every)),)

    def _refuse(self, what: str) -> NotDescribable:
        return NotDescribable(f"{self._where}: {what} can't be written in TypeScript")

    def _literal(self, value: Any) -> str:
        if value is None or isinstance(value, str | int | float):
            return _quoted(value)
        raise self._refuse(f"the constant {value!r}")

    def _typed(self, schema: JsonSchema, indent: str) -> Options:
        kinds = schema.get("type", "array" if schema.keys() & _ARRAY else "object")
        return _union(
            self._kind(kind, schema, indent) for kind in ([kinds] if isinstance(kinds, str) else kinds)
        )

    def _kind(self, kind: str, schema: JsonSchema, indent: str) -> Options:
        if kind == "array":
            return (self._array(schema, indent),)
        if kind == "object":
            return (self._object(schema, indent),)
        if kind not in _SCALARS:
            raise self._refuse(f"JSON Schema's type {kind!r}")
        return (_SCALARS[kind],)

    def _array(self, schema: JsonSchema, indent: str) -> str:
        items = schema.get("items", True)
        if not isinstance(items, list):
            return "[]" if schema.get("maxItems") == 0 else f"{_grouped(self._of(items, indent))}[]"
        required = schema.get("minItems", 0)
        elements = [
            _text(self._of(item, indent)) if number < required else f"{_grouped(self._of(item, indent))}?"
            for number, item in enumerate(items)
        ]
        rest = schema.get("additionalItems", schema.get("maxItems") != len(items))
        if rest is not False:
            elements.append(f"...{_grouped(self._of(rest, indent))}[]")
        return f"[{', '.join(elements)}]"

    def _object(self, schema: JsonSchema, indent: str) -> str:
        if schema.get("properties"):
            return self._members(schema, indent)
        rest = schema.get(
            "additionalProperties", "properties" not in schema
        )  # a model without fields, or a mapping
        patterns = schema.get("patternProperties")
        if patterns:
            values = _text(_union(self._of(value, indent) for value in patterns.values()))
        elif rest is False:
            return "Record<string, never>"
        else:
            values = _text(self._of(rest, indent))
        keys = self._keys(schema.get("propertyNames", {}))
        if keys != "string":
            return (
                f"{{ [key in {keys}]?: {values} }}"
                if self._in_alias
                else f"Partial<Record<{keys}, {values}>>"
            )
        return f"{{ [key: string]: {values} }}" if self._in_alias else f"Record<string, {values}>"

    def _keys(self, schema: JsonSchema) -> str:
        target = self._types.get(schema.get("$ref", ""), schema)
        values = target.get("enum", [target["const"]] if "const" in target else [])
        is_known = bool(values) and all(isinstance(value, str) for value in values)
        return _text(self._of(schema)) if is_known else "string"

    def _members(self, schema: JsonSchema, indent: str) -> str:
        inner = indent + _INDENT
        required = schema.get("required", ())
        lines = ["{"]
        types: list[Options] = []
        for name, field in schema["properties"].items():
            options = self._of(field, inner)
            types.append(options if name in required else (*options, "undefined"))
            key = name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else _quoted(name)
            lines += _doc_of(field, inner)
            lines.append(f"{inner}{key}{'' if name in required else '?'}: {_text(options)};")
        rest = schema.get("additionalProperties", False)
        others = [*(schema.get("patternProperties") or {}).values(), *([] if rest is False else [rest])]
        if others:  # whose type must be wide enough for the named ones
            wide = _union([*(self._of(other, inner) for other in others), *types])
            lines.append(f"{inner}[key: string]: {_text(wide)};")
        return "\n".join([*lines, f"{indent}}}"])


_COMBINED: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "const", "enum"})


def _doc_of(schema: Any, indent: str) -> list[str]:
    if not isinstance(schema, dict):
        return []
    text = str(schema.get("description", ""))
    if schema.get("deprecated") is True:
        text = f"{text}\n@deprecated".strip()
    return _doc(text, indent)


def _union(every: Iterable[Options]) -> Options:
    """Each once, null last; ``unknown`` takes all in, ``never`` adds nothing."""
    options = list(dict.fromkeys(option for options in every for option in options))
    if "unknown" in options:
        return _ANYTHING
    options.sort(key=lambda option: option in ("null", "undefined"))
    return tuple(option for option in options if option != "never") or _NOTHING


def _text(options: Options) -> str:
    return " | ".join(options)


def _grouped(options: Options) -> str:
    """In parentheses where what stands beside it would take only the last part."""
    text = _text(options)
    return f"({text})" if len(options) > 1 or " & " in text else text
