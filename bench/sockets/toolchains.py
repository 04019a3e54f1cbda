"""What the servers need beside .venv: built and installed into .bench/ when first asked for, once."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sockets.machine import BUILT, FOLDER, ROOT

PEERS = FOLDER / "peers"
C_FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra")


class Missing(Exception):
    """A toolchain that this machine has not, or that failed; the message is one line that says which."""


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Missing(f"there is no {name} here")
    return found


def _run(command: Sequence[str | Path], cwd: Path = ROOT, environ: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(environ or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no word"]
        raise Missing(f"{Path(command[0]).name} {command[1]} failed: {last[0]}")


def _once(name: str, sources: Iterable[Path], build: Callable[[], None]) -> None:
    """Build, unless it was built of the same sources."""
    BUILT.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.read_bytes())
    stamp = BUILT / f"{name}.stamp"
    if not stamp.exists() or stamp.read_text() != digest.hexdigest():
        stamp.unlink(missing_ok=True)
        sys.stderr.write(f"building {name}\n")
        build()
        stamp.write_text(digest.hexdigest())


def _compiled(name: str, sources: Sequence[Path], headers: Sequence[Path] = ()) -> Path:
    program = BUILT / name
    _once(name, [*sources, *headers], lambda: _run([_program("cc"), *C_FLAGS, "-o", program, *sources]))
    return program


@functools.cache
def load_program() -> Path:
    """The load generator."""
    folder = FOLDER / "load"
    return _compiled("load", sorted(folder.glob("*.c")), sorted(folder.glob("*.h")))


@functools.cache
def floor_program() -> Path:
    """The C floor."""
    return _compiled("floor", [PEERS / "floor.c"])


@functools.cache
def python() -> Path:
    """The interpreter of the environment that the Python peers have, of the same version as ours."""
    pins = ROOT / "requirements" / "bench.txt"
    uv = Path(sys.executable).with_name("uv")
    environment = BUILT / "venv"
    interpreter = environment / "bin" / "python"

    def build() -> None:
        if not uv.exists():
            raise Missing("uv is not beside this Python: make install")
        options = ["--quiet", "--python"]
        _run([uv, "venv", "--clear", "--no-python-downloads", *options, sys.executable, environment])
        _run([uv, "pip", "install", "--require-hashes", "--no-deps", *options, interpreter, "-r", pins])

    _once("venv", [pins], build)
    return interpreter


@functools.cache
def node_folder() -> Path:
    """Where the programs for Node and Bun stand, with their packages beside them."""
    source, folder = PEERS / "node", BUILT / "node"
    npm = _program("npm")

    def build() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)

    _once("node", source.iterdir(), build)
    return folder


def node() -> Path:
    """Node."""
    return Path(_program("node"))


@functools.cache
def bun() -> Path:
    """The Bun that its npm package brings: of those for this system, the first that runs here."""
    for candidate in sorted(
        node_folder().glob("node_modules/@oven/bun-*/bin/bun"), key=lambda path: len(str(path))
    ):
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise Missing("Bun's npm package has no program for this machine")


@functools.cache
def centrifuge() -> Path:
    """The server on the centrifuge library."""
    source, program = PEERS / "centrifuge", BUILT / "centrifuge"
    environ = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    command: Sequence[str | Path] = [_program("go"), "build", "-o", program, "."]
    _once("centrifuge", source.iterdir(), lambda: _run(command, cwd=source, environ=environ))
    return program
