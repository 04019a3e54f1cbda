"""SIGTERM, or ``POST /api/drain``, with thousands connected: who is closed when, and that nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from drain.crowd import Member, ahead, all_gone, gather, histogram
from e2e.wire import wait_until
from servers.redis import RedisServer
from serving import ANYWHERE, LIMIT_S, Service, ask, run, serving
from wigwag.testing.contract.checks import until
from workers.applications import write_chat

pytestmark = pytest.mark.anyio

SOCKETS = 2000
PER_S = 1000
MANY = {"WIGWAG_HANDSHAKES_PER_S": "10000", "WIGWAG_DRAIN_PER_S": str(PER_S)}


class Publisher:
    """Publishes numbers to the lobby over HTTP, all the time, and notes what it is answered."""

    def __init__(self, service: Service) -> None:
        self._url = f"{service.internal}/api/publish"
        #: The numbers that were accepted, the statuses of the others, and when.
        self.accepted: list[tuple[int, float]] = []
        self.refused: list[tuple[int, float]] = []

    @asynccontextmanager
    async def publishing(self) -> AsyncGenerator[None]:
        async with httpx.AsyncClient(timeout=LIMIT_S) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(self._run, client)
            yield
            tasks.cancel_scope.cancel()

    async def _run(self, client: httpx.AsyncClient) -> None:
        for number in range(100_000):
            try:
                answer = await client.post(self._url, json={"topic": "lobby", "text": str(number)})
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):  # the process has ended
                return
            now = asyncio.get_running_loop().time()
            if answer.status_code == 202:
                self.accepted.append((number, now))
            else:
                self.refused.append((answer.status_code, now))
            await anyio.sleep(0.02)


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what it said."""
    assert process.stderr is not None
    err = await anyio.to_thread.run_sync(process.stderr.read)
    return await anyio.to_thread.run_sync(process.wait), err


def check_paced(members: list[Member], since: float) -> None:
    """No sooner than at the pace, which begins at that moment or later."""
    assert {member.code for member in members} == {1012}
    moments = [member.closed_at for member in members if member.closed_at is not None]
    assert ahead(moments, since, PER_S) < 0.1 * PER_S, histogram(moments, 0.25)


def check_nothing_missed(members: list[Member], publisher: Publisher) -> None:
    """Each got every message from its first to the last that was published before it was closed."""
    for member in members:
        numbers = [int(text) for text in member.heard]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert member.closed_at is not None
        due = [0, *(number for number, at in publisher.accepted if at < member.closed_at - 0.5)]
        assert numbers[-1] >= due[-1]


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
async def test_2000_sockets_are_closed_at_a_pace_and_the_rest_get_their_messages(
    arguments: tuple[str, ...],
) -> None:
    with serving(*arguments, cwd=None, **MANY) as service:
        members = await gather(service.ws, "lobby", SOCKETS)
        publisher = Publisher(service)
        async with publisher.publishing():
            await until(lambda: len(publisher.accepted) >= 3, LIMIT_S, "it publishes")
            sent_at = anyio.current_time()
            service.process.send_signal(signal.SIGTERM)
            await all_gone(members)
            code, err = await ended(service.process)
    assert code == 0
    assert "ERROR" not in err
    assert "Traceback" not in err
    check_paced(members, sent_at)
    check_nothing_missed(members, publisher)
    # When the last socket has gone the broker session ends, and then the internal port.
    assert {status for status, _ in publisher.refused} <= {503, 504}
    last_at = max(member.closed_at or 0 for member in members)
    assert all(at > last_at - 0.1 for _, at in publisher.refused)


