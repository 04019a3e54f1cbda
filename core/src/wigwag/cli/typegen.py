"""``wigwag typegen`` and ``wigwag asyncapi``: what is found, written to a file, or compared with one."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from wigwag.errors import SettingsError, WigwagError
from wigwag.typegen import Api, asyncapi, describe, find, typescript


def write_typescript(
    targets: Sequence[str], *, output: str, check: bool, messages: Sequence[str], app_dir: str | None
) -> None:
    """Write TypeScript, or check that it is there.

    Raises:
        SettingsError: what was asked for can't be.
        NotDescribable: the messages can't be written so.
        WigwagError: the file can't be written.
    """
    _refuse_check_of_nothing(output, check=check)
    api = _described(targets, messages, app_dir)
    for request in api.requests:
        if request.request.says_no_reply:
            click.echo(
                f"wigwag: {request.request.origin} does not say what it returns: the reply of {request.type!r} is "
                "unknown until its return is annotated",
                err=True,
            )
    text = typescript(api)
    _finish(text, output, api, _command("typegen", targets, output, messages, app_dir), check=check)


def write_asyncapi(
    targets: Sequence[str],
    *,
    output: str,
    check: bool,
    messages: Sequence[str],
    app_dir: str | None,
    title: str | None,
    api_version: str | None,
) -> None:
    """Write an AsyncAPI document, or check that it is there.

    Raises as :func:`write_typescript` does.
    """
    _refuse_check_of_nothing(output, check=check)
    api = _described(targets, messages, app_dir)
    document = asyncapi(api, title=title, version=api_version)
    is_yaml = output.endswith((".yaml", ".yml"))
    text = _yaml(document) if is_yaml else json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    command = _command("asyncapi", targets, output, messages, app_dir)
    for option, value in (("--title", title), ("--api-version", api_version)):
        if value is not None:
            command += [option, value]
    _finish(text, output, api, command, check=check)


def _refuse_check_of_nothing(output: str, *, check: bool) -> None:
    if check and output == "-":
        raise click.UsageError("--check compares with a file: -o FILE")


def _described(targets: Sequence[str], messages: Sequence[str], app_dir: str | None) -> Api:
    return describe(find(targets, messages=messages, app_dir=app_dir))


def _command(
    name: str, targets: Sequence[str], output: str, messages: Sequence[str], app_dir: str | None
) -> list[str]:
    """What writes the file, for people to paste."""
    command = ["wigwag", name, *targets, "-o", output]
    for module in messages:
        command += ["--messages", module]
    return [*command, *(["--app-dir", app_dir] if app_dir is not None else [])]


def _yaml(document: dict[str, Any]) -> str:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # its stubs are for development alone
    except ImportError:
        raise SettingsError(
            "YAML needs PyYAML: pip install pyyaml, or let the file's name end in .json"
        ) from None
    text: str = yaml.safe_dump(
        json.loads(json.dumps(document)), sort_keys=False, allow_unicode=True, width=110
    )
    return text


def _finish(text: str, output: str, api: Api, command: list[str], *, check: bool) -> None:
    if output == "-":
        click.echo(text, nl=False)
        return
    path = Path(output)
    try:
        there = path.read_text(encoding="utf-8")  # with any newlines: git may have changed them
    except FileNotFoundError:
        there = None
    except (OSError, UnicodeDecodeError) as exc:
        raise WigwagError(f"{output} can't be read: {exc}") from None
    if check:
        _compare(there, text, output, command)
    elif there != text:
        _replace(path, text)
    if not check:
        what = f"{_count(len(api.events), 'event')}, {_count(len(api.requests), 'request')}"
        click.echo(f"{output}: {what}{'' if there != text else ', as it was'}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _compare(there: str | None, text: str, output: str, command: list[str]) -> None:
    """Say what differs, if anything, and exit with 1."""
    if there == text:
        return
    difference = difflib.unified_diff(
        (there or "").splitlines(keepends=True), text.splitlines(keepends=True), output, f"{output} (new)"
    )
    for line in difference:
        click.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)
    what = "is not there" if there is None else "is not up to date"
    click.echo(f"wigwag: {output} {what}: run {shlex.join(command)}", err=True)
    sys.exit(1)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, where a link leads if it is one."""
    path = path.resolve()
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        try:
            new.write_text(text, encoding="utf-8", newline="\n")
            if path.exists():
                shutil.copymode(path, new)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as exc:
        raise WigwagError(f"{path} can't be written: {exc.strerror or exc}") from None
