"""Ways around what is guarded, and floods, to one process and to workers: each gets nowhere, and nobody notices."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import urllib.request
import zlib
from collections.abc import Generator
from contextlib import suppress

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from prometheus_client.parser import text_string_to_metric_families

from e2e.browsing import ARGUMENTS
from e2e.process import Service, service
from e2e.test_strangers import address, metrics
from e2e.wire import LIMIT_S, TEXT, Client, connecting, frame, raw_client, wait_until

KEY = "the-key-of-backends"
BODY = b'{"topic":"lobby","text":"x"}'


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def guarded(request: pytest.FixtureRequest) -> Generator[Service]:
    """Return a service whose API wants a key."""
    with service(*request.param, WIGWAG_API_KEY=KEY) as started:
        yield started


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def keyless(request: pytest.FixtureRequest) -> Generator[Service]:
    """Return a service in development mode, whose API serves programs of this machine."""
    with service(*request.param) as started:
        yield started


@pytest.fixture(scope="module")
def alone() -> Generator[Service]:
    """Return one process, so that its memory is that of the service."""
    with service(WIGWAG_COMPRESSION="true", WIGWAG_HANDSHAKE_TIMEOUT_S="2") as started:
        yield started


@pytest.fixture
def bystander(alone: Service) -> Generator[Client]:
    """Return a client that is served before and after."""
    with connecting(f"{alone.ws}/ws") as client:
        yield client
        assert client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}


def total(stock: Service, name: str, reason: str | None = None) -> float:
    """A counter, of all processes together."""
    with urllib.request.urlopen(f"http://{stock.internal}/metrics", timeout=LIMIT_S) as answer:
        page = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and sample.labels.get("reason") == reason
    )


def published(stock: Service) -> float:
    return total(stock, "wigwag_messages_published_total")


def asked(at: tuple[str, int], *lines: bytes, body: bytes = BODY) -> list[int]:
    """The statuses of all answers to these bytes."""
    head = b"".join(
        line + b"\r\n" for line in (*lines, b"connection: close", b"content-length: %d" % len(body))
    )
    said = bytearray()
    with socket.create_connection(at, timeout=LIMIT_S) as connection, suppress(ConnectionError):
        connection.sendall(head + b"\r\n" + body)
        while data := connection.recv(65536):
            said += data
    return [int(answer[:3]) for answer in bytes(said).split(b"HTTP/1.1 ")[1:]]


# Paths, names, methods

PATHS = [
    b"/api/publish",
    b"//api/publish",
    b"/./api/publish",
    b"/livez/../api/publish",
    b"/%61pi/publish",
    b"/api%2Fpublish",
    b"/api/publish/",
    b"/api//publish",
    b"/api/publish%00",
    b"/API/publish",
    b"/api/publish;x",
    b"/api/publish?key=" + KEY.encode(),
    b"http://localhost/api/publish",
]


@pytest.mark.parametrize("path", PATHS, ids=bytes.decode)
def test_no_way_of_writing_the_path_leads_around_the_key(guarded: Service, path: bytes) -> None:
    before = published(guarded)
    (status,) = asked(address(guarded.internal), b"POST " + path + b" HTTP/1.1", b"host: localhost")
    assert status in (401, 404)
    (status,) = asked(address(guarded.public), b"POST " + path + b" HTTP/1.1", b"host: localhost")
    assert status == 404
    assert published(guarded) == before
    assert total(guarded, "wigwag_api_refused_total", "key") > 0


@pytest.mark.parametrize(
    "line",
    [
        b"x-forwarded-for: 127.0.0.1",
        b"forwarded: for=127.0.0.1",
        b"x-real-ip: 127.0.0.1",
        b"x-original-url: /livez",
        b"x-rewrite-url: /livez",
        b"x-http-method-override: GET",
        b"authorization: Basic " + KEY.encode(),
        b"authorization: Bearer",
        b"authorization: Bearer " + KEY.encode() + b",",
        b"cookie: authorization=Bearer " + KEY.encode(),
        b"api-key: " + KEY.encode(),
    ],
    ids=bytes.decode,
)
def test_no_header_stands_in_for_the_key(guarded: Service, line: bytes) -> None:
    lines = (b"POST /api/publish HTTP/1.1", b"host: localhost", line)
    assert asked(address(guarded.internal), *lines) == [401]


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:%(port)d",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"localhost@evil.example",
        b"evil.example@localhost",
        b"[::1]evil.example",
        b"2130706433",
        b"",
    ],
    ids=repr,
)
def test_by_another_name_nobody_is_served_without_a_key(keyless: Service, host: bytes) -> None:
    before = published(keyless)
    for at, path in ((keyless.internal, b"/api/publish"), (keyless.public, b"/info")):
        named = host.replace(b"%(port)d", b"%d" % address(at)[1])
        for lines in ((b"host: " + named,), (b"host: " + named, b"host: localhost")):
            assert asked(address(at), b"POST " + path + b" HTTP/1.1", *lines) == [403]
    assert published(keyless) == before


def test_the_internal_port_has_no_sockets(guarded: Service) -> None:
    for path in ("/ws", "/", "/api/publish", "/livez"):
        with raw_client(address(guarded.internal)) as raw:
            assert int(raw.handshake(path, {"Authorization": f"Bearer {KEY}"}).split()[1]) in (200, 404, 405)


def test_a_request_within_another_is_answered_by_nobody(guarded: Service) -> None:
    hidden = b"POST /api/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
        len(BODY),
        BODY,
    )
    before = published(guarded)
    for at in (guarded.internal, guarded.public):
        for lines in (
            (b"upgrade: h2c", b"connection: upgrade"),
            (b"transfer-encoding: chunked",),
            (b"content-length: 0",),
        ):
            request = (b"POST /api/publish HTTP/1.1", b"host: localhost", *lines)
            assert asked(address(at), *request, body=hidden) == [400]
    assert published(guarded) == before
    assert total(guarded, "wigwag_connections_refused_total", "malformed") >= 3


# Input of the API


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 2_000_000,
        b'{"topic":"lobby","name":"x","data":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        b'{"messages":' + b"[" * 1_000_000,
        b'{"topic":"lobby\xe2\x80\x8b","text":"x"}',
        '{"topic":"lobbY\u212a","text":"x"}'.encode(),
        b'{"topic":"lobby","topic":"__broadcast__","text":"x"}',
        b'{"topic":"lobby\\u0000","text":"x"}',
        b'{"topic":"lobby\\r\\nPUBLISH","text":"x"}',
    ],
    ids=["brackets", "deep data", "deep messages", "zero width", "kelvin", "twice", "nul", "lines"],
)
def test_json_that_is_a_trap_is_refused(guarded: Service, body: bytes) -> None:
    before = published(guarded)
    lines = (b"POST /api/publish HTTP/1.1", b"host: localhost", b"authorization: Bearer " + KEY.encode())
    assert asked(address(guarded.internal), *lines, body=body) == [400]
    assert published(guarded) == before


def test_topics_in_a_path_are_topics(guarded: Service) -> None:
    connection = http.client.HTTPConnection(*address(guarded.internal), timeout=LIMIT_S)
    for topic in ("__broadcast__", "%0d%0aset-cookie:x", "a%2Fb", "..%2f..", "%F0%9F%98%80", "a" * 5000):
        connection.request("GET", f"/api/topics/{topic}", headers={"Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        assert answer.status in (400, 404)
        assert answer.getheader("set-cookie") is None
        answer.read()
    connection.close()


# Floods


def grown_mb(stock: Service, before: dict[str, float]) -> float:
    name = "process_resident_memory_bytes"
    return (metrics(stock)[name] - before[name]) / 1e6


@pytest.mark.parametrize("port", ["public", "internal"])
def test_requests_in_a_row_of_which_no_answer_is_read_take_no_memory(
    alone: Service, bystander: Client, port: str
) -> None:
    before = metrics(alone)
    path = b"/" if port == "public" else b"/metrics"
    requests = (b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n") * 2000
    with socket.create_connection(address(getattr(alone, port)), timeout=2) as connection:
        with suppress(OSError):  # it takes no more, or has ended the connection
            for _ in range(300):
                connection.sendall(requests)
        assert bystander.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}
        assert grown_mb(alone, before) < 30


def test_fragments_without_end_are_a_message_that_is_too_big(alone: Service, bystander: Client) -> None:
    before = metrics(alone)
    with raw_client(address(alone.public)) as raw:
        raw.handshake("/ws")
        raw.socket.sendall(frame(TEXT, b"x", fin=False))
        with suppress(OSError):
            for _ in range(20):
                raw.socket.sendall(frame(0, b"x", fin=False) * 10_000)
        assert raw.closed() in (1009, 1006)
    with raw_client(address(alone.public)) as raw:
        raw.handshake("/ws")
        raw.socket.sendall(frame(TEXT, b"2", fin=False) + frame(0, b"", fin=False) * 500_000 + frame(0, b""))
        assert raw.receive_frame() == (TEXT, b"3")
    assert grown_mb(alone, before) < 20


def test_what_unpacks_to_more_than_it_may_is_not_unpacked(alone: Service, bystander: Client) -> None:
    before = metrics(alone)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (packer.compress(b"a" * 50_000_000) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(bomb) < 65536  # it is not for its own size that it is refused
    with raw_client(address(alone.public)) as raw:
        answer = raw.handshake("/ws", {"Sec-WebSocket-Extensions": "permessage-deflate"})
        assert "permessage-deflate" in answer
        first, *rest = frame(TEXT, bomb)
        raw.socket.sendall(bytes([first | 0x40, *rest]))
        assert raw.closed() == 1009
    assert grown_mb(alone, before) < 20


def test_a_handshake_full_of_offers_is_answered_as_fast_as_another(alone: Service, bystander: Client) -> None:
    offers = {
        "Sec-WebSocket-Protocol": ",".join(f"p{number}" for number in range(8000)),
        "Sec-WebSocket-Extensions": ",".join(["permessage-deflate; client_max_window_bits"] * 300),
    }
    for name, value in offers.items():
        with raw_client(address(alone.public)) as raw:
            assert " 101 " in raw.handshake("/ws", {name: value})
    with raw_client(address(alone.public)) as raw:
        assert " 431 " in raw.handshake("/ws", {"Sec-WebSocket-Protocol": "p," * 40_000})


def test_a_body_that_trickles_in_ends_with_its_time(alone: Service, bystander: Client) -> None:
    with socket.create_connection(address(alone.public), timeout=LIMIT_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")
        has_ended = False

        def is_over() -> bool:
            nonlocal has_ended
            try:
                connection.sendall(b"x")
                connection.settimeout(0.1)
                has_ended = connection.recv(65536) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                has_ended = True
            return has_ended

        wait_until(is_over, "it is closed", 15)


#: Which port, what is asked of it, and whether that is answered.
VANISHING = {
    "a page": ("public", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", True),
    "pages": ("public", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 10, True),
    "half a body": (
        "internal",
        b"POST /api/publish HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
        False,
    ),
    "half a chunk": (
        "internal",
        b"POST /api/publish HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        False,
    ),
    "numbers": ("internal", b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n" * 3, True),
    "no path": ("public", b"GET /%0aERROR%20fake HTTP/1.1\r\nhost: localhost\r\n\r\n", True),
    "no handshake": (
        "public",
        b"GET /ws%0aERROR HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        True,
    ),
}


@pytest.mark.parametrize(("port", "data", "is_answered"), VANISHING.values(), ids=list(VANISHING))
def test_who_vanishes_is_no_line_in_the_log(
    keyless: Service, port: str, data: bytes, is_answered: bool
) -> None:
    lines = len(keyless.lines)
    for number in range(30):
        connection = socket.create_connection(address(getattr(keyless, port)), timeout=LIMIT_S)
        connection.sendall(data)
        if number % 3 == 0 and is_answered:
            with suppress(OSError):
                connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, number % 2))
        connection.close()
    assert asked(address(keyless.public), b"POST /info HTTP/1.1", b"host: localhost") == [405]
    assert keyless.lines[lines:] == []


# Browsers: a name of somebody else's that leads here, and pages that have no origin

PUBLISH = """() => fetch("/api/publish", {method: "POST", body: '{"topic":"lobby","text":"x"}'})
    .then(answer => answer.status, error => `${error}`)"""
READ = """path => fetch(path).then(answer => answer.status, error => `${error}`)"""
OPEN = """url => new Promise(resolve => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve("opened");
    socket.onclose = event => resolve(event.code);
})"""


@pytest.fixture(scope="module")
def misled(chromium: str) -> Generator[Browser]:
    """Return a browser for which evil.example is this machine, as after DNS rebinding."""
    rules = (
        "--host-resolver-rules=MAP evil.example 127.0.0.1",
        # Chromium has begun to guard local networks itself; here it is the service that must.
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *rules])
        yield browser
        browser.close()


def page_of(browser: Browser, origin: str, html: str = "<title>evil</title>") -> Page:
    """A page that was loaded from there before the name led here."""

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html", body=html)

    page = browser.new_context().new_page()
    page.route(f"{origin}/", answer)
    page.goto(f"{origin}/")
    return page


@pytest.mark.needs("chromium")
def test_a_name_that_was_made_to_lead_here_opens_nothing(keyless: Service, misled: Browser) -> None:
    refused = total(keyless, "wigwag_api_refused_total", "not local")
    before = published(keyless)
    ports = {name: address(getattr(keyless, name))[1] for name in ("public", "internal")}
    page = page_of(misled, f"http://evil.example:{ports['internal']}")
    assert page.evaluate(PUBLISH) == 403
    assert page.evaluate(READ, "/api/topics/lobby") == 403
    page.context.close()
    page = page_of(misled, f"http://evil.example:{ports['public']}")
    assert page.evaluate(READ, "/info") == 403
    assert page.evaluate(OPEN, f"ws://evil.example:{ports['public']}/ws") == 1006
    assert page.evaluate(OPEN, f"ws://127.0.0.1:{ports['public']}/ws") == 1006
    page.context.close()
    assert total(keyless, "wigwag_api_refused_total", "not local") == refused + 2
    assert published(keyless) == before


@pytest.mark.needs("chromium")
def test_a_page_without_an_origin_opens_nothing(keyless: Service, misled: Browser) -> None:
    refused = total(keyless, "wigwag_refused_total", "origin")
    url = f"{keyless.ws}/ws"
    script = f"({OPEN})({json.dumps(url)}).then(said => parent.postMessage(said, '*'))"
    inner = f"<script>{script}</script>".replace('"', "&quot;")
    framed = (
        "<script>said = new Promise(resolve => onmessage = event => resolve(event.data))</script>"
        f'<iframe sandbox="allow-scripts" srcdoc="{inner}"></iframe>'
    )
    page = page_of(misled, "http://evil.example:1", framed)
    assert page.evaluate("said") == 1006
    page.context.close()
    wait_until(lambda: total(keyless, "wigwag_refused_total", "origin") > refused, "it is counted")
