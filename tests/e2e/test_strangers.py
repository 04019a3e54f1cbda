"""A real `wigwag serve` with tokens, and those who have none, or mean harm: what each gets; others notice nothing."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus

from e2e.process import Service, service
from e2e.wire import TEXT, Client, connecting, frame, raw_client, wait_until
from signing import OTHER_SECRET, claims, forged, jwk, jwks, part, pem, signed, token
from wigwag.tokens.files import LOOK_S
from wigwag.tokens.sources import COOLDOWN_S

SECRET = "the secret of the service that these tests run"
KEY = "the-key-of-backends"


def good(**given: Any) -> str:
    return token(
        SECRET, **{"aud": "chat", "topics": ["lobby:*", "greedy:**"], "publish": ["lobby:*"]} | given
    )


@pytest.fixture(scope="module")
def stock() -> Generator[Service]:
    with service(
        WIGWAG_JWT_SECRET=SECRET, WIGWAG_JWT_AUDIENCE="chat", WIGWAG_JWT_LEEWAY_S="0", WIGWAG_API_KEY=KEY
    ) as started:
        yield started


@pytest.fixture
def bystander(stock: Service) -> Generator[Client]:
    """Return a client that has come properly, and is served before and after."""
    with connecting(f"{stock.ws}/ws?token={good(sub='bystander')}") as client:
        yield client
        assert client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}


def metrics(stock: Service) -> dict[str, float]:
    """The numbers by their names, and a reason where they have one."""
    with urllib.request.urlopen(f"http://{stock.internal}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    return {
        f"{sample.name} {sample.labels.get('reason', '')}".strip(): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def address(of: str) -> tuple[str, int]:
    host, _, port = of.rpartition(":")
    return host, int(port)


# Tokens

FORGED = {
    "none": (lambda: "", "token missing"),
    "alg none": (lambda: f"{part({'alg': 'none'})}.{part(claims(aud='chat'))}.", "token not valid"),
    "another secret": (lambda: token(OTHER_SECRET, aud="chat"), "token not valid"),
    "a public key's": (lambda: signed("RS256", aud="chat"), "token not valid"),
    "HS256 by a public key": (lambda: forged({"alg": "HS256"}, secret=pem("RS256")), "token not valid"),
    "another audience": (lambda: good(aud="mail"), "token not valid"),
    "no audience": (lambda: good(aud=None), "token not valid"),
    "expired": (lambda: good(exp=int(time.time()) - 5), "token expired"),
    "not yet valid": (lambda: good(nbf=int(time.time()) + 60), "token not valid"),
    "without end": (lambda: good(exp=None), "token not valid"),
    "a pattern that would escape": (lambda: good(topics=["lobby:*", "__broadcast__"]), "token not valid"),
    "huge": (lambda: good(x="x" * 20_000), "token not valid"),
}


@pytest.mark.parametrize(("make", "reason"), FORGED.values(), ids=list(FORGED))
@pytest.mark.parametrize("where", ["query", "header", "subprotocol"])
def test_no_token_but_a_good_one_opens_anything(stock: Service, make: Any, reason: str, where: str) -> None:
    text = make()
    options: dict[str, Any] = {}
    if where == "header":
        options = {"additional_headers": {"Authorization": f"Bearer {text}"}}
    elif where == "subprotocol":
        options = {"subprotocols": ["wigwag", f"wigwag.token.{text}"]}
    with connecting(f"{stock.ws}/ws" + (f"?token={text}" if where == "query" else ""), **options) as client:
        with suppress(ConnectionClosed):
            client.say("room.join", room="lobby:1")
        assert client.closed() == (1008, reason)


def test_a_good_one_opens_what_it_names(stock: Service) -> None:
    with (
        connecting(f"{stock.ws}/ws", subprotocols=["wigwag", f"wigwag.token.{good()}"]) as ann,
        connecting(
            f"{stock.ws}/ws", additional_headers={"Authorization": f"Bearer {good(sub='bob')}"}
        ) as bob,
    ):
        assert ann.connection.subprotocol == "wigwag"
        for room in (
            "lobby",
            "lobby:1:2",
            "lobby:",
            "lobby::1",
            "other:1",
            "__broadcast__",
            "*",
            "lobby:*",
            "**",
        ):
            assert ann.ask("room.join", {"room": room})["error"] == "Forbidden"
            assert ann.ask("publish", {"topic": room, "text": "x"})["error"] == "Forbidden"
        assert "error" not in ann.ask("room.join", {"room": "lobby:1"})
        assert "error" not in bob.ask("publish", {"topic": "lobby:1", "text": "hi"})
        assert ann.receive() == "hi"


def test_a_socket_ends_with_its_token_unless_a_newer_one_comes(stock: Service) -> None:
    soon = int(time.time()) + 3
    with (
        connecting(f"{stock.ws}/ws?token={good(exp=soon)}") as ann,
        connecting(f"{stock.ws}/ws?token={good(sub='bob', exp=soon)}") as bob,
    ):
        assert ann.ask("auth.authenticate", {"token": good()})["data"]["user"] == "ann"
        assert ann.ask("auth.authenticate", {"token": good(sub="bob")})["error"] == "Forbidden"
        assert bob.closed() == (1008, "token expired")
        assert soon <= time.time() < soon + 10
        assert "error" not in ann.ask("room.join", {"room": "lobby:1"})


def test_no_log_has_a_token_or_a_key() -> None:
    texts = [good(), token(OTHER_SECRET, aud="chat"), good(exp=1)]
    with service(
        "--log-level", "debug", WIGWAG_JWT_SECRET=SECRET, WIGWAG_JWT_AUDIENCE="chat", WIGWAG_API_KEY=KEY
    ) as stock:
        for text in texts:
            for path, options in (
                (f"/ws?token={text}", {}),
                ("/ws", {"additional_headers": {"Authorization": f"Bearer {text}"}}),
                ("/ws", {"subprotocols": ["wigwag", f"wigwag.token.{text}"]}),
            ):
                with connecting(stock.ws + path, **options) as client, suppress(ConnectionClosed):
                    client.ask("auth.authenticate", {"token": text})
            with suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"{stock.http}/nothing?token={text}", timeout=10)
        publish(stock, KEY)
        publish(stock, "a-wrong-key")
        stock.stop()
    assert "a token was refused" in stock.log
    assert '"WebSocket /ws?…" [accepted]' in stock.log
    for text in texts:
        assert text.split(".")[1] not in stock.log
        assert text.split(".")[2] not in stock.log
    assert SECRET not in stock.log
    assert KEY not in stock.log
    assert "a-wrong-key" not in stock.log


def publish(stock: Service, key: str | None, host: str | None = None) -> int:
    """The status of a publish with this key, at the address that the service has, or another of this machine."""
    at, port = address(stock.internal)
    connection = http.client.HTTPConnection(host or at, port, timeout=10)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    connection.request("POST", "/api/publish", json.dumps({"topic": "lobby:1", "text": "x"}), headers)
    status = connection.getresponse().status
    connection.close()
    return status


# Keys and secrets


def test_keys_and_secrets_are_exchanged_while_it_runs(tmp_path: Path) -> None:
    keys, secrets = tmp_path / "keys", tmp_path / "secrets"
    keys.write_text("old-key\n")
    secrets.write_text(f"{SECRET}\n")

    def statuses(stock: Service) -> list[int]:
        return [publish(stock, "old-key"), publish(stock, "new-key")]

    def closed_by(stock: Service, secret: str) -> str | None:
        with connecting(f"{stock.ws}/ws?token={token(secret)}") as client:
            try:
                client.ask("heartbeat", {"timestamp": 1})
            except ConnectionClosed:
                return client.closed()[1]
            return None

    with (
        service(WIGWAG_API_KEY_FILE=str(keys), WIGWAG_JWT_SECRET_FILE=str(secrets)) as stock,
        connecting(f"{stock.ws}/ws?token={token(SECRET)}") as client,
    ):
        assert statuses(stock) == [202, 401]
        assert closed_by(stock, OTHER_SECRET) == "token not valid"
        keys.write_text("old-key\nnew-key\n")
        secrets.write_text(f"{OTHER_SECRET}\n")
        wait_until(lambda: statuses(stock) == [202, 202], "the new key counts", LOOK_S + 10)
        wait_until(lambda: closed_by(stock, OTHER_SECRET) is None, "the new secret counts", LOOK_S + 10)
        assert closed_by(stock, SECRET) == "token not valid"
        assert client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}  # who is in stays in


def own_address() -> str | None:
    """An address of this machine that is not loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        found: str = probe.getsockname()[0]
        return None if found.startswith("127.") else found


