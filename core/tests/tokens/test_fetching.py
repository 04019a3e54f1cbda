"""Fetching over real sockets: in bounded time and size, and only from where it was told to."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import anyio
import pytest

from wigwag.tokens.fetching import FetchFailed, fetch

pytestmark = pytest.mark.anyio

#: Long, for what answers; what never does is given less.
LIMIT_S = 10.0
LITTLE_S = 0.3


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


Handler = Callable[[socket.socket], None]


@contextmanager
def server(handle: Handler) -> Generator[str]:
    """Calls ``handle`` with each connection, after its request has been read."""
    listening = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                connection.recv(65536)
                with suppress(OSError):
                    handle(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/jwks"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in connections:
            connection.close()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def answering(status: str, body: bytes = b"", *headers: str) -> Handler:
    def handle(connection: socket.socket) -> None:
        head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""])
        connection.sendall(head.encode() + body)
        connection.close()

    return handle


async def why(url: str, timeout_s: float = LIMIT_S) -> str:
    with pytest.raises(FetchFailed) as caught:
        await fetch(url, timeout_s=timeout_s, limit_bytes=1000)
    return str(caught.value)


async def test_a_document_comes_as_it_is() -> None:
    with server(answering("200 OK", b'{"keys": []}')) as url:
        assert await fetch(url, timeout_s=LIMIT_S, limit_bytes=1000) == b'{"keys": []}'


async def test_it_is_no_larger_than_it_may_be() -> None:
    with server(answering("200 OK", b"x" * 1000)) as url:
        assert len(await fetch(url, timeout_s=LIMIT_S, limit_bytes=1000)) == 1000
    with server(answering("200 OK", b"x" * 1001)) as url:
        assert await why(url) == "it has more than 1000 bytes"


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Internal Server Error", "204 No Content", "304 Not Modified"]
)
async def test_any_other_answer_is_none(status: str) -> None:
    with server(answering(status)) as url:
        if status.startswith("204"):
            assert await fetch(url, timeout_s=LIMIT_S, limit_bytes=1000) == b""
        else:
            assert await why(url) == f"it was answered with {status[:3]}"


async def test_nobody_is_sent_elsewhere() -> None:
    asked = threading.Event()

    def note(connection: socket.socket) -> None:
        asked.set()

    with server(note) as elsewhere, server(answering("302 Found", b"", f"location: {elsewhere}")) as url:
        assert await why(url) == "it was answered with 302"
    assert not asked.is_set()


async def test_who_does_not_listen_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await why(f"http://127.0.0.1:{port}/") == "connection refused"


async def test_what_is_no_http_is_said() -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example ESMTP\r\n")
        connection.close()

    with server(speak) as url:
        assert "220 mail.example" in await why(url)


def silent(connection: socket.socket) -> None:
    """Nothing is said, ever."""


def dripping(connection: socket.socket) -> None:
    """A byte at a time, faster than any socket times out: a thread that read on would never end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    with suppress(OSError):
        while True:
            connection.sendall(b"x")
            time.sleep(0.01)


def dripping_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)


@pytest.mark.parametrize("handle", [silent, dripping, dripping_body])
async def test_its_time_is_bounded_and_no_thread_is_left(handle: Handler) -> None:
    before = set(threading.enumerate())
    with server(handle) as url:
        began = time.monotonic()
        assert await why(url, LITTLE_S) == f"no answer within {LITTLE_S:g} s"
        assert time.monotonic() - began < LIMIT_S / 2
        # The thread is told to end, and is idle soon: the pool keeps it, but it does not read on.
        with anyio.fail_after(LIMIT_S):
            while any(_is_fetching(thread) for thread in set(threading.enumerate()) - before):  # noqa: ASYNC110
                await anyio.sleep(0.01)


def _is_fetching(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "run" and frame.f_code.co_filename.endswith("fetching.py"):
            return True
        frame = frame.f_back
    return False


async def test_the_loop_goes_on_meanwhile() -> None:
    has_turned = threading.Event()

    def answer_then(connection: socket.socket) -> None:
        status = b"404 Not Found" if has_turned.wait(LIMIT_S / 2) else b"500 It Waits"
        connection.sendall(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)

    async def turn() -> None:
        await anyio.sleep(0.01)
        has_turned.set()

    with server(answer_then) as url:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            assert await why(url) == "it was answered with 404"


@pytest.mark.needs("openssl")
async def test_a_certificate_that_nobody_vouches_for_is_refused(certificates: object) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_cert, certificates.server_key)  # type: ignore[attr-defined]

    def handle(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)

    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listening.accept()
            handle(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    with listening:
        found = await why(f"https://127.0.0.1:{listening.getsockname()[1]}/")
    thread.join(LIMIT_S)
    assert "certificate verify failed" in found
