"""Workers as one service: what they hear of each other, how connections are shared out, one internal port for all."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from e2e.wire import wait_until
from serving import LIMIT_S, Service, ask, environment, run, serving
from workers.applications import write_chat

JOB = """
import anyio
from wigwag import create_emitter

async def main() -> None:
    async with create_emitter() as emitter:
        await emitter.publish("lobby", "from a job")

anyio.run(main)
"""


@pytest.fixture(scope="module")
def stock() -> Generator[Service]:
    """The stock service with two workers; tests leave it as it was."""
    with serving("--workers", "2") as service:
        yield service


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """``chat:app`` with two workers, whom nobody kills."""
    directory = tmp_path_factory.mktemp("steady")
    write_chat(directory)
    with serving("chat:app", "--workers", "2", cwd=directory) as service:
        yield service


@pytest.fixture
def chat(tmp_path: Path) -> Generator[Service]:
    write_chat(tmp_path)
    with serving("chat:app", "--workers", "2", cwd=tmp_path) as service:
        yield service


@pytest.fixture
def short_path() -> Generator[Path]:
    """Where a socket may be: pytest's own directories have paths that are too long on some systems."""
    with tempfile.TemporaryDirectory(prefix="wigwag-") as directory:
        yield Path(directory) / "hub"


def post(service: Service, path: str, content: object, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{service.internal}{path}", json.dumps(content).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()


def in_room(stack: ExitStack, service: Service, room: str) -> ClientConnection:
    client = stack.enter_context(connect(service.ws))
    ask(client, "room.join", room=room)
    return client


def numbers(service: Service, name: str) -> dict[str, float]:
    """A metric by worker."""
    page = service.get(f"{service.internal}/metrics")[2].decode()
    found = re.findall(rf'^{name}{{(?:.*,)?worker="([^"]+)".*}} ([0-9.e+]+)$', page, re.MULTILINE)
    return {worker: float(value) for worker, value in found}


# Hearing each other


def test_what_is_published_once_every_client_gets_once_in_order(stock: Service) -> None:
    with ExitStack() as stack:
        clients = [in_room(stack, stock, "order") for _ in range(4)]
        assert set(numbers(stock, "wigwag_topics").values()) == {1.0}
        for number in range(20):  # in turn by one worker and the other
            assert post(stock, "/api/publish", {"topic": "order", "text": str(number)})[0] == 202
        for client in clients:
            assert [client.recv(LIMIT_S) for _ in range(20)] == [str(number) for number in range(20)]


def test_what_a_client_publishes_the_clients_of_the_other_worker_get(stock: Service) -> None:
    with ExitStack() as stack:
        clients = [in_room(stack, stock, "both") for _ in range(2)]
        for client in clients:
            client.send(json.dumps({"type": "publish", "data": {"topic": "both", "text": "hi"}}))
        for client in clients:
            assert [client.recv(LIMIT_S) for _ in range(2)] == ["hi", "hi"]


def test_one_socket_is_reached_whichever_worker_is_asked(steady: Service) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(steady.ws)) for _ in range(2)]
        for client in clients:
            client.recv(LIMIT_S)
        counted = json.loads(steady.get(f"{steady.internal}/api/topics/lobby")[2])
        assert counted["sockets"] == 2
        assert [node["sockets"] for node in counted["nodes"]] == [1, 1]
        for _ in range(2):
            assert post(steady, "/api/broadcast", {"text": "all"})[0] == 202
        for client in clients:
            assert [client.recv(LIMIT_S) for _ in range(2)] == ["all", "all"]


def test_another_process_of_the_machine_may_publish_through_the_hub(tmp_path: Path, short_path: Path) -> None:
    write_chat(tmp_path)
    (tmp_path / "job.py").write_text(JOB)
    hub = {"WIGWAG_LOCAL_PATH": str(short_path)}
    with (
        serving("chat:app", "--workers", "2", cwd=tmp_path, **hub) as service,
        connect(service.ws) as client,
    ):
        client.recv(LIMIT_S)
        job = [sys.executable, "job.py"]
        subprocess.run(
            job, cwd=tmp_path, env=environment(WIGWAG_PROVIDER="local", **hub), timeout=LIMIT_S, check=True
        )
        assert client.recv(LIMIT_S) == "from a job"


# Connections


def test_connections_are_shared_out_evenly_and_again_after_a_worker_died(chat: Service) -> None:
    with ExitStack() as stack:
        met: list[tuple[ClientConnection, str]] = []

        def come(count: int) -> None:
            for _ in range(count):
                client = stack.enter_context(connect(chat.ws))
                met.append((client, str(client.recv(LIMIT_S)).split()[0]))

        come(20)
        assert sorted(Counter(pid for _, pid in met).values()) == [10, 10]
        wait_until(
            lambda: numbers(chat, "wigwag_connections") == {"1": 10.0, "2": 10.0},
            "the numbers say so",
            LIMIT_S,
        )
        dead = met[0][1]
        os.kill(int(dead), signal.SIGKILL)
        wait_until(
            lambda: numbers(chat, "wigwag_connections") == {"1": 0.0, "2": 10.0}, "another one", LIMIT_S
        )
        met = [(client, pid) for client, pid in met if pid != dead]
        come(10)
        assert sorted(Counter(pid for _, pid in met).values()) == [10, 10]


