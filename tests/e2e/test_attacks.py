"""Clients that mean harm: each hurts itself, and the others are served on."""

from __future__ import annotations

import struct
import threading
from collections.abc import Generator

import pytest

from e2e.servers import SERVERS, Server, serving
from e2e.wire import BINARY, CLOSE, PING, PONG, TEXT, Client, connecting, frame, raw_client, wait_until
from e2e.world import World
from wigwag import Limits

INBOX = 16
TOPICS = 500


@pytest.fixture(scope="module", params=SERVERS)
def place(request: pytest.FixtureRequest) -> Generator[tuple[Server, World]]:
    world = World(limits=Limits(inbox_messages=INBOX, topics=TOPICS, message_bytes=4096, close_timeout_s=1))
    with serving(request.param, world.app) as server:
        yield server, world


@pytest.fixture
def server(place: tuple[Server, World]) -> Server:
    return place[0]


@pytest.fixture
def world(place: tuple[Server, World]) -> Generator[World]:
    """Return the application; afterwards each attacker has left nothing."""
    yield place[1]
    wait_until(lambda: not place[1].sockets._app.sessions, "no session")
    assert place[1].provider.connection_count() == 0


@pytest.fixture
def bystander(server: Server, world: World) -> Generator[Client]:
    """Return a client that is served before the attack, and after it."""
    with connecting(f"{server.ws}/ws?user=bystander") as client:
        yield client
        assert client.ask("echo", "served", "after")["data"] == "served"


def test_ten_thousand_pings_without_reading(server: Server, world: World, bystander: Client) -> None:
    with raw_client(server.address, receive_buffer_bytes=4096) as raw:
        raw.handshake("/ws?user=pinger")
        raw.socket.sendall(frame(TEXT, b"2") * 10_000)
        assert bystander.ask("echo", 1)["data"] == 1
        raw.say("echo", "and now I read", correlationId=1)
        answers = 0
        while (got := raw.receive_frame()) == (TEXT, b"3"):
            answers += 1
        assert b"and now I read" in got[1]
        assert 0 < answers <= 10_000


def test_answers_to_pings_that_nobody_reads_are_bounded() -> None:
    world = World()
    with (
        serving("uvicorn-sansio", world.app, send_buffer_bytes=4096) as server,
        raw_client(server.address, receive_buffer_bytes=4096) as raw,
    ):
        raw.handshake("/ws?user=pinger")
        for _ in range(50):
            raw.say("echo", "x" * 10_000)
        wait_until(lambda: "pinger" in world.contexts, "it is open")
        connection = world.contexts["pinger"].connection
        wait_until(lambda: len(connection._queue or ()) > 10, "nothing more goes out")
        raw.socket.sendall(frame(TEXT, b"2") * 10_000)
        wait_until(lambda: world.provider.counters.received == 10_050, "all are received")
        assert 64 <= len(connection._queue or ()) <= 64 + 50


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_control_frames_of_the_protocol_in_a_flood(
    server: Server, world: World, bystander: Client, opcode: int
) -> None:
    with raw_client(server.address) as raw:
        raw.handshake("/ws?user=pinger")
        raw.socket.sendall(frame(opcode, b"x" * 125) * 1000)
        raw.say("echo", "end", correlationId=1)
        while (got := raw.receive_frame())[0] != TEXT:
            assert got == (PONG, b"x" * 125)
        assert b"end" in got[1]


def test_a_client_that_floods_a_busy_handler_is_read_no_further(
    server: Server, world: World, bystander: Client
) -> None:
    count = 3000
    world.busy.clear()
    with raw_client(server.address) as raw:
        raw.handshake("/ws?user=flooder")
        raw.say("slow")
        assert world.busy.wait(10)

        def flood() -> None:
            for number in range(count):
                raw.say("echo", "x" * 1000, correlationId=number)

        sender = threading.Thread(target=flood)
        sender.start()
        (session,) = [s for s in world.sockets._app.sessions if s.user == "flooder"]
        wait_until(lambda: session.is_full, "its inbox is full")
        assert bystander.ask("echo", 1)["data"] == 1
        assert len(session._inbox or ()) == INBOX
        server.run(world.release)
        assert raw.hear() == {"type": "slow", "data": "done"}
        assert [raw.hear()["correlationId"] for _ in range(count)] == list(range(count))
        sender.join(10)


def test_a_huge_number_of_topics(server: Server, world: World, bystander: Client) -> None:
    with connecting(f"{server.ws}/ws?user=greedy") as client:
        for number in range(TOPICS):
            client.say("join", f"greedy:{number}", correlationId=number)
        assert all("error" not in client.hear() for _ in range(TOPICS))
        node = world.provider.node
        assert node is not None
        assert len(node.fanout.interest.topics()) == TOPICS
        for _ in range(10):
            assert client.ask("join", "one:more")["error"] == "Too many topics"
        client.say("join", "one:more")
        assert client.closed() == (1008, "too many topics")
        wait_until(lambda: not node.fanout.interest.topics(), "no topic is left")


#: What is sent, and the close codes that servers have for it (RFC 6455, 7.4.1).
BROKEN: dict[str, tuple[bytes, set[int]]] = {
    "text that is no UTF-8": (frame(TEXT, b"\xff\xfe"), {1007}),
    "text that ends in a character": (frame(TEXT, "ü".encode()[:1]), {1007}),
    "a frame without a mask": (b"\x81\x02hi", {1002}),
    "a reserved bit": (bytes([0xC1]) + frame(TEXT, b"hi")[1:], {1002}),
    "a reserved opcode": (frame(3, b"hi"), {1002}),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), {1002}),
    "a fragmented ping": (frame(PING, b"x", fin=False), {1002}),
    "a continuation of nothing": (frame(0, b"hi"), {1002}),
    "a close frame of one byte": (frame(CLOSE, b"x"), {1002}),
    "a close code that is reserved": (frame(CLOSE, struct.pack("!H", 1005)), {1002}),
    "a fragmented message over the limit": (
        frame(BINARY, b"x" * 4000, fin=False) + frame(0, b"x" * 4000),
        {1009},
    ),
}


@pytest.mark.parametrize(("sent", "codes"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_no_websocket_message_ends_that_socket_alone(
    server: Server, world: World, bystander: Client, sent: bytes, codes: set[int]
) -> None:
    with raw_client(server.address) as raw:
        raw.handshake("/ws?user=broken-frames")
        raw.socket.sendall(sent)
        # hypercorn hangs up on whoever breaks the protocol, without a close frame
        assert raw.closed() in (codes if server.is_uvicorn else {*codes, 1006})


def test_a_frame_that_announces_more_than_any_memory_holds(
    server: Server, world: World, bystander: Client
) -> None:
    with raw_client(server.address) as raw:
        raw.handshake("/ws?user=announcer")
        raw.socket.sendall(bytes([0x82, 0xFF]) + struct.pack("!Q", 2**62) + bytes(4))
        if server.is_uvicorn:  # hypercorn reads on, and counts what has come
            assert raw.closed() == 1009


def test_many_that_come_and_vanish_at_once(server: Server, world: World, bystander: Client) -> None:
    for _ in range(100):
        with raw_client(server.address) as raw:
            raw.handshake("/ws?user=ghost")
            raw.say("join", "ghosts")
            raw.vanish()
    wait_until(lambda: world.provider.topic_subscriber_count("ghosts") == 0, "nobody is in the topic")
    wait_until(lambda: world.provider.connection_count() == 1, "the bystander alone is connected")