def test_the_api_is_closed_to_other_addresses_without_a_key() -> None:
    elsewhere = own_address()
    stock = Service(WIGWAG_API_KEY=KEY)
    stock.internal = "0.0.0.0:0"
    stock.start()
    try:
        hosts = ["127.0.0.1", *([elsewhere] if elsewhere else [])]
        for host in hosts:
            statuses = [publish(stock, key, host) for key in (None, "", "wrong", KEY[:-1], KEY + "x", KEY)]
            assert statuses == [401] * 5 + [202]
        assert metrics(stock)["wigwag_api_refused_total key"] == 5 * len(hosts)
    finally:
        stock.kill()


@contextmanager
def issuer() -> Generator[tuple[str, dict[str, bytes | None]]]:
    """A server of keys, and what it has: None is 503."""
    has: dict[str, bytes | None] = {"keys": None}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = has["keys"]
            self.send_response(503 if document is None else 200)
            self.end_headers()
            self.wfile.write(document or b"")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks", has
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_keys_that_can_not_be_had_at_first_make_it_wait_and_refuse_nobody_for_good() -> None:
    text = signed("ES256", headers={"kid": "a"})
    with issuer() as (url, has), service(WIGWAG_JWKS_URL=url) as stock:

        def ready() -> tuple[int, Any]:
            try:
                with urllib.request.urlopen(f"http://{stock.internal}/readyz", timeout=10) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as exc:
                with exc:
                    return exc.code, json.load(exc)

        status, found = ready()
        assert status == 503
        assert found["why"] == [f"no keys from {url} yet: it was answered with 503"]
        with pytest.raises(InvalidStatus) as caught, connecting(f"{stock.ws}/ws?token={text}"):
            raise AssertionError("it was let in")
        assert caught.value.response.status_code == 503
        has["keys"] = jwks(jwk("ES256", kid="a"))
        wait_until(lambda: ready()[0] == 200, "it has keys", COOLDOWN_S + 10)
        with connecting(f"{stock.ws}/ws?token={text}") as client:
            assert "error" not in client.ask("room.join", {"room": "orders:1"})


