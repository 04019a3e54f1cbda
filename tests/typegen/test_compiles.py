"""What typegen writes for the programs of the contract, and that TypeScript takes it for what it is meant to be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from typegen.compiler import ROOT, compile_folder

HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
#: What is asked for of each program; those without an application are modules that only emit.
PROGRAMS = {
    "chat": "chat:app",
    "dashboard": "dashboard:app",
    "incidents_fastapi": "incidents_fastapi:app",
    "mounted": "mounted:app",
    "registry": "registry:app",
    "service": "service",
    "smallest": "smallest:app",
    "worker": "worker",
}
FOLDERS = {**dict.fromkeys(PROGRAMS, ROOT / "examples/programs"), "everything": HERE}
TARGETS = {**PROGRAMS, "everything": "everything:app"}


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_written_is_what_is_expected(name: str) -> None:
    """By the command itself: if it is to be otherwise, it says how to write it anew."""
    command = [
        sys.executable,
        "-m",
        "wigwag",
        "typegen",
        TARGETS[name],
        "-o",
        f"tests/typegen/expected/{name}.ts",
    ]
    command += ["--app-dir", str(FOLDERS[name].relative_to(ROOT)), "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_each_program_is_written() -> None:
    modules = {path.stem for path in (ROOT / "examples/programs").glob("*.py")}
    assert {path.stem for path in EXPECTED.glob("*.ts")} == {*TARGETS}
    assert modules - {"db", "services", "test_programs"} == {*PROGRAMS}


@pytest.mark.needs("node")
def test_it_compiles_and_says_what_it_should(tmp_path: Path) -> None:
    for path in [*EXPECTED.glob("*.ts"), HERE / "uses.ts"]:
        shutil.copy(path, tmp_path)
    assert compile_folder(tmp_path) == ""


@pytest.mark.needs("node")
def test_the_compiler_would_notice(tmp_path: Path) -> None:
    shutil.copy(EXPECTED / "everything.ts", tmp_path)
    uses = (HERE / "uses.ts").read_text()
    (tmp_path / "uses.ts").write_text(
        uses.replace('givenName: "Ann",', "").replace("data.model.twice", "data.tree")
    )
    errors = compile_folder(tmp_path)
    assert "Property 'givenName' is missing" in errors
    assert "Unused '@ts-expect-error' directive" in errors
