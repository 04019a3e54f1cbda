"""Whether this process is one of several that a server runs, for a provider that reaches one process only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final, NamedTuple


class Siblings(NamedTuple):
    """The server that runs them, and how many they are."""

    server: str
    processes: int


Locals = Mapping[str, Any]

#: The functions in which a server's process runs, from its start to its end, by module and name; and how many
#: there are, by what stands in them.  Environment and arguments say less: a number may come from the server's own
#: file, and uvicorn's ``--reload`` runs the application in a process of its own too.
_RUNS: Final[Mapping[tuple[str, str], tuple[str, Callable[[Locals], Any]]]] = {
    ("uvicorn._subprocess", "subprocess_started"): ("uvicorn", lambda found: found["config"].workers),
    ("gunicorn.arbiter", "spawn_worker"): ("gunicorn", lambda found: found["self"].num_workers),
    ("hypercorn.asyncio.run", "asyncio_worker"): ("hypercorn", lambda found: found["config"].workers),
    ("hypercorn.asyncio.run", "uvloop_worker"): ("hypercorn", lambda found: found["config"].workers),
    ("hypercorn.trio.run", "trio_worker"): ("hypercorn", lambda found: found["config"].workers),
    ("wigwag.service.workers.worker", "run_worker"): ("wigwag", lambda found: found["spec"].workers),
}


def siblings() -> Siblings | None:
    """Who runs this process beside others of its kind; None where nobody does that is known."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        run = _RUNS.get((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        if run is not None:
            return _of(*run, frame.f_locals)
        frame = frame.f_back
    return None


def _of(server: str, count: Callable[[Locals], Any], found: Locals) -> Siblings | None:
    try:
        number = int(count(found))
    except (LookupError, AttributeError, TypeError, ValueError):  # of a version that is built otherwise
        return None
    return Siblings(server, number) if number > 1 else None