# Too many, too slow, too large


def test_connections_that_say_nothing_keep_nobody_out() -> None:
    with service(
        WIGWAG_JWT_SECRET=SECRET, WIGWAG_HANDSHAKE_TIMEOUT_S="1", WIGWAG_MAX_CONNECTIONS="50"
    ) as stock:
        loris: list[socket.socket] = []
        try:
            for number in range(1500):  # more than there is room for beside sockets
                connection = socket.create_connection(address(stock.public), timeout=10)
                if number % 2:
                    connection.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                loris.append(connection)
                if number % 300 == 0:
                    with connecting(f"{stock.ws}/ws?token={token(SECRET)}") as client:
                        assert client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}

            def ended() -> float:
                found = metrics(stock)
                names = ("silent", "slow", "connections")
                return sum(found.get(f"wigwag_connections_refused_total {name}", 0) for name in names)

            wait_until(lambda: ended() >= 1500, "each is closed", 20)
        finally:
            for connection in loris:
                connection.close()
        wait_until(lambda: metrics(stock)["process_open_fds"] < 100, "nothing of them is left")


def test_headers_without_end_cost_their_sender_the_connection(stock: Service, bystander: Client) -> None:
    before = metrics(stock)
    for head in (b"GET /ws HTTP/1.1\r\nX: ", b"GET /ws?token="):
        with socket.create_connection(address(stock.public), timeout=10) as connection:
            sent = 0
            with suppress(OSError):
                connection.sendall(head)
                while sent < 200_000_000:
                    sent += connection.send(b"x" * 65536)
            assert sent < 50_000_000
    after = metrics(stock)
    name = "wigwag_connections_refused_total head"
    assert after[name] - before.get(name, 0) == 2
    assert after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"] < 20_000_000


def test_no_more_sockets_and_handshakes_than_there_may_be() -> None:
    with service(
        WIGWAG_JWT_SECRET=SECRET,
        WIGWAG_MAX_CONNECTIONS="3",
        WIGWAG_CONNECTIONS_PER_USER="2",
        WIGWAG_HANDSHAKES_PER_S="1000",
    ) as stock:
        connect = partial(connecting, f"{stock.ws}/ws?token={token(SECRET)}")
        with connect(), connect():
            with connect() as third:
                assert third.closed() == (1013, "too many connections of this user")
            with connecting(f"{stock.ws}/ws?token={token(SECRET, sub='bob')}"):
                wait_until(lambda: status_of(stock) == 503, "three are in")
                with urllib.request.urlopen(f"{stock.http}/", timeout=10) as page:
                    assert page.status == 200
                found = metrics(stock)
                assert found["wigwag_connections_refused_total sockets"] >= 1
                assert found["wigwag_refused_total sockets per user"] == 1
            wait_until(lambda: status_of(stock) == 101, "one has gone")


def status_of(stock: Service) -> int:
    """The status of one more handshake."""
    with raw_client(address(stock.public)) as raw:
        return int(raw.handshake(f"/ws?token={token(SECRET, sub='carl')}").split()[1])


