"""Each distribution as a user gets it: built, installed into an empty environment, tried."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = sorted(
    path.parent for path in [ROOT / "core/pyproject.toml", *ROOT.glob("providers/*/pyproject.toml")]
)
STATIC = "src/wigwag/service/static"
START_LIMIT_S = 20.0
STOP_LIMIT_S = 20.0

pytestmark = pytest.mark.timeout(300)  # a build, an install and a start


def run(*command: str | Path) -> str:
    """Run to the end and return what it printed; show all of it when it fails."""
    done = subprocess.run(command, cwd="/", env=plain_environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def plain_environment() -> dict[str, str]:
    """Return our environment without what would reach the checkout, or set up the service."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WIGWAG_", "PYTHON", "VIRTUAL_ENV", "COV"))
    }


def build(source: Path, out: Path) -> Path:
    """Build the sdist, and from it the wheel, as a release would."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    return {source: build(source, tmp_path_factory.mktemp("dist")) for source in DISTRIBUTIONS}


@pytest.fixture(scope="module")
def installed(wheels: dict[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of an environment that holds our wheels and what they depend on."""
    environment = tmp_path_factory.mktemp("installed")
    uv = (sys.executable, "-m", "uv", "--quiet")
    run(*uv, "venv", "--allow-existing", "--python", sys.executable, environment)
    constraints = ROOT / "requirements/run.txt"
    target = ("--python", environment / "bin/python")
    run(*uv, "pip", "install", *target, "--constraints", constraints, *wheels.values())
    run(*uv, "pip", "check", *target)
    return environment / "bin"


@pytest.mark.parametrize("source", DISTRIBUTIONS, ids=lambda path: path.name)
def test_a_wheel_holds_the_package_and_nothing_else(source: Path, wheels: dict[Path, Path]) -> None:
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    package = project["name"].replace("-", "_")
    in_source = {
        path.relative_to(source / "src").as_posix()
        for path in (source / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[source]) as archive:
        names = set(archive.namelist())
        (licence,) = (name for name in names if name.endswith("/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    info = f"{package}-{project['version']}.dist-info"
    assert {name for name in names if not name.startswith(f"{info}/")} == in_source
    assert f"{package}/py.typed" in names


def test_the_page_of_the_service_is_in_the_wheel_of_core(wheels: dict[Path, Path]) -> None:
    files = [path for path in (ROOT / "core" / STATIC).rglob("*") if path.is_file()]
    with zipfile.ZipFile(wheels[ROOT / "core"]) as archive:
        packed = {name for name in archive.namelist() if "/service/static/" in name}
    assert len(packed) == len(files) > 0


def test_the_installed_command_lists_its_commands(installed: Path) -> None:
    assert "serve" in run(installed / "wigwag", "--help")


def test_the_installed_command_lists_the_providers(installed: Path) -> None:
    assert "memory" in run(installed / "wigwag", "providers")


def test_a_new_provider_runs_and_fails_the_suite_with_what_to_write(installed: Path, tmp_path: Path) -> None:
    """As an author does it, with nothing but the wheels."""
    run(installed / "wigwag", "new-provider", "demo", "--directory", tmp_path)
    root = tmp_path / "wigwag-demo"
    uv = (sys.executable, "-m", "uv", "--quiet", "pip", "install", "--python", installed / "python")
    run(*uv, "--constraints", ROOT / "requirements/dev.txt", "--editable", root, "pytest", "hatchling")
    environment = {**plain_environment(), "WIGWAG_PROVIDER": "demo"}
    command = (installed / "wigwag", "check")
    checked = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 1
    assert "reaches nobody but itself" in checked.stdout
    assert "a message came back" in checked.stdout
    suite = (installed / "python", "-m", "pytest", "-q", "-k", "every_node_hears_it or returned_arrives")
    tried = subprocess.run(
        suite, cwd=root, env=plain_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert tried.returncode == 1, tried.stdout
    assert "every node must have its own copy" in tried.stdout
    assert "1000 of 1000 topics are dead" in tried.stdout


def free_address() -> str:
    """Return a loopback address on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def serving(installed: Path, public: str, internal: str, log: Path) -> Generator[subprocess.Popen[bytes]]:
    command = (installed / "wigwag", "serve", "--listen", public, "--internal-listen", internal)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd="/", env=plain_environment(), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def get(url: str, process: subprocess.Popen[bytes], log: Path) -> bytes:
    """Return the answer's body; until the service listens, ask again."""
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as exc:
            pytest.fail(f"{url}: {exc.code}\n{log.read_text()}")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{url}: nobody answers\n{log.read_text()}")
            time.sleep(0.05)  # it tells nobody when it listens


def test_the_installed_service_answers_and_ends_on_sigterm(installed: Path, tmp_path: Path) -> None:
    public, internal, log = free_address(), free_address(), tmp_path / "log"
    with serving(installed, public, internal, log) as process:
        get(f"http://{internal}/livez", process, log)
        assert b"<html" in get(f"http://{public}/", process, log).lower()
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_LIMIT_S) == 0, log.read_text()
