"""What a report states of the machine and of versions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from servers.kafka.installation import VERSION as KAFKA_VERSION
from servers.nats import nats_binary
from sockets.machine import FOLDER, ROOT, describe, revision

#: Of .venv, which the peers have in the same versions; and of the peers' environment alone.
SHARED = ("uvicorn", "uvloop", "httptools", "starlette", "anyio", "msgspec", "websockets")
PEERS = ("django", "channels", "python-socketio", "broadcaster", "redis")


def gather() -> dict[str, str]:
    """All of it."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": revision(),
        "machine": describe(),
        "versions": ", ".join([*_python_versions(), *_node_versions(), *_other_versions()]),
    }


def _python_versions() -> Iterator[str]:
    for package in SHARED:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    pins = (ROOT / "requirements" / "bench.txt").read_text()
    for package in PEERS:
        found = re.search(rf"^{package}==(\S+)", pins, re.MULTILINE)
        if found:
            yield f"{package} {found[1]}"


def _node_versions() -> Iterator[str]:
    packages: dict[str, str] = json.loads((FOLDER / "peers/node/package.json").read_text())["dependencies"]
    yield from (f"{name} {pinned}" for name, pinned in packages.items())


def _other_versions() -> Iterator[str]:
    centrifuge = re.search(r"centrifuge v(\S+)", (FOLDER / "peers/centrifuge/go.mod").read_text())
    if centrifuge:
        yield f"centrifuge {centrifuge[1]}"
    for name, command in (
        ("Node", ("node", "--version")),
        ("Go", ("go", "version")),
        ("cc", ("cc", "-dumpfullversion")),
        ("Redis", ("redis-server", "--version")),
        ("NATS", (nats_binary() or "nats-server", "--version")),
    ):
        if shutil.which(command[0]) and (number := _printed_version(command)):
            yield f"{name} {number}"
    yield f"Kafka {KAFKA_VERSION}"


def _printed_version(command: tuple[str, ...]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+", done.stdout)
    return found[0] if found else None
