"""Builds the site of docs/ into .docs/site: ``tools/docs.py build``, or ``serve`` to look at it while writing.

The pages of the site are those of docs/, and some that stand elsewhere in the repository, beside what they are about
(a provider's README). Their links lead to files of the repository, so that they work in a checkout too; here they are
turned into links within the site. A file that is linked to and is no page, such as an example's source, gets a page
that shows it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import click

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".docs"
SOURCE = WORK / "source"
SITE = WORK / "site"

#: Pages that stand outside docs/, and where they are in the site.
ELSEWHERE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "core/src/wigwag/service/static/favicon.svg": "assets/logo.svg",
    "bench/README.md": "project/benchmarks.md",
    "clients/typescript/README.md": "guide/typescript-client.md",
    "examples/chat/README.md": "examples/chat.md",
    "examples/dashboard/README.md": "examples/dashboard.md",
    "examples/provider-mqtt/README.md": "examples/provider-mqtt.md",
    "providers/kafka/README.md": "brokers/kafka.md",
    "providers/nats/README.md": "brokers/nats.md",
    "providers/redis/README.md": "brokers/redis.md",
}
LANGUAGES = {".py": "python", ".js": "js", ".ts": "ts", ".css": "css", ".html": "html", ".toml": "toml"}

COMMANDS = "docs/reference/commands.md"

_CODE = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s]+)(?=\))")


class Tree:
    """Which file of the repository is where in the site."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = dict(ELSEWHERE)
        self.sources: dict[str, str] = {}
        for path in sorted((ROOT / "docs").rglob("*")):
            if path.is_file():
                name = path.relative_to(ROOT / "docs").as_posix()
                self.pages[f"docs/{name}"] = name

    def place(self, path: str) -> str:
        """Where a file or folder of the repository is in the site; it is given a page unless it has one.

        Raises ValueError where there is no such file.
        """
        for known in (path, f"{path}/README.md"):
            if known in self.pages:
                return self.pages[known]
        if not (ROOT / path).exists():
            raise ValueError(f"there is no {path}")
        name = f"source/{path}/index.md" if (ROOT / path).is_dir() else f"source/{path}.md"
        return self.sources.setdefault(path, name)

    def in_site(self, page: str, text: str) -> str:
        """The page's text, with links that lead to where their targets are in the site.

        Raises ValueError for a link that leads nowhere.
        """
        here = PurePosixPath(self.pages[page]).parent

        def turn(match: re.Match[str]) -> str:
            target = match["target"]
            path, hash_, anchor = target.partition("#")
            if urlsplit(target).scheme or not path:
                return target
            found = os.path.normpath(PurePosixPath(page).parent / path)
            try:
                return os.path.relpath(self.place(found), here) + hash_ + anchor
            except ValueError as exc:
                raise ValueError(f"{page}: the link to {target} leads nowhere: {exc}") from None

        return "".join(part if is_code else _LINK.sub(turn, part) for is_code, part in split(text))


def split(text: str) -> Iterator[tuple[bool, str]]:
    """The text in parts that are code, and parts that are not."""
    at = 0
    for code in _CODE.finditer(text):
        yield False, text[at : code.start()]
        yield True, code[0]
        at = code.end()
    yield False, text[at:]


def shown(path: Path) -> Iterator[str]:
    """A page that shows a source file, or lists a folder; not for the search."""
    name = path.relative_to(ROOT).as_posix()
    yield f"---\nsearch:\n  exclude: true\n---\n\n# `{name}`\n\n"
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.suffix in LANGUAGES or child.suffix == ".md":
                yield f"- [{child.name}]({child.name})\n"
        return
    yield f"`````{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n`````\n"


def commands() -> Iterator[str]:
    """What ``--help`` says of the command ``wigwag``, and of each of its commands."""
    from wigwag.cli import cli

    width = {"terminal_width": 100, "max_content_width": 100}
    context = click.Context(cli, info_name="wigwag", **width)
    yield f"\n## wigwag\n```text\n{cli.get_help(context)}\n```\n"
    for name, command in sorted(cli.commands.items()):
        inner = click.Context(command, info_name=name, parent=context, **width)
        yield f"\n## wigwag {name}\n```text\n{command.get_help(inner)}\n```\n"


def assemble() -> None:
    """Write the site's pages into .docs/source: only what has changed, so that a server sees no more than that.

    Raises ValueError for a link that leads nowhere.
    """
    tree = Tree()
    wanted: dict[str, bytes] = {}
    for page, name in tree.pages.items():
        if page == "README.md":  # the start page is docs/index.md
            continue
        path = ROOT / page
        wanted[name] = path.read_bytes()
        if path.suffix == ".md":
            more = "".join(commands()) if page == COMMANDS else ""
            wanted[name] = tree.in_site(page, path.read_text() + more).encode()
    done: set[str] = set()
    while todo := sorted(set(tree.sources) - done):  # a folder's page links to its files
        for path in todo:
            page = f"{path}/index.md" if (ROOT / path).is_dir() else path  # what its links are relative to
            tree.pages[page] = tree.sources[path]
            wanted[tree.sources[path]] = tree.in_site(page, "".join(shown(ROOT / path))).encode()
            done.add(path)
    for path in SOURCE.rglob("*"):
        if path.is_file() and path.relative_to(SOURCE).as_posix() not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = SOURCE / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def run(*arguments: str) -> tuple[int, str]:
    """Run Zensical; returns its exit code, and what it said."""
    command = [sys.executable, "-m", "zensical", *arguments, "--config-file", str(ROOT / "zensical.toml")]
    process = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return process.returncode, process.stdout


def build() -> int:
    """Build the site, strictly; returns the exit code."""
    assemble()
    shutil.rmtree(SITE, ignore_errors=True)
    code, said = run("build", "--strict", "--clean")
    # Zensical's own strictness does not hear what mkdocstrings and Griffe log.
    warnings = [line for line in said.splitlines() if re.match(r"\s*(WARNING|ERROR|Warning|Error)", line)]
    if code or warnings:
        print(said, file=sys.stderr)
        return code or 1
    print(f"docs: {SITE.relative_to(ROOT)}/index.html")
    return 0


def serve() -> int:
    """Serve the site, and build it anew when a page changes."""

    def watch() -> None:
        while True:
            time.sleep(1)
            try:
                assemble()
            except ValueError as exc:
                print(exc, file=sys.stderr)

    assemble()
    threading.Thread(target=watch, daemon=True).start()
    command = [sys.executable, "-m", "zensical", "serve", "--config-file", str(ROOT / "zensical.toml")]
    return subprocess.call(command, cwd=ROOT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["build", "serve"])
    try:
        sys.exit({"build": build, "serve": serve}[parser.parse_args().what]())
    except ValueError as exc:
        sys.exit(f"docs: {exc}")
    except KeyboardInterrupt:
        sys.exit(130)
