"""What an application does is the same on each server."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from websockets.exceptions import InvalidStatus

from e2e.servers import SERVERS, Server, serving
from e2e.wire import CLOSE, TEXT, Client, connecting, raw_client, wait_until
from e2e.world import World
from wigwag import Limits

LIMIT_BYTES = 4096
SMALL = Limits(message_bytes=LIMIT_BYTES, upgrade_timeout_s=0.2, close_timeout_s=1)


@pytest.fixture(scope="module", params=SERVERS)
def place(request: pytest.FixtureRequest) -> Generator[tuple[Server, World]]:
    """Return a server and the application that runs on it."""
    world = World(limits=SMALL, raw=True)
    with serving(request.param, world.app) as server:
        yield server, world


@pytest.fixture
def server(place: tuple[Server, World]) -> Server:
    return place[0]


@pytest.fixture
def world(place: tuple[Server, World]) -> World:
    return place[1]


@pytest.fixture
def client(server: Server, request: pytest.FixtureRequest) -> Generator[Client]:
    """Return a client whose user is the test's name."""
    with connecting(f"{server.ws}/ws?user={request.node.originalname}") as client:
        yield client


# Coming in


def test_a_refused_upgrade_is_accepted_and_closed(server: Server, world: World) -> None:
    for user in ("nobody", "broken"):
        with connecting(f"{server.ws}/ws?user={user}") as client:
            assert client.closed() == (1008, "refused")
    assert not {"nobody", "broken"} & {*world.opened}


def test_an_upgrade_that_hangs_is_closed_after_its_limit(server: Server) -> None:
    with connecting(f"{server.ws}/ws?user=late") as client:
        assert client.closed() == (1013, "try again later")


