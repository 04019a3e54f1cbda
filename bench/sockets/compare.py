"""``make bench-compare BASE=rev``: this checkout's wigwag beside a commit's, for a change's author."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sockets.machine import ROOT
from sockets.results import Results

HERE, AGAIN = "here", "here, again"


def git(*words: str) -> str:
    """Raises CalledProcessError where git refuses; what it says is shown."""
    return subprocess.run(
        ["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def base_of(asked: str) -> str:
    """The commit to compare with: the one asked for; else the last, where something is changed; else the one before."""
    if asked:
        return git("rev-parse", "--short", f"{asked}^{{commit}}")
    is_changed = bool(git("status", "--porcelain", "--", "core", "providers"))
    return git("rev-parse", "--short", "HEAD" if is_changed else "HEAD~1")


@contextlib.contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """A work tree of the commit, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="wigwag-base-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


TITLES = {
    "fanout/1 in flight, 128 B": "fan-out, one in flight, µs a delivery",
    "fanout/16 in flight, 128 B": "fan-out, 16 in flight, µs a delivery",
    "echo/one outstanding": "echo, µs a message",
    "echo/16 outstanding": "echo, 16 outstanding, µs a message",
    "echo/typed": "typed request and reply, µs",
    "idle/handshake": "handshake, µs",
    "idle/memory": "memory of an idle connection, bytes",
}


def table(results: Results, base: str) -> str:
    """Medians, the ratio, and beside it what the same code differs by from itself."""
    lines = ["| | base | here | here to base | here to itself |", "|---|---:|---:|---:|---:|"]
    for cell, title in TITLES.items():
        old, new = results.median(cell, base), results.median(cell, HERE)
        ratio, noise = results.ratio(cell, HERE, base), results.ratio(cell, AGAIN, HERE)
        if old is not None and new is not None and ratio is not None and noise is not None:
            lines.append(f"| {title} | {old:.4g} | {new:.4g} | **{ratio:.2f}** | {noise:.2f} |")
    return "\n".join(lines)
