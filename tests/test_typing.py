"""What type checkers say of an application: in tests/typed, each marked line is wrong, and no other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "tests" / "typed").glob("*.py"))
MARK = re.compile(r"  # type: ignore\[[a-z, -]+\]")

Lines = set[tuple[str, int]]


def run(tool: str, *arguments: str | Path) -> str:
    """What a tool of this environment prints."""
    command = [str(Path(sys.executable).parent / tool), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def mypy(folder: Path) -> Lines:
    output = run("mypy", "--strict", "--no-error-summary", "--hide-error-context", folder)
    found = re.findall(r"^(\S+?):(\d+): error:", output, re.MULTILINE)
    return {(Path(name).name, int(line)) for name, line in found}


def pyright(folder: Path) -> Lines:
    settings = {"include": ["."], "extraPaths": [str(ROOT / "core/src")], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, "-p", folder)
    found = json.loads(output)["generalDiagnostics"]
    return {(Path(error["file"]).name, error["range"]["start"]["line"] + 1) for error in found}


@pytest.fixture
def unmarked(tmp_path: Path) -> tuple[Path, Lines]:
    """The sources without what silences the checkers, and where that was."""
    marked: Lines = set()
    for source in SOURCES:
        lines = source.read_text().splitlines(keepends=True)
        marked |= {(source.name, number) for number, line in enumerate(lines, 1) if MARK.search(line)}
        (tmp_path / source.name).write_text("".join(MARK.sub("", line) for line in lines))
    return tmp_path, marked


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_checker_finds_wrong_what_is_wrong_and_nothing_else(
    checker: Callable[[Path], Lines], unmarked: tuple[Path, Lines]
) -> None:
    folder, marked = unmarked
    assert len(marked) > 40
    assert checker(folder) == marked