@pytest.mark.needs("redis-server")
async def test_on_redis_what_clients_send_as_they_are_closed_reaches_the_other_replica(
    redis: RedisServer,
) -> None:
    delay_s = 0.5
    variables = {
        "WIGWAG_PROVIDER": "redis",
        "WIGWAG_REDIS_URL": redis.url,
        **MANY,
        "WIGWAG_DRAIN_DELAY_S": str(delay_s),
    }
    with serving(cwd=None, **variables) as service, serving(cwd=None, **variables) as other:
        members = await gather(service.ws, "lobby", SOCKETS, last_words="last")
        (listener,) = await gather(other.ws, "last", 1)
        publisher = Publisher(other)
        async with publisher.publishing():
            await until(lambda: len(publisher.accepted) >= 3, LIMIT_S, "it publishes")
            sent_at = anyio.current_time()
            service.process.send_signal(signal.SIGTERM)
            await all_gone(members)
            code, _ = await ended(service.process)
        await until(lambda: len(listener.heard) >= SOCKETS, LIMIT_S, "the last words")
        listener.leave()
    assert code == 0
    check_paced(members, sent_at + delay_s)
    check_nothing_missed(members, publisher)
    assert listener.heard == ["last words"] * SOCKETS


# What it is like meanwhile


@pytest.fixture(params=[(), ("--workers", "2")])
def slow(request: pytest.FixtureRequest) -> Generator[Service]:
    """A service that takes its time: a delay, then two sockets a second."""
    with serving(*request.param, WIGWAG_DRAIN_DELAY_S="1", WIGWAG_DRAIN_PER_S="2") as service:
        yield service


def post(service: Service, path: str, content: Any) -> httpx.Response:
    return httpx.post(f"{service.internal}{path}", json=content, timeout=LIMIT_S)


def is_draining(service: Service) -> bool:
    status, _, body = service.get(f"{service.internal}/readyz")
    return status == 503 and b"draining" in body


def test_over_http_it_is_the_same_and_once_is_as_good_as_twice(slow: Service) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(slow.ws)) for _ in range(4)]
        answers = [post(slow, "/api/drain", {}) for _ in range(2)]
        assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"draining": True})] * 2
        # It says so, and all goes on.
        assert is_draining(slow)
        metrics = slow.get(f"{slow.internal}/metrics")[2].decode()
        assert [
            line
            for line in metrics.splitlines()
            if line.startswith("wigwag_draining") and line.endswith(" 1.0")
        ]
        with connect(slow.ws) as late:
            ask(late, "room.join", room="lobby")
            assert post(slow, "/api/publish", {"topic": "lobby", "text": "hi"}).status_code == 202
            assert late.recv(LIMIT_S) == "hi"
        # The first is closed; who comes now is told to go elsewhere, and the rest are still served.
        closed = next(client for client in _as_they_close(clients))
        assert closed.close_code == 1012
        refused = httpx.get(f"{slow.public}/ws", headers=HANDSHAKE, timeout=LIMIT_S)
        assert (refused.status_code, refused.text) == (503, "this replica is going away\n")
        assert refused.headers["retry-after"]
        page = httpx.get(f"{slow.public}/", timeout=LIMIT_S)
        assert (page.status_code, page.headers["connection"]) == (200, "close")
        left = [client for client in clients if client is not closed]
        last = left[-1]
        try:
            ask(last, "room.join", room="lobby")
            assert post(slow, "/api/publish", {"topic": "lobby", "text": "still"}).status_code == 202
            assert last.recv(LIMIT_S) == "still"
        except ConnectionClosed:  # its turn came meanwhile
            assert last.close_code == 1012
        for client in left:
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(LIMIT_S)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        assert slow.process.wait(LIMIT_S) == 0


HANDSHAKE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def _as_they_close(clients: list[Any]) -> Generator[Any]:
    while True:
        for client in clients:
            try:
                client.recv(0.02)
            except TimeoutError:
                pass
            except ConnectionClosed:
                yield client


def test_a_signal_after_that_changes_nothing_and_a_second_one_ends_it_at_once(slow: Service) -> None:
    with connect(slow.ws) as client:
        assert post(slow, "/api/drain", {}).status_code == 202
        slow.process.send_signal(signal.SIGTERM)
        ask(client, "room.join", room="lobby")
        slow.process.send_signal(signal.SIGTERM)
        assert slow.process.wait(LIMIT_S) == 130


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_ctrl_c_leaves_the_delay_out(arguments: tuple[str, ...]) -> None:
    with serving(*arguments, WIGWAG_DRAIN_DELAY_S="60") as service, connect(service.ws):
        assert post(service, "/api/drain", {}).status_code == 202
        code, _, _ = service.end(signal.SIGINT)
    assert code == 0