def test_a_million_joins_cost_their_sender_its_sockets_and_nobody_else_anything(
    stock: Service, bystander: Client
) -> None:
    before = metrics(stock)
    sent = rounds = 0
    most_topics = 0.0
    while sent < 1_000_000:
        rounds += 1
        with raw_client(address(stock.public)) as raw:
            raw.handshake(f"/ws?token={good(sub='greedy')}")
            with suppress(OSError):  # it is not read for ever
                while sent < 1_000_000:
                    raw.socket.sendall(JOINS)
                    sent += BATCH
            assert raw.closed() in (1008, 1006)  # 1006: what was still on its way reset it
        most_topics = max(most_topics, metrics(stock)["wigwag_topics"])
    after = metrics(stock)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert most_topics <= 100
    assert grown("process_resident_memory_bytes") < 50_000_000
    refused = sum(grown(f"wigwag_refused_total too many {what}") for what in ("messages", "topics", "joins"))
    assert 10 * rounds < refused < 100 * rounds
    assert (
        grown("wigwag_messages_received_total") < 1000 * rounds
    )  # what comes after the last straw is dropped
    wait_until(lambda: metrics(stock)["wigwag_topics"] == 0, "no topic is left")
    name = "wigwag_connections_closed_total 1008"
    wait_until(lambda: metrics(stock).get(name, 0) - before.get(name, 0) == rounds, "each was closed")


#: Joins of so many topics, as bytes: made once, for what is tried is the server.
BATCH = 5_000
JOINS = b"".join(frame(TEXT, b'{"type":"room.join","room":"greedy:%d"}' % number) for number in range(BATCH))


# Browsers


@contextmanager
def page_elsewhere() -> Generator[str]:
    """The origin of a page of somebody else's, which a visitor of ours looks at."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


OPEN = """([url, protocols]) => new Promise(resolve => {
    const socket = new WebSocket(url, protocols);
    let opened = false;
    socket.onopen = () => {
        opened = true;
        socket.send('{"type":"room.join","room":"lobby:1","correlationId":1}');
    };
    socket.onmessage = event => {
        resolve({opened, said: JSON.parse(event.data), protocol: socket.protocol});
        socket.close();
    };
    socket.onclose = event => resolve({opened, code: event.code, reason: event.reason});
})"""


@pytest.mark.needs("chromium")
def test_a_page_of_another_site_gets_nowhere_with_or_without_a_token(
    stock: Service, browser: Browser
) -> None:
    before = metrics(stock)
    with page_elsewhere() as elsewhere:
        context = browser.new_context()
        page = context.new_page()
        page.goto(elsewhere)
        # A stolen token does not help a page of another site, nor does none.
        for protocols in (["wigwag", f"wigwag.token.{good()}"], []):
            assert page.evaluate(OPEN, [f"{stock.ws}/ws", protocols]) == {
                "opened": False,
                "code": 1006,
                "reason": "",
            }
        assert page.evaluate(OPEN, [f"{stock.ws}/ws?token={good()}", []])["code"] == 1006
        status = page.evaluate(
            """url => fetch(url, {method: "POST", mode: "no-cors", body: '{"topic":"lobby:1","text":"x"}'})
                .then(answer => answer.type, error => "failed")""",
            f"{stock.api}/publish",
        )
        assert status in ("opaque", "failed")  # it can't read the answer, which is a refusal
        context.close()
    after = metrics(stock)
    assert after["wigwag_refused_total origin"] >= 3
    assert after["wigwag_messages_published_total"] == before["wigwag_messages_published_total"]
    assert after["wigwag_api_refused_total key"] > before.get("wigwag_api_refused_total key", 0)


@pytest.mark.needs("chromium")
def test_a_page_of_the_service_opens_with_a_token_and_is_told_what_is_wrong_with_another(
    stock: Service, browser: Browser
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{stock.http}/static/favicon.svg")  # of this origin, and opens no socket of its own
    url = f"{stock.ws}/ws"
    opened = page.evaluate(OPEN, [url, ["wigwag", f"wigwag.token.{good()}"]])
    assert opened == {
        "opened": True,
        "said": {"type": "room.join", "correlationId": 1, "data": None},
        "protocol": "wigwag",
    }
    for text, reason in ((good(exp=1), "token expired"), ("forged", "token not valid")):
        closed = page.evaluate(OPEN, [url, ["wigwag", f"wigwag.token.{text}"]])
        assert (closed["code"], closed["reason"]) == (1008, reason)
    context.close()
