"""AsyncAPI 3.0 of an application's messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from wigwag.typegen.definitions import JsonSchema, changed
from wigwag.typegen.describing import Api, DescribedRequest
from wigwag.typegen.finding import Endpoint

Document = dict[str, Any]

_CORRELATION: Final = {"correlationId": {"$ref": "#/components/correlationIds/request"}}
_CORRELATION_ID: Final = {"correlationId": {"type": ["string", "integer"]}}
_TIMESTAMP: Final = {"type": "integer", "description": "When it was emitted, in ms since 1970-01-01 UTC"}
_TOPICS: Final = {"type": "array", "items": {"type": "string"}}
_DETAIL: Final = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
}


def asyncapi(api: Api, *, title: str | None = None, version: str | None = None) -> Document:
    """The AsyncAPI document, ready to be written as JSON or YAML.

    Seen from the application: it *receives* requests and *sends* events.  A payload is one WebSocket message.  Each
    endpoint is a channel; which events go to which is not known, so that each has them all.

    Args:
        api: What was found, described.
        title: None: FastAPI's, or what was asked for.
        version: None: FastAPI's, or 0.1.0.
    """
    keys = _Keys()
    sent = {
        keys("event", event.name): _event(event.name, event.data) for event in api.events
    } | _EVENTS_OF_OURS
    messages = sent | _OTHERS
    for request in api.requests:
        messages[keys("request", request.type)] = _request(request)
        messages[keys("reply", request.type)] = _reply(request)
    channels: dict[str, Document] = {}
    operations: dict[str, Document] = {}
    for endpoint, requests in api.endpoints or ((_NOWHERE, ()),):
        channel = _Channel(keys("channel", endpoint.path or endpoint.name), endpoint, keys)
        types = [request.type for request in requests]
        channels[channel.name] = channel.channel(types, sent)
        operations |= channel.operations(types, sent)
    used = {key for channel in channels.values() for key in channel["messages"]}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title or api.found.title or ", ".join(api.found.targets),
            "version": version or api.found.version or "0.1.0",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {key: operations[key] for key in sorted(operations)},
        "components": {
            "messages": {key: messages[key] for key in sorted(messages) if key in used},
            "schemas": {name: _placed(schema) for name, schema in api.types.items()},
            "correlationIds": {
                "request": {
                    "description": "Chosen by the client, and back in the reply",
                    "location": "$message.payload#/correlationId",
                }
            },
        },
    }


#: Of an application that only emits.
_NOWHERE: Final = Endpoint("sockets", None, ())


class _Keys:
    """Keys of maps, which are made of letters, digits and a few signs; one for each kind and name."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str], str] = {}

    def __call__(self, kind: str, name: str) -> str:
        """The key of a name: ``event.incident.created``, and of a channel ``ws``."""
        if (kind, name) not in self._keys:
            text = re.sub(r"[^A-Za-z0-9._-]+", "_", name.strip("/") or "root")
            key = text if kind == "channel" else f"{kind}.{text}"
            while key in self._keys.values():
                key += "_"
            self._keys[kind, name] = key
        return self._keys[kind, name]


