"""Log lines that say of which node, socket and trace they are; and as JSON, one object a line.

``wigwag serve`` sets this up (``WIGWAG_LOG_FORMAT``).  An application that has its own logging takes what it wants::

    handler = logging.StreamHandler()
    handler.setFormatter(wigwag.logs.JsonFormatter())
    logging.basicConfig(level="INFO", handlers=[handler])

or, for a format of its own, :class:`ContextFilter`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from wigwag.tracing import current_trace

__all__ = ["ConsoleFormatter", "ContextFilter", "JsonFormatter"]

#: The tag of the node whose work this is.
current_node: ContextVar[str | None] = ContextVar("wigwag.node", default=None)
#: The id of the socket whose work this is.
current_socket: ContextVar[str | None] = ContextVar("wigwag.socket", default=None)

#: What a log line says of where it comes from, as attributes of its record and as fields of its JSON.
_CONTEXT: Final = ("node", "socket", "trace_id")
#: What every record has: anything else somebody gave as ``extra=``.
_STANDARD: Final = frozenset(
    [*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", *_CONTEXT]
)
_OWN: Final = frozenset(["timestamp", "level", "logger", "message", "exception", "stack", *_CONTEXT])


class ContextFilter(logging.Filter):
    """Gives each record the attributes ``node``, ``socket`` and ``trace_id``, each a str, empty where there is none.

    For a handler, so that its format may have ``%(node)s``; also for a ``QueueHandler``, since it is only known where a
    record is made.  It keeps all records.
    """

    def __init__(self, *, node: Callable[[], str | None] | None = None) -> None:
        """``node``: says the tag of the node where nothing else does."""
        super().__init__()
        self._node = node

    def filter(self, record: logging.LogRecord) -> bool:
        """See :meth:`logging.Filter.filter`."""
        for name, value in zip(_CONTEXT, self._now(), strict=True):
            if not hasattr(record, name):
                setattr(record, name, value or "")
        return True

    def _now(self) -> tuple[str | None, str | None, str | None]:
        socket, trace = current_socket.get(), current_trace()
        node = current_node.get() or (socket and socket[:8])  # a socket's id begins with the tag of its node
        if node is None and self._node is not None:
            node = self._node()
        return node, socket, None if trace is None else trace.trace_id


_SHOWN: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\n    "}


class ConsoleFormatter(logging.Formatter):
    """Lines for people: what :class:`ContextFilter` has found stands behind the message, unless it is said there."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """See :meth:`logging.Formatter.formatMessage`.

        What follows a line feed is indented, and other control characters are escaped: no text of a stranger's that is
        in a message looks like a line of its own, or changes what a terminal shows.
        """
        line = super().formatMessage(record).translate(_SHOWN)
        found = [(name, getattr(record, name, "")) for name in _CONTEXT]
        said = " ".join(f"{name}={value}" for name, value in found if value and value not in line)
        return f"{line} [{said}]" if said else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    ``timestamp`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; where they apply ``node``, ``socket``,
    ``trace_id``, ``exception`` (the whole traceback) and ``stack``; then what was given as ``extra=``.  A value
    that JSON can't hold stands there as its ``str``.
    """

    def __init__(self, fields: Mapping[str, Any] | None = None) -> None:
        """``fields`` are in each line."""
        super().__init__()
        self._fields = dict(fields or {})
        self._context = ContextFilter()

    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        self._context.filter(record)
        line: dict[str, Any] = {
            "timestamp": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **self._fields,
        }
        line |= {name: value for name in _CONTEXT if (value := getattr(record, name, ""))}
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        elif record.exc_text:  # of a record that has crossed to another process
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[f"{name}_" if name in _OWN or name in self._fields else name] = value
        return _encode(line)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - whoever logs wrongly still wants to be read
        return f"{record.msg} {record.args!r}"


def _encode(line: dict[str, Any]) -> str:
    try:
        return _plain.encode(line).decode()
    except Exception:  # noqa: BLE001 - a str that is no Unicode, an object whose str fails, keys that JSON does not have
        return _plain.encode({_printable(key): _printable(value) for key, value in line.items()}).decode()


def _printable(value: object) -> str:
    try:
        return str(value).encode(errors="backslashreplace").decode()
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__}>"


_plain: Final = msgspec.json.Encoder(enc_hook=_printable)
