"""What a PromQL expression asks for, by Prometheus' own grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser

#: What a histogram's series are called.
_SERIES = re.compile(r"_(bucket|sum|count)$")


def parse(expression: str) -> Any:
    """The tree of an expression; Grafana's own variables stand for something."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m").replace("$__range", "1h"))


def nodes(tree: Any) -> Iterator[Any]:
    """All nodes of a tree."""
    found: list[Any] = []
    promql_parser.walk(tree, found.append)
    yield from found


def selectors(expression: str) -> list[Any]:
    """What is selected: each metric with its matchers."""
    return [node for node in nodes(parse(expression)) if isinstance(node, promql_parser.VectorSelector)]


def metrics_of(expression: str, exported: set[str]) -> set[str]:
    """The names of the metrics, a histogram's as it is exported."""
    names = {selector.name for selector in selectors(expression)}
    return {name if name in exported else _SERIES.sub("", name) for name in names}


def labels_of(expression: str) -> set[str]:
    """The labels that are matched, or grouped by."""
    text = re.findall(r"\b(?:by|without|on|ignoring) \(([^)]*)\)", expression)
    grouped = {label.strip() for group in text for label in group.split(",")} - {""}
    matched = {m.name for selector in selectors(expression) for m in selector.matchers.matchers}
    return grouped | matched
