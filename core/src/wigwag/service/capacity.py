"""How many connections a process has room for: each is an open file."""

from __future__ import annotations

import logging
from typing import Final

from wigwag.settings import ServiceSettings

logger: logging.Logger = logging.getLogger("wigwag.service")

#: For what is no client: libraries, the broker, the internal port, files that are read.
_OWN_FILES: Final = 128
#: The most connections that may be open beside sockets: those that have not asked yet, and plain requests.
_MOST_SPARE: Final = 1024
#: No more are asked for than any process needs.
_MOST_FILES: Final = 1 << 20


def raise_file_limit() -> int | None:
    """Let the process open as many files as it may, and return how many; None where that is not to be known.

    The soft limit, often 1024, is for programs that use ``select``; this one does not.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a lower limit than it says
            wanted = soft
    else:
        wanted = _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return wanted


def room_in(files: int) -> tuple[int, int]:
    """How many sockets a process has room for that may open so many files, and how many connections beside them."""
    spare = min(_MOST_SPARE, max(16, files // 8))
    return max(1, files - spare - _OWN_FILES), spare


def files_for(sockets: int) -> int:
    """How many files a process must be able to open for so many sockets."""
    return sockets + _MOST_SPARE + _OWN_FILES


def capacity(settings: ServiceSettings, files: int | None) -> tuple[int | None, int]:
    """How many sockets may be open, and how many connections beside them; None for the first: there is no limit."""
    if files is None:
        return settings.max_connections, _MOST_SPARE
    room, spare = room_in(files)
    wanted = settings.max_connections
    if wanted is not None and wanted > room:
        logger.warning(
            "WIGWAG_MAX_CONNECTIONS=%d, and there is room for %d: the process may open %d files (ulimit -n)",
            wanted,
            room,
            files,
        )
    return room if wanted is None else min(wanted, room), spare
