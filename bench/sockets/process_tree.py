"""A process and all that it started: which they are, and how much memory they have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

#: Resident memory now, and the most there ever was, as /proc calls them.
Memory = Literal["VmRSS", "VmHWM"]


def pids_below(root: int) -> list[int]:
    """The process and its descendants that live."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                # The program's name is in brackets, and may hold anything.
                parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def memory_bytes(pids: Sequence[int], which: Memory) -> int:
    """Of all of them together; what they share is counted in each."""
    return sum(_memory_bytes(pid, which) for pid in pids)


def _memory_bytes(pid: int, which: Memory) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    return 0
