"""What the pages show is true: Python runs, shell lines exist, conversations happen so, links lead somewhere."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import uvicorn
from starlette.testclient import TestClient

from documentation import CHECKED
from documents import PAGES, ROOT, Block, anchors, blocks, links
from e2e.servers import serving
from e2e.wire import Client, connecting
from wigwag import create_provider
from wigwag.cli import cli
from wigwag.factory import known_variables
from wigwag.plugins import INSTALLABLE, load
from wigwag.service.app import create_app
from wigwag.service.internal import create_internal_app


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def having(*languages: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, *languages)]


# Python


@pytest.mark.parametrize("page", having("python"), ids=name_of)
def test_the_python_of_a_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"page_{page.stem.replace('-', '_').lower()}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where annotations are looked for
    for block in blocks(page, "python"):
        if block.title is None:  # else a file, or one of two columns
            source = "\n" * block.line + block.text  # so that a traceback names the page's line
            code = compile(source, block.at.partition(":")[0], "exec", dont_inherit=True)
            exec(code, module.__dict__)


# Shell


def commands(block: Block) -> Iterator[list[str]]:
    """Each command of a block of shell, as words; pipes and lists are taken apart."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("|&;"):
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


@pytest.mark.parametrize("name", CHECKED)
def test_the_shell_lines_of_a_page_name_what_exists(name: str) -> None:
    for block in blocks(ROOT / name, "sh"):
        for words in commands(block):
            try:
                check_command(words)
            except click.ClickException as exc:
                pytest.fail(f"{block.at}: {' '.join(words)}: {exc.format_message()}")


def check_command(words: list[str]) -> None:
    while words and "=" in words[0]:
        variable = words.pop(0).partition("=")[0]
        plugins = [load(name) for name in ("memory", "local", *INSTALLABLE)]
        known = {found.name for plugin in plugins for found in known_variables(plugin)}
        known |= {"UPGRADE", "PYTHON", "CHROMIUM", "COMPOSE_PROFILES"}
        assert variable in known, f"{variable} is no setting"
    if not words:
        return
    name, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if name == "wigwag":
        check_click(cli, arguments)
    elif name == "uvicorn":
        check_click(uvicorn.main, arguments)
    elif name == "hypercorn":
        assert all(word in hypercorn_help() for word in arguments if word.startswith("--")), words
    elif name == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets), words
    elif name == "docker":
        check_docker(arguments)
    elif name == "curl":
        check_curl(arguments)
    elif name == "npm":
        assert arguments == ["install", "wigwag-client"], words
    elif name in ("pip", "uv"):
        assert all((ROOT / word).exists() for word in arguments if word.startswith("./")), words
    elif name == "npm":
        package = json.loads((ROOT / "clients/typescript/package.json").read_text())
        known_packages = {package["name"], *package["devDependencies"]}
        verb, *packages = (argument for argument in arguments if not argument.startswith("-"))
        assert verb in ("install", "pack", "run"), words
        assert verb != "install" or set(packages) <= known_packages, words
    else:
        assert name in ("git", "cd", "jq", "export", "head", "helm", "kubectl"), (
            f"is there a command {name!r}?"
        )


def check_docker(arguments: list[str]) -> None:
    """Its variables are settings, and what it runs in our image are commands."""
    for option, value in itertools.pairwise(arguments):
        if option == "-e":
            check_command([f"{value.partition('=')[0]}="])
    if arguments[0] == "run":
        check_click(cli, arguments[arguments.index("wigwag") + 1 :])
    else:
        assert arguments[:1] in (["build"], ["compose"]), arguments


def check_click(command: click.Command, arguments: list[str]) -> None:
    """Raises click.ClickException for an option, command or value that is none."""
    if isinstance(command, click.Group):
        if arguments and not arguments[0].startswith("-"):
            found = command.commands.get(arguments[0])
            if found is None:
                raise click.UsageError(f"no such command: {arguments[0]}")
            check_click(found, arguments[1:])
        return
    command.make_context(command.name, list(arguments), resilient_parsing=True)


@functools.cache
def hypercorn_help() -> str:
    command = (sys.executable, "-m", "hypercorn", "--help")
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=50).stdout


def check_curl(arguments: list[str]) -> None:
    """What is said to the internal port is said, and taken."""
    given = [argument for argument in arguments if argument.startswith("http://")]
    assert len(given) == 1, arguments
    url = urlsplit(given[0])
    body = arguments[arguments.index("-d") + 1] if "-d" in arguments else None
    if body is not None:
        json.loads(body)
    if url.port == 9000:
        provider = create_provider("memory")
        internal = create_internal_app([provider])
        with TestClient(
            internal,
            base_url="http://127.0.0.1:9000",
            client=("127.0.0.1", 1),
            headers={"user-agent": "curl"},
        ) as client:
            assert client.portal is not None
            client.portal.call(provider.start)
            answer = client.request("GET" if body is None else "POST", url.path, content=body)
            client.portal.call(provider.stop)
        assert answer.status_code == (200 if body is None else 202), answer.text


# Conversations


@pytest.fixture(scope="module")
def stock_url() -> Iterator[str]:
    with serving("uvicorn-sansio", create_app()) as server:
        yield f"{server.ws}/ws"


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page, "transcript")], ids=lambda block: block.at
)
def test_a_conversation_goes_as_it_is_written(stock_url: str, block: Block) -> None:
    with connecting(stock_url) as client:
        for line in block.text.splitlines():
            arrow, _, message = line.partition(" ")
            if arrow == "→":
                client.send(message)
            else:
                assert arrow == "←", line
                expect(client, message)
        client.send("2")
        assert client.receive() == "3", "the server had said more than is written"


def expect(client: Client, written: str) -> None:
    """Compare a message with what is written, as JSON; ``…`` is any value."""
    received = client.receive()
    if not written.startswith("{"):
        assert received == written
        return
    said, wanted = json.loads(received), json.loads(written.replace("…", '"…"'))
    assert matches(said, wanted), f"{received!r} is not {written}"


def matches(said: Any, wanted: Any) -> bool:
    if isinstance(said, dict) and isinstance(wanted, dict):
        return said.keys() == wanted.keys() and all(matches(said[key], wanted[key]) for key in said)
    if isinstance(said, list) and isinstance(wanted, list):
        return len(said) == len(wanted) and all(map(matches, said, wanted))
    return bool(wanted == "…" or said == wanted)


# Links


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        if urlsplit(link).scheme:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)}: {link}"
