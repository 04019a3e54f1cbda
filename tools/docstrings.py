"""A Griffe extension: our docstrings as the site's reference reads them, in Markdown.

- Roles (``:class:`~wigwag.Sockets` ``) become links, where what they name is in the reference.
- What is indented after ``::`` becomes a block of Python.
- ``#:`` comments document the attribute below them.
- So does the text that ``setting(default, "text")`` gives a field of a settings class, whose default is shown alone.
"""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any, TypeGuard

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`(~?)([\w.]+)`")


class Docstrings(griffe.Extension):
    """Reads docstrings and comments as they are written here."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute, when all of its package is there."""
        if isinstance(obj, griffe.Attribute) and obj.docstring is None:
            text = _comment(obj) or _setting(obj)
            if text:
                obj.docstring = griffe.Docstring(text, parent=obj, lineno=obj.lineno)
        if isinstance(obj, griffe.Attribute) and _is_setting(obj.value):
            obj.value = obj.value.arguments[0]
        if isinstance(obj, griffe.Attribute) and obj.labels.isdisjoint(
            {"class-attribute", "module-attribute"}
        ):
            obj.value = None  # of a parameter of __init__: that says nothing
        if isinstance(obj, griffe.Function):
            for parameter in obj.parameters:
                if _is_setting(parameter.default):
                    parameter.default = parameter.default.arguments[0]
        if obj.docstring is not None:
            parts = re.split(
                r"(^ *```.*?^ *```$)", _blocks(obj.docstring.value), flags=re.DOTALL | re.MULTILINE
            )
            for at, part in enumerate(parts):  # every second one is a block of code
                parts[at] = _ROLE.sub(
                    (lambda role: role[2]) if at % 2 else (lambda role: _link(obj, role)), part
                )
            obj.docstring.value = "".join(parts)


def _link(obj: griffe.Object, role: re.Match[str]) -> str:
    shortened, name = role[1], role[2]
    try:
        path = name if name.startswith("wigwag") else obj.resolve(name)
    except griffe.NameResolutionError:
        path = f"{(obj.path if obj.is_class else obj.parent.path) if obj.parent else ''}.{name}"
    shown = name.rpartition(".")[2] if shortened else name
    return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'


def _blocks(text: str) -> str:
    """``…::`` and what is indented below it as a fenced block."""
    out: list[str] = []
    lines = inspect.cleandoc(text).splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.rstrip().endswith("::"):
            out.append(line)
            continue
        if line.strip() != "::":
            out.append(line.rstrip()[:-1])
        margin = len(line) - len(line.lstrip())
        code: list[str] = []
        while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) > margin):
            code.append(lines[at])
            at += 1
        block = inspect.cleandoc("\n" + "\n".join(code)).strip("\n")
        language = "python" if _is_python(block) else "text"
        out += ["", *(" " * margin + part for part in [f"```{language}", *block.splitlines(), "```"]), ""]
    return "\n".join(out)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_python(text: str) -> bool:
    try:
        compile(text, "", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return False
    return True


def _comment(attribute: griffe.Attribute) -> str:
    """The ``#:`` lines above it; attributes that follow without a line between share them."""
    if attribute.lineno is None:
        return ""
    lines = attribute.lines_collection[attribute.filepath]
    at = attribute.lineno - 2
    while at >= 0 and re.match(r"\s*\w+: [^#]*$", lines[at]) and not lines[at].strip().endswith(":"):
        at -= 1
    found: list[str] = []
    while at >= 0 and lines[at].lstrip().startswith("#:"):
        found.insert(0, lines[at].lstrip().removeprefix("#:").strip())
        at -= 1
    return " ".join(found)


def _setting(attribute: griffe.Attribute) -> str:
    value = attribute.value
    return str(ast.literal_eval(str(value.arguments[1]))) if _is_setting(value) else ""


def _is_setting(value: object) -> TypeGuard[griffe.ExprCall]:
    is_call = isinstance(value, griffe.ExprCall) and str(value.function) == "setting"
    return is_call and len(value.arguments) > 1