@pytest.mark.parametrize("status", [401, 429])
def test_an_http_exception_is_that_answer(server: Server, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught, connecting(f"{server.ws}/ws?user={status}"):
        pass
    response = caught.value.response
    assert response.status_code == status
    assert response.headers["x-why"] == "test"
    assert response.body == b"no entry"


def test_a_page_of_another_site_gets_403(server: Server) -> None:
    for origin in ("https://evil.example", "http://127.0.0.1", "null", f"{server.http}.evil.example"):
        with (
            pytest.raises(InvalidStatus) as caught,
            connecting(f"{server.ws}/ws", additional_headers={"Origin": origin}),
        ):
            pass
        assert caught.value.response.status_code == 403, origin


def test_a_page_of_the_same_host_may_connect(server: Server) -> None:
    with connecting(f"{server.ws}/ws", additional_headers={"Origin": server.http}) as client:
        assert client.ask("echo", 1)["data"] == 1


# Messages


def test_a_request_is_answered(client: Client) -> None:
    reply = client.ask("echo", {"deep": [1, None, "ü"]}, 7)
    assert reply == {"type": "echo", "correlationId": 7, "data": {"deep": [1, None, "ü"]}}


def test_what_is_published_reaches_those_who_joined(server: Server, client: Client) -> None:
    with connecting(f"{server.ws}/ws") as joined, connecting(f"{server.ws}/ws") as other:
        for one in (client, joined):
            one.ask("join", "same:room")
        other.ask("join", "same:other")
        other.say("say", {"topic": "same:room", "text": "hi"})
        for one in (client, joined):
            event = one.hear()
            assert (event["name"], event["data"]) == ("said", {"text": "hi"})
            assert isinstance(event["timestamp"], int)
        assert other.ask("echo", "nothing came before this")["data"] == "nothing came before this"


def test_replies_keep_the_order_of_the_messages(client: Client) -> None:
    for number in range(200):
        client.say("echo", number, correlationId=number)
    replies = [client.hear() for _ in range(200)]
    assert [(reply["correlationId"], reply["data"]) for reply in replies] == [(n, n) for n in range(200)]


def test_a_reply_that_waits_is_not_overtaken(server: Server, world: World, client: Client) -> None:
    world.busy.clear()
    client.say("slow", correlationId="first")
    client.say("echo", 2, correlationId="second")
    assert world.busy.wait(10)
    server.run(world.release)
    assert [client.hear()["correlationId"] for _ in range(2)] == ["first", "second"]


def test_a_ping_is_answered_while_a_handler_is_busy(server: Server, world: World, client: Client) -> None:
    world.busy.clear()
    client.say("slow", correlationId=1)
    assert world.busy.wait(10)
    client.send("2")
    assert client.receive() == "3"
    server.run(world.release)
    assert client.hear()["data"] == "done"


TEXTS = {
    "empty": "",
    "a NUL": "a\0b",
    "a byte order mark": "\ufeffa",
    "beyond the BMP": "\N{WAVING WHITE FLAG} ü \u2028",
    "as large as may be": "x" * LIMIT_BYTES,
    "as large as may be in bytes": "ü" * (LIMIT_BYTES // 2),
    "JSON of nobody": '{"type":"unrouted"}',
}
BYTES = {
    "empty": b"",
    "each byte": bytes(range(256)),
    "no UTF-8": b"\xff\xfe\0\xc3",
    "as large as may be": b"\0" * LIMIT_BYTES,
    "a ping's digit": b"2",
}


@pytest.mark.parametrize("message", [*TEXTS.values(), *BYTES.values()], ids=[*TEXTS, *BYTES])
def test_a_message_arrives_and_goes_back_bit_exact(client: Client, message: str | bytes) -> None:
    client.send(message)
    assert client.receive() == message


@pytest.mark.parametrize("message", [*TEXTS.values(), *BYTES.values()], ids=[*TEXTS, *BYTES])
def test_what_is_published_arrives_bit_exact(
    server: Server, world: World, client: Client, message: str | bytes
) -> None:
    client.ask("join", "exact")
    server.run(world.publish, "exact", message)
    assert client.receive() == message


def test_a_large_message_goes_out_whole(server: Server, world: World, client: Client) -> None:
    client.ask("join", "large")
    large = "ü" * 500_000
    server.run(world.publish, "large", large)
    assert client.receive() == large


def test_a_fragmented_message_is_one_message(server: Server) -> None:
    with raw_client(server.address) as raw:
        raw.handshake()
        raw.send_frame(TEXT, "ab\u00fc".encode()[:3], fin=False)  # between two bytes of a character
        raw.send_frame(0, "ab\u00fc".encode()[3:])
        assert raw.receive_frame() == (TEXT, "ab\u00fc".encode())


@pytest.mark.parametrize("message", ["x" * (LIMIT_BYTES + 1), "ü" * LIMIT_BYTES, b"\0" * (LIMIT_BYTES + 1)])
def test_a_message_over_the_limit_closes_with_1009(
    world: World, client: Client, message: str | bytes
) -> None:
    client.ask("echo", "open")  # one that ends before its open handler has begun has no close handler either
    client.send(message)
    code, reason = client.closed()
    assert (code, reason) == (1009, "at most 4096 bytes")
    user = "test_a_message_over_the_limit_closes_with_1009"
    wait_until(lambda: (user, 1009, frozenset[str]()) in world.closed, "its close handler")


# Going


def test_a_client_that_closes_is_forgotten(server: Server, world: World) -> None:
    with connecting(f"{server.ws}/ws?user=leaver") as client:
        client.ask("join", "left")
        client.connection.close(4001, "enough")
    code = 4001 if server.is_uvicorn else 1006  # hypercorn does not pass on what the client said
    wait_until(lambda: ("leaver", code, frozenset({"left"})) in world.closed, "its close handler")
    assert world.provider.topic_subscriber_count("left") == 0


@pytest.mark.parametrize("how", ["reset", "end of stream", "close frame without a code"])
def test_a_client_that_vanishes_leaves_nothing(server: Server, world: World, how: str) -> None:
    user = how.replace(" ", "-")
    with raw_client(server.address) as raw:
        raw.handshake(f"/ws?user={user}")
        raw.say("join", "ghosts", correlationId=1)
        raw.hear()
        assert world.provider.topic_subscriber_count("ghosts") == 1
        if how == "reset":
            raw.vanish()
        elif how == "close frame without a code":
            raw.send_frame(CLOSE, b"")
            assert raw.closed() in (1000, 1005)
            raw.close()
        else:
            raw.close()
        wait_until(lambda: world.provider.topic_subscriber_count("ghosts") == 0, "nobody in the topic")
    (seen,) = [one for one in world.closed if one[0] == user]
    assert seen[2] == {"ghosts"}


def test_a_client_that_vanishes_during_the_upgrade_leaves_nothing(server: Server, world: World) -> None:
    world.upgrading.clear()
    with raw_client(server.address) as raw:
        raw.ask_to_upgrade("/ws?user=late")
        assert world.upgrading.wait(10)
        raw.vanish()
    wait_until(lambda: not world.sockets._app.sessions, "no session")
    assert "late" not in world.opened


def test_a_handler_ends_what_it_began_though_its_client_has_gone(server: Server, world: World) -> None:
    world.busy.clear()
    with raw_client(server.address) as raw:
        raw.handshake("/ws?user=impatient")
        raw.say("slow", correlationId=1)
        assert world.busy.wait(10)
        raw.vanish()
        (session,) = [one for one in world.sockets._app.sessions if one.user == "impatient"]
        wait_until(lambda: session._gone, "the server has noticed")
        assert "impatient" not in {user for user, _, _ in world.closed}
        server.run(world.release)
        wait_until(lambda: "impatient" in {user for user, _, _ in world.closed}, "its close handler")
    assert "impatient" in world.finished


def test_a_handler_that_never_ends_is_cancelled_after_its_client_has_gone(
    server: Server, world: World
) -> None:
    world.busy.clear()
    with raw_client(server.address) as raw:
        raw.handshake("/ws?user=endless")
        raw.say("slow", correlationId=1)
        assert world.busy.wait(10)
    wait_until(lambda: "endless" in {user for user, _, _ in world.closed}, "its close handler")
    assert "endless" not in world.finished


def test_when_all_have_gone_all_counts_are_zero(server: Server, world: World) -> None:
    wait_until(lambda: world.provider.connection_count() == 0, "no connection")
    assert world.provider.node is not None
    assert not world.provider.node.fanout.interest.topics()
