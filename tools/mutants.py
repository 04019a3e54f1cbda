#!/usr/bin/env python3
"""Plants known defects in core, one by one, and sees each caught by the tests.

A green suite proves little: one that passed 3000 examples of a state machine missed 8 of 13 of these. Each
defect is an exact replacement of text, which fails loudly when the text is no longer there: then look what
became of the code, and plant the defect anew. Prints which test caught which; exit 1 if any was missed.

    tools/mutants.py [WORD...]     only those whose name holds a word
    tools/mutants.py --model       the state machine alone: what it finds by itself, to be read only
"""

from __future__ import annotations

import compileall
import importlib.util
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Imported here once, since each defect is tried in a fork of this process: a start of pytest costs more than the
# tests. wigwag itself is imported in the fork only.
import anyio
import hypothesis
import msgspec
import pydantic
import pytest
import trio
import trio.testing
import websockets

PRELOADED = (anyio, hypothesis, msgspec, pydantic, trio, websockets)
ROOT = Path(__file__).parents[1]
TESTS = ROOT / "core" / "tests"
MODEL = "provider/test_state_machine.py"
CPU_LIMIT_S = 120
OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "--timeout=30", "--rootdir", str(ROOT)),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of what was imported here
)


@dataclass
class Mutant:
    """A defect: its name, the test files that must notice, and what it changes: path, text now, text then."""

    name: str
    tests: list[str] = field(default_factory=list)
    changes: list[tuple[str, str, str]] = field(default_factory=list)


def read_mutants(text: str) -> list[Mutant]:
    """The defects of mutants.txt."""
    mutants: list[Mutant] = []
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        if key == "defect":
            mutants.append(Mutant(value))
        elif key == "tests":
            mutants[-1].tests += value.split()
        elif key == "file":
            mutants[-1].changes.append((value, "\n", "\n"))
        elif line and line[0] in "-+ ":
            path, old, new = mutants[-1].changes[-1]
            old += "" if line[0] == "+" else f"{line[1:]}\n"
            new += "" if line[0] == "-" else f"{line[1:]}\n"
            mutants[-1].changes[-1] = path, old, new
        elif line and line[0] != "#":
            raise SystemExit(f"mutants.txt: {line!r} is none of the forms that its head describes")
    return mutants


class FirstFailure:
    """A pytest plugin that notes it."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each phase of each test."""
        if report.failed and not self.name:
            self.name = report.nodeid.removeprefix("core/tests/")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Called by pytest for each module."""
        if report.failed and not self.name:
            self.name = f"(collecting) {report.nodeid}"


def plant(mutant: Mutant, source: Path) -> None:
    """Change the copy; raise if a text is not there exactly once."""
    for file, old, new in mutant.changes:
        path = source / "wigwag" / file
        text = path.read_text()
        if (count := text.count(old)) != 1:
            raise SystemExit(f"{mutant.name}: this stands {count} times in {file}:{old}")
        path.write_text(text.replace(old, new))
        # Of one second and one size, Python would take it for what was compiled.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def compiled_copy(folder: Path) -> Path:
    """A copy of the source, with its bytecode: each process would compile all of it anew."""
    source = folder / "src"
    shutil.copytree(ROOT / "core" / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(source, quiet=1)
    return source


def try_one(mutant: Mutant, tests: Sequence[str], compiled: Path) -> str:
    """The test that catches it, or nothing. Called in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="wigwag-mutant-") as folder:
        source = Path(folder) / "src"
        # With the times of its files, by which their bytecode is known to be theirs.
        shutil.copytree(compiled, source)
        plant(mutant, source)
        sys.path.insert(0, str(source))
        # The run without a defect leaves the bytecode of tests for the others.
        sys.dont_write_bytecode = bool(mutant.changes)
        os.environ["WIGWAG_NO_SHRINK"] = "1"
        os.chdir(ROOT)
        first = FirstFailure()
        try:
            code: int = pytest.main([*OPTIONS, *(str(TESTS / test) for test in tests)], plugins=[first])
        except ExceptionGroup:
            # Of what the failed test left behind, coroutines say, pytest finds some only after its last report.
            if not first.name:
                raise
            code = pytest.ExitCode.TESTS_FAILED
        if str(source) not in str(sys.modules["wigwag"].__file__):
            raise SystemExit(f"the tests took wigwag from {sys.modules['wigwag'].__file__}")
        if code == 0:
            return ""
        return first.name or f"(pytest ended with {code})"


def in_fork(mutant: Mutant, tests: Sequence[str], compiled: Path) -> tuple[int, int]:
    """Begin to try; the process, and the pipe on which its answer comes."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    answer = ""
    try:
        # A defect may make a clock that jumps run for ever, where no timeout of pytest's is heard.
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        answer = try_one(mutant, tests, compiled)
    except BaseException as exc:  # noqa: BLE001 - told to the parent, which raises it
        answer = f"!{exc.code if isinstance(exc, SystemExit) else repr(exc)}"
    finally:
        os.write(writing, answer.encode())
        os._exit(0)


def try_all(mutants: Sequence[Mutant], only_model: bool, compiled: Path) -> Iterator[tuple[Mutant, str]]:
    """Two at a time for each processor, since some wait; in their order."""
    begun: list[tuple[Mutant, int, int]] = []
    waiting = list(mutants)
    while waiting or begun:
        while waiting and len(begun) < 2 * (os.cpu_count() or 1):
            mutant = waiting.pop(0)
            begun.append((mutant, *in_fork(mutant, [MODEL] if only_model else mutant.tests, compiled)))
        mutant, process, reading = begun.pop(0)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            answer = f"(it ran for more than {CPU_LIMIT_S} s)"
        if answer.startswith("!"):
            raise SystemExit(answer[1:])
        yield mutant, answer


def main(words: list[str]) -> int:
    """Try those that are asked for, and print the table."""
    only_model = "--model" in words
    words = [word for word in words if not word.startswith("--")]
    mutants = read_mutants(Path(__file__).with_suffix(".txt").read_text())
    chosen = [m for m in mutants if not words or any(word in m.name for word in words)]
    files = list(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    width = max(len(mutant.name) for mutant in chosen)
    missed = 0
    with tempfile.TemporaryDirectory(prefix="wigwag-mutants-") as folder:
        compiled = compiled_copy(Path(folder))
        for _, answer in try_all([Mutant("(none)", files)], only_model, compiled):
            if answer:
                raise SystemExit(f"without any defect, this fails: {answer}")
        for mutant, answer in try_all(chosen, only_model, compiled):
            missed += not answer
            print(f"{mutant.name:<{width}}  {answer or 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen)} defects, {len(chosen) - missed} caught")
    return 1 if missed and not only_model else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
