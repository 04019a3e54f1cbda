"""``wigwag serve --workers``: workers that end, are ended, reloaded, and cannot start."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from e2e.wire import wait_until
from serving import ANYWHERE, LIMIT_S, WIGWAG, Service, environment, run, serving
from workers.applications import write_chat, write_failing


@pytest.fixture
def chat(tmp_path: Path) -> Generator[Service]:
    write_chat(tmp_path)
    with serving("chat:app", "--workers", "2", cwd=tmp_path) as service:
        yield service


@contextlib.contextmanager
def joined(service: Service) -> Generator[tuple[ClientConnection, int, int]]:
    """A client in the lobby, and the process and the version that it met."""
    with connect(service.ws) as client:
        pid, version = str(client.recv(LIMIT_S)).split()
        yield client, int(pid), int(version)


@contextlib.contextmanager
def two_on_two(service: Service) -> Generator[tuple[ClientConnection, int, ClientConnection, int]]:
    """Two clients, each on a worker of its own."""
    with joined(service) as (one, first, _), joined(service) as (two, second, _):
        assert first != second
        yield one, first, two, second


def now_serving(service: Service) -> int:
    """The process that serves who comes now."""
    with joined(service) as (_, pid, _):
        return pid


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def close_code(client: ClientConnection) -> int | None:
    """How a connection ended; None where it was cut."""
    while True:
        try:
            client.recv(LIMIT_S)
        except ConnectionClosed as exc:
            return None if exc.rcvd is None else exc.rcvd.code


# Ending by itself


def test_a_worker_that_dies_is_replaced_and_the_others_notice_nothing(chat: Service) -> None:
    with two_on_two(chat) as (one, first, two, second):
        one.send("die")
        assert close_code(one) is None
        two.send("still here")
        assert two.recv(LIMIT_S) == "still here"
        with contextlib.ExitStack() as stack:
            again, pid, _ = stack.enter_context(joined(chat))
            while pid == second:  # the new one has the fewest connections as soon as it takes some
                again, pid, _ = stack.enter_context(joined(chat))
            two.send("hello")
            assert (two.recv(LIMIT_S), again.recv(LIMIT_S)) == ("hello", "hello")
        page = chat.get(f"{chat.internal}/metrics")[2]
        assert b"wigwag_worker_restarts_total 1.0" in page
        code, _, err = chat.end()
    assert code == 0
    assert (
        f"ERROR wigwag.service: worker 1 (pid {first}) ended: it ended with exit code 7; another one starts"
        in err
    )


def test_connections_wait_while_no_worker_is_there(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with serving("chat:app", "--workers", "1", cwd=tmp_path) as service:
        with joined(service) as (client, pid, _):
            client.send("die")
            assert close_code(client) is None
        with joined(service) as (_, other, _):
            assert other != pid


def test_a_worker_that_somebody_else_ends_closes_its_sockets_as_a_server_does(chat: Service) -> None:
    with two_on_two(chat) as (one, first, two, _):
        os.kill(first, signal.SIGTERM)
        assert close_code(one) == 1012
        with joined(chat) as (again, other, _):
            assert other != first
            two.send("hello")
            assert again.recv(LIMIT_S) == "hello"


def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with (
        serving("chat:app", "--workers", "2", cwd=tmp_path, WIGWAG_WORKER_TIMEOUT_S="1") as service,
        two_on_two(service) as (one, first, two, second),
    ):
        os.kill(first, signal.SIGSTOP)
        assert close_code(one) is None
        wait_until(lambda: is_gone(first), "it is gone", LIMIT_S)
        wait_until(
            lambda: b"restarts_total 1.0" in service.get(f"{service.internal}/metrics")[2], "another", LIMIT_S
        )
        two.send("still here")
        assert two.recv(LIMIT_S) == "still here"
        assert not is_gone(second)
        code, _, err = service.end()
    assert code == 0
    assert (
        f"worker 1 (pid {first}) was silent for 1 s (WIGWAG_WORKER_TIMEOUT_S), its event loop blocked" in err
    )


def test_a_crash_loop_ends_the_whole_and_says_why(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with serving("chat:app", "--workers", "1", cwd=tmp_path) as service:
        assert service.process.stderr is not None
        for _ in range(5):
            with joined(service) as (client, _, _):
                client.send("die")
                close_code(client)
        err = service.process.stderr.read()
        assert service.process.wait(LIMIT_S) == 1
    assert err.splitlines()[-1] == (
        "wigwag: worker 1 ended 5 times in a row, each within 30 s of its start; the last time: "
        "it ended with exit code 7"
    )


# Being ended


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_on_a_signal_all_sockets_are_closed_with_1012_and_nothing_is_left(
    chat: Service, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_on_two(chat) as (one, first, two, second):
        code, out, err = chat.end(sent)
        assert (close_code(one), close_code(two)) == (1012, 1012)
    assert (code, out) == (0, "")
    assert "ERROR" not in err
    assert "Traceback" not in err
    assert is_gone(first)
    assert is_gone(second)


def test_ctrl_c_while_workers_are_being_started_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import json, socket, sys\n"
        "if 'wigwag.service.workers' in sys.orig_argv:\n"
        "    print('starting', flush=True)\n"
        "    control = json.loads(sys.orig_argv[-1])['control_fd']\n"
        "    socket.socket(fileno=control).recv(1)  # until it is killed, or the supervisor is no more\n"
    )
    command = [str(WIGWAG), "serve", *ANYWHERE, "--workers", "2"]
    with subprocess.Popen(
        command,
        env=environment(PYTHONPATH=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_directory_of_the_hub_is_removed(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="wigwag-") as directory:
        with serving("--workers", "1", TMPDIR=directory) as service:
            (made,) = Path(directory).iterdir()
            assert made.stat().st_mode & 0o077 == 0
            assert service.end()[0] == 0
        assert not list(Path(directory).iterdir())


def test_a_worker_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with (
        serving(
            "chat:app",
            "--workers",
            "2",
            cwd=tmp_path,
            WIGWAG_DRAIN_TIMEOUT_S="0.5",
            WIGWAG_STOP_TIMEOUT_S="0.5",
            WIGWAG_WORKER_STOP_TIMEOUT_S="2",
        ) as service,
        two_on_two(service) as (_, first, two, _),
    ):
        os.kill(first, signal.SIGSTOP)
        code, _, err = service.end()
        assert close_code(two) == 1012
    assert code == 0
    assert (
        f"worker 1 (pid {first}) did not end within 2 s (WIGWAG_WORKER_STOP_TIMEOUT_S): it is killed" in err
    )
    assert is_gone(first)


def test_a_second_signal_ends_all_at_once(chat: Service) -> None:
    with two_on_two(chat) as (_, first, _, second):
        os.kill(first, signal.SIGSTOP)
        chat.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_gone(second), "the other has ended", LIMIT_S)
        code, _, _ = chat.end()
    assert code == 130
    assert is_gone(first)


def test_workers_end_when_the_supervisor_is_killed(chat: Service) -> None:
    with two_on_two(chat) as (one, first, two, second):
        chat.process.kill()
        assert (close_code(one), close_code(two)) == (1012, 1012)
        wait_until(lambda: is_gone(first) and is_gone(second), "both have ended", LIMIT_S)


def test_it_ends_when_its_terminal_is_closed(tmp_path: Path) -> None:
    """SIGHUP, which asks a server without a terminal to reload."""
    write_chat(tmp_path)
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", str(WIGWAG), "serve", *ANYWHERE, "chat:app", "--workers", "1"]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
    ) as process:
        os.close(theirs)
        service = Service(process)
        with joined(service) as (client, pid, _):
            os.close(ours)
            assert close_code(client) == 1012
        assert process.wait(LIMIT_S) == 0
        assert is_gone(pid)


# Reloading


def test_who_has_connected_before_a_reload_may_ask_in_the_midst_of_it(tmp_path: Path) -> None:
    """It was handed to a worker that is replaced meanwhile: there is no other one for it."""
    write_chat(tmp_path)
    patient = {"WIGWAG_DRAIN_PER_S": "1", "WIGWAG_HANDSHAKE_TIMEOUT_S": "60"}
    with (
        serving("chat:app", "--workers", "1", cwd=tmp_path, **patient) as service,
        joined(service) as (_, old, _),
        joined(service),
        joined(service),
        socket.create_connection(("127.0.0.1", urlsplit(service.ws).port)) as silent,
    ):
        with joined(service) as (
            _,
            pid,
            _,
        ):  # who comes later is served later: the silent one is there by now
            assert pid == old
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: now_serving(service) != old, "another worker serves", LIMIT_S)
        with connect(service.ws, sock=silent) as client:
            assert int(str(client.recv(LIMIT_S)).split()[0]) == old
            assert close_code(client) == 1012


def test_who_has_connected_before_a_reload_has_time_to_ask_though_all_others_have_gone(
    tmp_path: Path,
) -> None:
    write_chat(tmp_path)
    with (
        serving("chat:app", "--workers", "1", cwd=tmp_path, WIGWAG_HANDSHAKE_TIMEOUT_S="60") as service,
        socket.create_connection(("127.0.0.1", urlsplit(service.ws).port), LIMIT_S) as silent,
    ):
        now_serving(service)  # who comes later is served later: the silent one is there by now
        service.process.send_signal(signal.SIGHUP)
        assert silent.recv(1) == b""
        cut_at = time.time()
        _, _, err = service.end()
    said = next(line for line in err.splitlines() if "drained: 0 sockets are left" in line)
    drained_at = datetime.strptime(said[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()  # noqa: DTZ007 - logs are local
    assert cut_at - drained_at >= 0.9  # a machine that is slow makes it longer


def test_a_handshake_that_is_under_way_as_a_reload_comes_to_its_worker_is_finished(tmp_path: Path) -> None:
    write_chat(tmp_path, upgrade_s=5)
    with serving("chat:app", "--workers", "1", cwd=tmp_path) as service:
        service.process.send_signal(signal.SIGHUP)
        # Another worker serves before the handshake is over, unless this machine is slow.
        with connect(service.ws, open_timeout=LIMIT_S) as client:
            assert close_code(client) == 1012


def test_on_sighup_each_worker_in_turn_is_replaced_and_every_connection_is_served(
    chat: Service, tmp_path: Path
) -> None:
    with two_on_two(chat) as (one, first, two, second):
        write_chat(tmp_path, version=2)
        over, refused, versions = threading.Event(), [], set()

        def come_and_go() -> None:
            while not over.is_set():
                try:
                    with joined(chat) as (_, _, version):
                        versions.add(version)
                except (OSError, ConnectionClosed) as exc:
                    # Who comes as a worker begins to finish is told to come again.
                    if getattr(getattr(exc, "rcvd", None), "code", None) != 1012:
                        refused.append(exc)

        coming = threading.Thread(target=come_and_go)
        coming.start()
        try:
            chat.process.send_signal(signal.SIGHUP)
            assert close_code(one) == 1012
            assert not is_gone(second)
            assert close_code(two) == 1012
            wait_until(lambda: is_gone(first) and is_gone(second), "both are replaced", LIMIT_S)
        finally:
            over.set()
            coming.join()
    assert not refused
    assert versions == {1, 2}
    with joined(chat) as (_, _, version):
        assert version == 2
    code, _, err = chat.end()
    assert code == 0
    assert "INFO wigwag.service: reloaded" in err
    assert "ERROR" not in err


def test_a_reload_that_cannot_start_is_given_up_and_nobody_notices(chat: Service, tmp_path: Path) -> None:
    with two_on_two(chat) as (one, _, two, _):
        (tmp_path / "chat.py").write_text("raise RuntimeError('a mistake')")
        chat.process.send_signal(signal.SIGHUP)
        assert chat.process.stderr is not None
        for line in chat.process.stderr:
            if "the reload was given up" in line:
                break
        assert "a new worker 1 did not start: chat:app can't be imported: RuntimeError: a mistake" in line
        one.send("hello")
        assert (one.recv(LIMIT_S), two.recv(LIMIT_S)) == ("hello", "hello")
        write_chat(tmp_path, version=2)
        chat.process.send_signal(signal.SIGHUP)
        assert (close_code(one), close_code(two)) == (1012, 1012)


def test_a_reload_goes_no_further_once_all_are_to_end(tmp_path: Path) -> None:
    """A worker that started meanwhile would take clients, be told of no drain, and be killed with them."""
    write_chat(tmp_path)
    serves = serving("chat:app", "--workers", "2", cwd=tmp_path, WIGWAG_DRAIN_DELAY_S="4")
    with serves as chat, two_on_two(chat) as (one, first, two, second):
        write_chat(tmp_path, version=2)
        chat.process.send_signal(signal.SIGHUP)
        assert chat.process.stderr is not None
        assert any("reloading" in line for line in chat.process.stderr)
        chat.process.terminate()
        while chat.process.poll() is None:
            with contextlib.suppress(OSError, WebSocketException), joined(chat) as (late, pid, version):
                assert (pid in (first, second), version) == (True, 1)
                assert close_code(late) == 1012
        assert (close_code(one), close_code(two)) == (1012, 1012)
        assert chat.process.returncode == 0


# Not starting


@pytest.mark.parametrize(
    ("statement", "code", "last"),
    [
        (
            "from wigwag import create_provider; create_provider('pulsar')",
            2,
            "wigwag: WIGWAG_PROVIDER='pulsar': no such provider",
        ),
        ("raise RuntimeError('no database')", 1, "wigwag: the application failed as it started"),
        ("os._exit(3)", 1, "wigwag: worker 1 (pid "),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "wigwag: worker 1 (pid "),
    ],
)
def test_what_is_wrong_with_an_application_is_said_once(
    tmp_path: Path, statement: str, code: int, last: str
) -> None:
    write_failing(tmp_path, statement)
    done = run("serve", *ANYWHERE, "failing:app", "--workers", "2", cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(last)
    assert done.stderr.count("Traceback") == (1 if "no database" in statement else 0)
    assert not ("os." in statement and "did not start: it " not in done.stderr)


def test_a_signal_while_workers_start_ends_it(tmp_path: Path) -> None:
    write_failing(tmp_path, "import anyio; print('starting', flush=True); await anyio.sleep_forever()")
    command = [str(WIGWAG), "serve", *ANYWHERE, "failing:app", "--workers", "2"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        process.terminate()
        assert process.wait(LIMIT_S) == 0
