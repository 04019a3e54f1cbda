"""Several processes of other servers, with a provider that reaches one: each says so as it starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving import LIMIT_S, environment

APP = """
import sys
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from wigwag import Sockets, create_provider

sockets = Sockets(create_provider("memory"))

@asynccontextmanager
async def lifespan(app):
    async with sockets.lifespan(app) as state:
        print("started", file=sys.stderr, flush=True)
        yield state

app = Starlette(routes=[sockets.route("/ws")], lifespan=lifespan)
"""
WARNING = "runs 2 processes, and the provider 'memory' reaches the sockets of its own process only"
FREE = "127.0.0.1:0"


@contextmanager
def started(directory: Path, command: tuple[str, ...]) -> Generator[list[str]]:
    """What a server has said when each of its processes has started the application."""
    (directory / "one.py").write_text(APP)
    processes = 2 if "2" in command else 1
    program = (sys.executable, "-m", *command)
    with subprocess.Popen(
        program, cwd=directory, env=environment(), stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        lines: list[str] = []
        try:
            while lines.count("started\n") < processes:
                line = server.stderr.readline()
                assert line, "".join(lines)
                lines.append(line)
            yield lines
        finally:
            server.terminate()
            server.stderr.read()
            server.wait(LIMIT_S)


UVICORN = ("uvicorn", "one:app", "--port", "0")
GUNICORN = ("gunicorn", "one:app", "--bind", FREE, "--worker-class")
HYPERCORN = ("hypercorn", "one:app", "--bind", FREE)
WIGWAG = ("wigwag", "serve", "one:app", "--listen", FREE, "--internal-listen", FREE)


@pytest.mark.parametrize(
    ("command", "server"),
    [
        ((*UVICORN, "--workers", "2"), "uvicorn"),
        ((*GUNICORN, "uvicorn_worker.UvicornWorker", "--workers", "2"), "gunicorn"),
        ((*GUNICORN, "asgi", "--workers", "2"), "gunicorn"),
        ((*HYPERCORN, "--workers", "2"), "hypercorn"),
        ((*HYPERCORN, "--workers", "2", "--worker-class", "trio"), "hypercorn"),
        ((*WIGWAG, "--workers", "2"), "wigwag"),
    ],
)
def test_each_of_several_processes_warns_that_they_do_not_hear_each_other(
    tmp_path: Path, command: tuple[str, ...], server: str
) -> None:
    with started(tmp_path, command) as lines:
        warned = [line for line in lines if f"{server} {WARNING}" in line]
        assert len(warned) == 2
        assert "`wigwag serve --workers 2`" in warned[0]


@pytest.mark.parametrize(
    "command",
    [
        UVICORN,
        (*UVICORN, "--reload"),  # a process of its own, and the only one
        (*GUNICORN, "uvicorn_worker.UvicornWorker"),
    ],
)
def test_one_process_does_not(tmp_path: Path, command: tuple[str, ...]) -> None:
    with started(tmp_path, command) as lines:
        assert "reaches the sockets" not in "".join(lines)
