"""W3C Trace Context: what a request says of the trace that it belongs to.  Sans-I/O.

https://www.w3.org/TR/trace-context/ (level 1).  wigwag passes on what it is given, and makes no ids of its own; what
is malformed is ignored, as the specification wants.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

#: How much of ``tracestate`` is passed on, at least which the specification asks for (3.3.1.5).
_MAX_STATE_CHARS: Final = 512
#: Entries that are longer go first where there is too much.
_LONG_ENTRY_CHARS: Final = 128
_MAX_ENTRIES: Final = 32

_parse_parent = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.ASCII | re.DOTALL,
).fullmatch
_is_entry = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]",
    re.ASCII,
).fullmatch


class TraceContext(NamedTuple):
    """The two headers, as they are passed on."""

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]


def read_trace(parents: Sequence[str], states: Sequence[str] = ()) -> TraceContext | None:
    """The trace that a request's headers ``traceparent`` and ``tracestate`` name, each as often as it was sent.

    None where there is none, or none that can be used.  Of a later version of the specification what this one
    knows is taken (3.2.4).
    """
    if len(parents) != 1:
        return None
    found = _parse_parent(parents[0].strip(" \t"))
    if (
        found is None
        or found["version"] == "ff"
        or not (found["trace"].strip("0") and found["parent"].strip("0"))
    ):
        return None
    flags = found["flags"]
    if found["version"] != "00":
        flags = f"{int(flags, 16) & 1:02x}"
    elif found["more"] is not None:
        return None
    return TraceContext(f"00-{found['trace']}-{found['parent']}-{flags}", _read_state(states))


def _read_state(states: Sequence[str]) -> str:
    """The entries, as one header; empty where one of them is malformed, or comes twice (3.3)."""
    entries = [entry for state in states for part in state.split(",") if (entry := part.strip(" \t"))]
    keys = {entry.partition("=")[0] for entry in entries}
    if len(entries) > _MAX_ENTRIES or len(keys) != len(entries) or not all(map(_is_entry, entries)):
        return ""
    if len(",".join(entries)) > _MAX_STATE_CHARS:
        entries = [entry for entry in entries if len(entry) <= _LONG_ENTRY_CHARS]
    while len(",".join(entries)) > _MAX_STATE_CHARS:
        entries.pop()
    return ",".join(entries)
