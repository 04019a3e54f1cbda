"""``wigwag serve``: how it starts, or does not; an application of one's own; how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from serving import ANYWHERE, LIMIT_S, WIGWAG, ask, environment, run, serving

USER_APP = """
from starlette.applications import Starlette
from wigwag import SocketContext, Sockets

async def opened(ctx: SocketContext) -> None:
    await ctx.subscribe("lobby")
    await ctx.send("welcome")

async def closed(ctx: SocketContext, code: int, reason: str) -> None:
    print("closed", code, sorted(ctx.topics), flush=True)

sockets = Sockets(open=opened, close=closed)
app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_on_a_signal_sockets_are_closed_with_1012_and_it_ends_with_0(sent: signal.Signals) -> None:
    with serving() as service, connect(service.ws) as client:
        ask(client, "room.join", room="lobby")
        code, out, err = service.end(sent)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(LIMIT_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert "ERROR" not in err


@pytest.mark.parametrize(
    ("option", "variable"),
    [("--listen", "WIGWAG_LISTEN"), ("--internal-listen", "WIGWAG_INTERNAL_LISTEN")],
)
def test_an_address_that_is_taken_is_one_line(option: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", *ANYWHERE, option, address)
    assert done.returncode == 1
    expected = f"can't listen on {address}: address already in use; choose another with {option} ({variable})"
    assert done.stderr == f"wigwag: {expected}\n"


def test_a_wrong_variable_is_one_line() -> None:
    done = run("serve", *ANYWHERE, WIGWAG_LINGER_S="soon")
    assert done.returncode == 2
    assert done.stderr == "wigwag: WIGWAG_LINGER_S='soon': it must be a number of seconds of at least 0\n"


def test_open_to_other_machines_only_when_told() -> None:
    done = run("serve", *ANYWHERE, "--listen", "0.0.0.0:0")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    with serving("--listen", "0.0.0.0:0", "--insecure") as insecure:
        assert insecure.get(f"{insecure.public}/")[0] == 200


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    (tmp_path / "chat.py").write_text(USER_APP)
    return tmp_path


def test_an_application_is_served_with_the_internal_api_beside_it(app_dir: Path) -> None:
    with serving("chat:app", cwd=app_dir) as service, connect(service.ws) as client:
        assert client.recv(LIMIT_S) == "welcome"
        assert run("publish", "lobby", "hello", "--url", service.internal).returncode == 0
        assert client.recv(LIMIT_S) == "hello"
        counted = json.loads(service.get(f"{service.internal}/api/topics/lobby")[2])
        assert counted["sockets"] == 1
        code, out, err = service.end()
    assert (code, out) == (0, "closed 1012 ['lobby']\n")
    assert "ERROR" not in err


def test_an_application_that_starts_no_provider_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("from starlette.applications import Starlette\napp = Starlette()\n")
    with serving("plain:app", "--app-dir", str(tmp_path)) as service:
        assert run("publish", "lobby", "hi", "--url", service.internal).returncode == 1
        status, _, body = service.get(f"{service.internal}/readyz")
        code, _, err = service.end()
    assert (status, code) == (503, 0)
    assert b"has started no provider" in body
    assert "WARNING wigwag.service: plain:app has started no provider" in err


@pytest.mark.parametrize(
    ("lifespan", "code", "last"),
    [
        (
            "from wigwag import create_provider; create_provider('pulsar')",
            2,
            r"wigwag: WIGWAG_PROVIDER='pulsar': no such provider",
        ),
        ("raise RuntimeError('no database')", 1, r"wigwag: the application failed as it started"),
    ],
)
def test_an_application_that_fails_as_it_starts(tmp_path: Path, lifespan: str, code: int, last: str) -> None:
    (tmp_path / "failing.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from starlette.applications import Starlette\n"
        "@asynccontextmanager\n"
        "async def lifespan(app):\n"
        f"    {lifespan}\n"
        "    yield\n"
        "app = Starlette(lifespan=lifespan)\n"
    )
    done = run("serve", *ANYWHERE, "failing:app", cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(last)
    assert ("no database" in done.stderr) is (code == 1)
    if code == 2:
        assert done.stderr.count("\n") == 1


HANGING = """
import anyio
from contextlib import asynccontextmanager
from starlette.applications import Starlette

@asynccontextmanager
async def lifespan(app):
    if {at_start}:
        print("starting", flush=True)
        await anyio.sleep_forever()
    yield
    print("stopping", flush=True)
    await anyio.sleep_forever()

app = Starlette(lifespan=lifespan)
"""


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING.format(at_start=False))
    with serving("hanging:app", cwd=tmp_path) as service:
        assert service.process.stdout is not None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.stdout.readline() == "stopping\n"
        code, _, _ = service.end()
    assert code == 130


def test_a_signal_while_the_application_is_imported_ends_it(tmp_path: Path) -> None:
    """By a handler of its own: SIGTERM does nothing to the first process of a container that has none."""
    (tmp_path / "slow.py").write_text("import time; print('importing', flush=True); time.sleep(60)")
    command = [str(WIGWAG), "serve", *ANYWHERE, "slow:app"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.terminate()
        assert process.wait(LIMIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_signal_while_it_starts_ends_it(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING.format(at_start=True))
    command = [str(WIGWAG), "serve", *ANYWHERE, "hanging:app"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        process.terminate()
        assert process.wait(LIMIT_S) == 0
