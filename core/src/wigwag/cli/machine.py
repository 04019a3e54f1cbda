"""What this machine lets a process have, as far as ``wigwag check`` looks."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")
_MEMORY_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """None is what is not to be known here."""

    #: Processors that this process may use.
    cores: int
    #: How many files a process may open: the hard limit, which ``wigwag serve`` makes its own.
    files: int | None
    #: How many connections that nobody has accepted yet the kernel keeps, whatever a program asks for.
    backlog: int | None
    #: What the container may have, or else the machine has.
    memory_bytes: int | None
    has_uvloop: bool

    @classmethod
    def here(cls) -> Self:
        """This one."""
        return cls(
            cores=_cores(),
            files=_files(),
            backlog=_number_in(_SOMAXCONN),
            memory_bytes=_memory_bytes(),
            has_uvloop=importlib.util.find_spec("uvloop") is not None,
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _files() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def _memory_bytes() -> int | None:
    limits = [limit for path in _MEMORY_LIMITS if (limit := _number_in(path)) is not None]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _number_in(path: Path) -> int | None:
    """The number that a file of the kernel's holds; None where there is no such file, or a word such as ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
