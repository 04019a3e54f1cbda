"""``wigwag serve``: the stock service over real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Generator
from http.client import HTTPConnection
from itertools import takewhile
from typing import IO, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from serving import LIMIT_S, WIGWAG, Service, ask, environment, run, serving


@pytest.fixture(scope="module")
def service() -> Generator[Service]:
    with serving() as service:
        yield service


def test_it_prints_what_a_newcomer_needs(service: Service) -> None:
    text = "".join(service.said)
    assert re.search(r"^wigwag \S+ · provider memory · node [0-9a-f]{8}$", text, re.MULTILINE)
    assert f"page      {service.public}/\n" in text
    assert f"sockets   {service.ws}\n" in text
    curl = f"""curl -d '{{"topic":"lobby","text":"hello"}}' {service.internal}/api/publish\n"""
    assert curl in text


def test_the_page_is_served_under_a_strict_policy(service: Service) -> None:
    status, headers, body = service.get(f"{service.public}/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    for linked in set(re.findall(rb'(?:src|href)="(/static/[^"]+)"', body)):
        assert service.get(service.public + linked.decode())[0] == 200
    info = json.loads(service.get(f"{service.public}/info")[2])
    assert info["publishUrl"] == f"{service.internal}/api/publish"


def test_what_curl_publishes_reaches_the_socket_that_joined(service: Service) -> None:
    with connect(service.ws) as client:
        assert ask(client, "room.join", room="lobby") == {
            "type": "room.join",
            "correlationId": 1,
            "data": None,
        }
        curl = ["curl", "-sS", "-d", '{"topic":"lobby","text":"hello"}', f"{service.internal}/api/publish"]
        done = subprocess.run(curl, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        assert json.loads(done.stdout) == {"accepted": 1}
        assert client.recv(LIMIT_S) == "hello"


def test_in_development_mode_a_client_publishes_too(service: Service) -> None:
    with connect(service.ws) as ann, connect(service.ws) as bob:
        ask(bob, "room.join", room="orders:7")
        assert ask(ann, "publish", topic="orders:7", text="hi")["data"] is None
        assert bob.recv(LIMIT_S) == "hi"
        ask(ann, "publish", topic="orders:7", name="created", data={"id": 7})
        event = json.loads(bob.recv(LIMIT_S))
        assert (event["name"], event["data"]) == ("created", {"id": 7})
        ask(bob, "room.leave", room="orders:7")
        ask(ann, "publish", topic="orders:7", text="nobody")
        assert ask(bob, "heartbeat", timestamp=3)["data"] == {"timestamp": 3}  # and nothing before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"topic": "__broadcast__", "text": "x"}, "names that begin with __ are reserved"),
        ({"topic": "lobby", "name": "wigwag.resync", "data": {}}, "begin with wigwag. are the server's own"),
        ({"topic": "lobby"}, 'a message has "name" and "data", or "text"'),
        ({"topic": "lobby", "text": 1}, "Expected `str`, got `int`"),
    ],
)
def test_what_a_client_can_not_publish_is_refused(
    service: Service, data: dict[str, Any], message: str
) -> None:
    with connect(service.ws) as client:
        reply = ask(client, "publish", **data)
    assert reply["error"] == "Validation failed"
    assert message in reply["details"][0]["message"]


def test_a_message_over_the_limit_closes_with_1009() -> None:
    with serving(WIGWAG_MESSAGE_BYTES="100") as service, connect(service.ws) as client:
        client.send("x" * 101)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(LIMIT_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009


def test_more_topics_than_the_limit_are_refused() -> None:
    with serving(WIGWAG_TOPICS_PER_SOCKET="1") as service, connect(service.ws) as client:
        assert "error" not in ask(client, "room.join", room="a")
        assert ask(client, "room.join", room="b")["error"] == "Too many topics"


ELSEWHERE = {"Origin": "https://app.example"}


def test_a_page_of_another_origin_may_not_connect(service: Service) -> None:
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    client = HTTPConnection(service.public.removeprefix("http://"), timeout=LIMIT_S)
    with contextlib.closing(client):
        client.request("GET", "/ws", headers={**handshake, **ELSEWHERE})
        assert client.getresponse().status == 403


def test_a_page_of_an_allowed_origin_connects() -> None:
    with (
        serving(WIGWAG_ALLOWED_ORIGINS="https://app.example") as service,
        connect(service.ws, additional_headers=ELSEWHERE) as client,
    ):
        assert "error" not in ask(client, "room.join", room="a")


def test_with_a_key_the_api_asks_for_it() -> None:
    with serving(WIGWAG_API_KEY="s3cret") as service:
        assert '-H "Authorization: Bearer $WIGWAG_API_KEY"' in service.said[-1]
        assert "s3cret" not in "".join(service.said)
        assert service.get(f"{service.internal}/api/topics/lobby")[0] == 401
        arguments = ("publish", "lobby", "hi", "--url", service.internal)
        assert run(*arguments, WIGWAG_API_KEY="s3cret").returncode == 0
        assert run(*arguments).returncode == 1


def test_health_and_metrics_are_on_the_internal_port(service: Service) -> None:
    assert service.get(f"{service.internal}/livez")[0] == 200
    assert json.loads(service.get(f"{service.internal}/readyz")[2]) == {"ready": True}
    assert b'wigwag_broker_up{provider="memory"} 1.0' in service.get(f"{service.internal}/metrics")[2]


@contextlib.contextmanager
def listening(*arguments: str) -> Generator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """``wigwag listen``, its output and its notices."""
    with subprocess.Popen(
        [str(WIGWAG), "listen", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            yield process, process.stdout, process.stderr
        finally:
            process.send_signal(signal.SIGINT)  # so that its coverage is written


def test_listen_prints_what_is_published_until_ctrl_c(service: Service) -> None:
    with listening("lobby", "orders:7", "--url", service.ws) as (process, out, err):
        assert err.readline() == f"wigwag: connected to {service.ws}, joining lobby, orders:7\n"
        assert err.readline() == "wigwag: listening to lobby, orders:7; Ctrl-C stops\n"
        assert run("publish", "lobby", "hello", "--url", service.internal).returncode == 0
        event = ("orders:7", '{"id":7}', "--name", "created")
        assert run("publish", *event, "--url", service.internal).returncode == 0
        assert json.loads(out.readline()) == {"text": "hello"}
        received = json.loads(out.readline())
        assert (received["name"], received["data"]) == ("created", {"id": 7})
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
        assert err.read() == ""


def test_listen_comes_back_with_the_service_and_says_so() -> None:
    with serving() as first, listening("lobby", "--url", first.ws) as (_, out, err):
        assert "joining lobby" in err.readline()
        assert "listening to lobby" in err.readline()
        first.end()
        assert "trying again" in err.readline()
        with serving("--listen", first.public.removeprefix("http://")) as second:
            notices = list(takewhile(lambda line: "connected again" not in line, err))
            assert not [notice for notice in notices if "trying again" not in notice]
            with connect(second.ws) as other:
                while json.loads(second.get(f"{second.internal}/api/topics/lobby")[2])["sockets"] < 1:
                    assert ask(other, "heartbeat")["data"]  # until it has joined again
            assert run("publish", "lobby", "back", "--url", second.internal).returncode == 0
            assert json.loads(out.readline()) == {"text": "back"}


def test_output_that_nobody_reads_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        command = [str(WIGWAG), "providers"]
        done = subprocess.run(
            command, env=environment(), stdout=closed, stderr=subprocess.PIPE, timeout=LIMIT_S, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_two_on_one_address_are_one_too_many() -> None:
    with serving() as first:
        address = first.public.removeprefix("http://")
        second = run("serve", "--listen", address, "--internal-listen", "127.0.0.1:0")
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert f"can't listen on {address}: address already in use" in second.stderr


@pytest.mark.parametrize("key", ["", " s3cr3t ", "s3cr3t\nb", "s3créts"])
def test_a_key_that_could_never_match_is_refused_and_not_shown(key: str) -> None:
    served = run("serve", "--listen", "127.0.0.1:0", WIGWAG_API_KEY=key)
    published = run("publish", "lobby", "x", f"--key={key}")
    for tried in (served, published):
        assert tried.returncode == 2
        assert "printable ASCII" in tried.stderr
        assert not key.strip() or key.strip() not in tried.stderr