class _Channel:
    """One endpoint as a channel."""

    def __init__(self, name: str, endpoint: Endpoint, keys: _Keys) -> None:
        self.name = name
        self._endpoint = endpoint
        self._keys = keys

    def channel(self, types: Iterable[str], sent: Iterable[str]) -> Document:
        """The channel, on which requests of these types come, and these messages are sent."""
        path = self._endpoint.path
        address = None if path is None else re.sub(r"{(\w+)(:\w+)?}", r"{\1}", path)
        parameters: Document = {name: {} for name in re.findall(r"{(\w+)", address or "")}
        own = [self._keys(kind, type_) for type_ in types for kind in ("request", "reply")]
        others = [key for key in _OTHERS if key != _RAW or self._endpoint.takes_raw]
        return {
            "address": address,
            **({"parameters": parameters} if parameters else {}),
            "messages": {
                key: {"$ref": f"#/components/messages/{key}"} for key in sorted([*own, *sent, *others])
            },
            "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        }

    def operations(self, types: Iterable[str], sent: Iterable[str]) -> dict[str, Document]:
        """What the application receives on the channel, and sends there."""
        found = {f"{self.name}.receive.ping": self._receive("ping", "pong")}
        for type_ in types:
            request, reply = self._keys("request", type_), self._keys("reply", type_)
            found[f"{self.name}.receive.{request}"] = self._receive(request, reply, "error")
        if self._endpoint.takes_raw:
            found[f"{self.name}.receive.{_RAW}"] = self._receive(_RAW)
        for key in sent:
            operation = {"action": "send", "channel": self._ref, "messages": self._messages(key)}
            found[f"{self.name}.send.{key}"] = operation
        return found

    def _receive(self, key: str, *replies: str) -> Document:
        operation: Document = {"action": "receive", "channel": self._ref, "messages": self._messages(key)}
        if replies:
            operation["reply"] = {"channel": self._ref, "messages": self._messages(*replies)}
        return operation

    @property
    def _ref(self) -> Document:
        return {"$ref": f"#/channels/{self.name}"}

    def _messages(self, *keys: str) -> list[Document]:
        return [{"$ref": f"#/channels/{self.name}/messages/{key}"} for key in keys]


def _placed(schema: JsonSchema) -> JsonSchema:
    def placed(part: JsonSchema) -> JsonSchema:
        return {**part, "$ref": f"#/components/schemas/{part['$ref']}"} if "$ref" in part else part

    whole: JsonSchema = changed(schema, placed)
    return whole


def _object(required: Iterable[str], properties: Document) -> JsonSchema:
    return {"type": "object", "required": list(required), "properties": properties}


def _event(name: str, data: JsonSchema, **more: Any) -> Document:
    properties = {"name": {"const": name}, "data": _placed(data), "timestamp": _TIMESTAMP}
    return {"name": name, **more, "payload": _object(properties, properties)}


def _request(request: DescribedRequest) -> Document:
    data = {} if request.data is None else {"data": _placed(request.data)}
    fields = {"type": {"const": request.type}, **data}
    return {
        "name": request.type,
        **({"description": request.request.description} if request.request.description else {}),
        **_CORRELATION,
        "payload": _object(fields, {**fields, **_CORRELATION_ID}),
    }


def _reply(request: DescribedRequest) -> Document:
    fields = {"type": {"const": request.type}, "data": _placed(request.reply)}
    return {
        "name": request.type,
        **_CORRELATION,
        "payload": _object(fields, {**fields, **_CORRELATION_ID}),
    }


_RAW: Final = "raw"
_EVENTS_OF_OURS: Final[dict[str, Document]] = {
    "event.wigwag.dropped": _event(
        "wigwag.dropped",
        _object(["count"], {"count": {"type": "integer"}}),
        description="You read too slowly: so many messages are missing at this place",
    ),
    "event.wigwag.resync": _event(
        "wigwag.resync",
        _object(["topics", "spreadMs"], {"topics": _TOPICS, "spreadMs": {"type": "integer"}}),
        description="Messages of these topics may be missing: fetch what you need, within spreadMs",
    ),
}
_OTHERS: Final[dict[str, Document]] = {
    "error": {
        "name": "error",
        "description": "The reply to a request that failed",
        **_CORRELATION,
        "payload": _object(
            ["type", "error"],
            {
                "type": {"type": "string"},
                "error": {"type": "string"},
                "details": {"type": "array", "items": _DETAIL},
                **_CORRELATION_ID,
            },
        ),
    },
    "ping": {
        "name": "ping",
        "description": "A heartbeat, for instance every 25 seconds",
        "contentType": "text/plain",
        "payload": {"const": "2"},
    },
    "pong": {
        "name": "pong",
        "description": "The answer to a heartbeat",
        "contentType": "text/plain",
        "payload": {"const": "3"},
    },
    _RAW: {
        "name": _RAW,
        "description": "Text or bytes, as the application takes them",
        "contentType": "application/octet-stream",
        "payload": {},
    },
}