def test_who_does_not_answer_the_close_does_not_hold_it(tmp_path: Path) -> None:
    with serving(WIGWAG_DRAIN_TIMEOUT_S="1") as service, connect(service.ws, close_timeout=0.1) as client:
        ask(client, "room.join", room="lobby")
        client.protocol.receive_data = lambda data: None  # type: ignore[method-assign] # it reads nothing any more
        code, _, err = service.end()
    assert code == 0
    assert "Traceback" not in err


@pytest.mark.needs("redis-server")
def test_a_publish_on_its_way_to_a_broker_that_is_slow_is_answered_truthfully(redis: RedisServer) -> None:
    variables = {"WIGWAG_PROVIDER": "redis", "WIGWAG_REDIS_URL": redis.url}
    with ExitStack() as stack:
        service, other = (stack.enter_context(serving(cwd=None, **variables)) for _ in range(2))
        for each in (service, other):
            wait_until(lambda url=each.internal: is_ready(url), "it is ready", LIMIT_S)  # type: ignore[misc]
        listener = stack.enter_context(connect(other.ws))
        ask(listener, "room.join", room="lobby")
        redis.pause()
        with httpx.Client(timeout=LIMIT_S) as client:
            answers: list[httpx.Response] = []
            content = {"topic": "lobby", "text": "hi"}
            asking = threading.Thread(
                target=lambda: answers.append(client.post(f"{service.internal}/api/publish", json=content))
            )
            asking.start()
            wait_until(lambda: asking.is_alive(), "it asks", LIMIT_S)
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not _listens(service), "the public port is closed", LIMIT_S)
            redis.resume()
            asking.join(LIMIT_S)
        assert answers[0].status_code == 202
        assert listener.recv(LIMIT_S) == "hi"
        assert service.process.wait(LIMIT_S) == 0


def is_ready(internal: str) -> bool:
    return httpx.get(f"{internal}/readyz", timeout=LIMIT_S).status_code == 200


def _listens(service: Service) -> bool:
    try:
        httpx.get(f"{service.public}/", timeout=LIMIT_S)
    except (httpx.ConnectError, httpx.RemoteProtocolError):
        return False
    return True


# Workers


def test_a_reload_closes_one_workers_sockets_at_the_pace(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with (
        serving(
            "chat:app", "--workers", "2", cwd=tmp_path, WIGWAG_DRAIN_PER_S="20", WIGWAG_DRAIN_DELAY_S="60"
        ) as service,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(connect(service.ws)) for _ in range(20)]
        pids = [int(str(client.recv(LIMIT_S)).split()[0]) for client in clients]
        service.process.send_signal(signal.SIGHUP)
        order = []
        for client in _as_they_close(clients):
            if client not in order:
                order.append(client)
            if len(order) == len(clients):
                break
        of = dict(zip(clients, pids, strict=True))
        first = of[order[0]]
        assert [of[client] == first for client in order] == [True] * 10 + [False] * 10
        assert json.loads(service.get(f"{service.internal}/readyz")[2]) == {"ready": True}


def test_too_little_time_for_workers_is_said_at_the_start() -> None:
    done = run("serve", *ANYWHERE, "--workers", "1", WIGWAG_WORKER_STOP_TIMEOUT_S="24")
    assert done.returncode == 2
    assert done.stderr.startswith("wigwag: WIGWAG_WORKER_STOP_TIMEOUT_S=24 is too short: a drain may take ")


def test_workers_whose_supervisor_is_killed_drain_by_themselves(tmp_path: Path) -> None:
    write_chat(tmp_path)
    with serving("chat:app", "--workers", "2", cwd=tmp_path) as service, connect(service.ws) as client:
        pid = int(str(client.recv(LIMIT_S)).split()[0])
        service.process.kill()
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(LIMIT_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012

        def is_gone() -> bool:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            return False

        wait_until(is_gone, "it ends", LIMIT_S)