def test_a_burst_is_shared_out_too_and_nobody_is_refused(steady: Service) -> None:
    address = steady.public.removeprefix("http://").split(":")
    with ExitStack() as stack:
        links = []
        for _ in range(300):
            links.append(
                stack.enter_context(socket.create_connection((address[0], int(address[1])), LIMIT_S))
            )
        for link in links:
            link.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert all(link.recv(12) == b"HTTP/1.1 404" for link in links)
    wait_until(lambda: set(numbers(steady, "wigwag_connections").values()) == {0.0}, "all are gone", LIMIT_S)


def test_a_worker_that_hangs_gets_few_and_loses_none(chat: Service) -> None:
    """What it was handed and has not taken goes to the others when it ends."""
    with ExitStack() as stack:
        pids = {str(stack.enter_context(connect(chat.ws)).recv(LIMIT_S)).split()[0] for _ in range(2)}
        hanging = int(pids.pop())
        os.kill(hanging, signal.SIGSTOP)
        said: list[str] = []

        def come() -> None:
            with connect(chat.ws, open_timeout=LIMIT_S) as client:
                said.append(str(client.recv(LIMIT_S)).split()[0])

        threads = [threading.Thread(target=come) for _ in range(20)]
        for thread in threads:
            thread.start()
        wait_until(lambda: said, "the other one serves", LIMIT_S)
        assert b"it does not answer" in chat.get(f"{chat.internal}/readyz")[2]
        os.kill(hanging, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert len(said) == 20


# The internal port


def test_it_is_ready_when_each_worker_that_takes_connections_is(steady: Service) -> None:
    assert steady.get(f"{steady.internal}/readyz")[::2] == (200, b'{"ready":true}')
    assert steady.get(f"{steady.internal}/livez")[0] == 200


def test_health_stays_while_a_worker_is_replaced(chat: Service) -> None:
    with connect(chat.ws) as client:
        client.recv(LIMIT_S)
        client.send("die")
        restarts = b"wigwag_worker_restarts_total 1.0"
        while restarts not in chat.get(f"{chat.internal}/metrics")[2]:
            status, _, body = chat.get(f"{chat.internal}/readyz")
            assert status == 200 or b"no worker" not in body


def test_the_numbers_are_each_workers_and_the_supervisors(stock: Service) -> None:
    page = stock.get(f"{stock.internal}/metrics")[2].decode()
    assert page.count("# TYPE wigwag_connections gauge") == 1
    assert set(numbers(stock, "wigwag_broker_up")) == {"1", "2"}
    assert set(numbers(stock, "process_resident_memory_bytes")) == {"1", "2", "supervisor"}
    assert "wigwag_workers 2.0" in page
    assert "wigwag_hub_processes 2.0" in page
    assert re.search(r"^wigwag_hub_messages_total [1-9]", page, re.MULTILINE)
    request = urllib.request.Request(
        f"{stock.internal}/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/api/publish", {"topic": "__x", "text": "hi"}, 400, b"$.topic"),
        ("/api/publish", {"topic": "a", "text": "x" * 5_000_000}, 413, b"the body is larger than"),
        ("/api/nowhere", {}, 404, b"Not Found"),
        ("/nowhere", {}, 404, b"Not Found"),
        ("/readyz", {}, 405, b"Method Not Allowed"),
    ],
)
def test_what_is_wrong_is_answered_as_by_one_process(
    stock: Service, path: str, content: object, status: int, said: bytes
) -> None:
    answer = post(stock, path, content)
    assert answer[0] == status
    assert said in answer[1]


def test_a_web_page_is_refused_as_by_one_process(stock: Service) -> None:
    content = {"topic": "lobby", "text": "hi"}
    assert post(stock, "/api/publish", content, origin="http://evil.example")[0] == 403


def test_the_key_is_asked_for(tmp_path: Path) -> None:
    with serving("--workers", "1", WIGWAG_API_KEY="secret") as service:
        content = {"topic": "lobby", "text": "hi"}
        assert post(service, "/api/publish", content)[0] == 401
        assert post(service, "/api/publish", content, authorization="Bearer secret")[0] == 202
        assert run("publish", "lobby", "hi", "--url", service.internal, "--key", "secret").returncode == 0


def test_with_a_broker_of_ones_own_there_is_no_hub(tmp_path: Path) -> None:
    write_chat(tmp_path)
    (tmp_path / "nothing.py").write_text("from starlette.applications import Starlette\napp = Starlette()\n")
    with serving("nothing:app", "--workers", "1", cwd=tmp_path, WIGWAG_PROVIDER="redis") as service:
        assert "wigwag_hub" not in service.get(f"{service.internal}/metrics")[2].decode()
        assert service.get(f"{service.internal}/readyz")[0] == 503
        assert "nothing:app has started no provider" in service.end()[2]
