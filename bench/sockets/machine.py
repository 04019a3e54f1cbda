"""Where things stand, on which processors what runs, and what the machine is."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
#: What is built and installed for the measurements; ignored by git.
BUILT = ROOT / ".bench"

_PROCESSORS = sorted(os.sched_getaffinity(0))
#: The server has one processor, all else another, where there are two.
SERVER_CORE, LOAD_CORE = _PROCESSORS[0], _PROCESSORS[-1]


def is_pinned() -> bool:
    """Whether server and load generator have a processor each."""
    return len(_PROCESSORS) > 1 and shutil.which("taskset") is not None


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command, on this processor alone."""
    return ["taskset", "-c", str(core), *command] if is_pinned() else list(command)


def pin_all_threads(pid: int, core: int) -> None:
    """Put a process that runs on this processor."""
    if is_pinned():
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), {core})


def describe() -> str:
    """The machine, in one line."""
    cores = (
        "server and load generator on one each" if is_pinned() else "server and load generator not kept apart"
    )
    return (
        f"{len(_PROCESSORS)} processors ({_processor()}), {cores}; "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def revision() -> str:
    """Which commit is measured, and whether it is one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "core", "providers")
    return f"{git('rev-parse', '--short', 'HEAD') or 'no commit'}{', changed' if changed else ''}"
