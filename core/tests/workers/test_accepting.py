"""Who gets a connection, without processes."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from wigwag.service.workers.accepting import Acceptor
from wigwag.testing.contract.checks import until

pytestmark = pytest.mark.anyio

LIMIT_S = 5.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeWorker:
    """Takes what it is handed, while it has room."""

    def __init__(self, connections: int = 0, room: int = 100) -> None:
        self.taken: list[socket.socket] = []
        self.before = connections
        self.room = room
        self.is_dead = False

    @property
    def has_room(self) -> bool:
        return not self.is_dead and len(self.taken) < self.room

    @property
    def connections(self) -> int:
        return self.before + len(self.taken)

    def hand_over(self, connection: socket.socket) -> bool:
        if self.before < 0:
            self.is_dead = True
            return False
        self.taken.append(connection)
        return True

    def close(self) -> None:
        for connection in self.taken:
            connection.close()


class Port:
    """A listening socket, its acceptor, and clients that connect."""

    def __init__(self, listening: socket.socket, workers: list[FakeWorker]) -> None:
        self.listening = listening
        self.acceptor = Acceptor(listening, lambda: workers)  # type: ignore[arg-type, return-value]
        self.clients: list[socket.socket] = []

    def connect(self, count: int) -> None:
        for _ in range(count):
            self.clients.append(socket.create_connection(self.listening.getsockname()))


@pytest.fixture
def workers() -> Iterator[list[FakeWorker]]:
    workers: list[FakeWorker] = []
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
async def port(workers: list[FakeWorker]) -> AsyncIterator[Port]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        port = Port(listening, workers)
        yield port
        port.acceptor.close()
        for client in port.clients:
            client.close()


def taken(workers: list[FakeWorker]) -> list[int]:
    return [len(worker.taken) for worker in workers]


async def test_the_one_with_the_fewest_gets_the_next(port: Port, workers: list[FakeWorker]) -> None:
    workers += [FakeWorker(0), FakeWorker(10), FakeWorker(4)]
    port.acceptor.wake()
    port.connect(25)
    await until(lambda: sum(taken(workers)) == 25, LIMIT_S, "all are handed over")
    assert [worker.connections for worker in workers] == [13, 13, 13]


async def test_while_nobody_has_room_they_wait_and_are_not_lost(
    port: Port, workers: list[FakeWorker]
) -> None:
    port.acceptor.wake()
    port.connect(3)
    await anyio.wait_all_tasks_blocked()
    workers.append(FakeWorker(room=2))
    port.acceptor.wake()
    await until(lambda: taken(workers) == [2], LIMIT_S, "as many as there is room for")
    workers[0].room = 3
    port.acceptor.wake()
    await until(lambda: taken(workers) == [3], LIMIT_S, "the last one too")


async def test_one_that_goes_is_passed_over(port: Port, workers: list[FakeWorker]) -> None:
    workers += [FakeWorker(-1), FakeWorker(7)]
    port.acceptor.wake()
    port.connect(2)
    await until(lambda: taken(workers) == [0, 2], LIMIT_S, "the other has both")


async def test_what_a_dead_one_never_took_goes_first_to_the_next(
    port: Port, workers: list[FakeWorker]
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        port.acceptor.give(ours)
        workers.append(FakeWorker(room=1))
        port.connect(1)
        port.acceptor.wake()
        assert workers[0].taken == [ours]


async def test_what_nobody_takes_any_more_is_closed(port: Port, workers: list[FakeWorker]) -> None:
    waiting, late = socket.socketpair(), socket.socketpair()
    with waiting[1], late[1]:
        port.acceptor.give(waiting[0])
        port.acceptor.close()
        port.acceptor.give(late[0])
        assert (waiting[1].recv(1), late[1].recv(1)) == (b"", b"")


async def test_without_open_files_left_it_says_so_and_tries_again(
    port: Port, workers: list[FakeWorker], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wigwag.service.workers.accepting._RETRY_S", 0.01)
    failures = [errno.EMFILE, errno.ECONNABORTED]

    class Failing:
        """A listening socket of a process that may open no more files for a moment."""

        def fileno(self) -> int:
            return port.listening.fileno()

        def accept(self) -> tuple[socket.socket, object]:
            if failures:
                raise OSError(failures.pop(0), "Too many open files")
            return port.listening.accept()

        def close(self) -> None:
            port.listening.close()

    port.acceptor._listening = Failing()  # type: ignore[assignment]
    workers.append(FakeWorker())
    port.acceptor.wake()
    port.connect(1)
    await until(lambda: taken(workers) == [1], LIMIT_S, "it is accepted all the same")
    assert caplog.text.count("no connection can be accepted: Too many open files; raise the limit") == 1
