"""The drills of docs/operations/drills.md on Redis: what is to be seen is seen, and clients are told."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from documents import ROOT, all_blocks
from e2e.process import Service, service
from e2e.test_strangers import metrics
from e2e.wire import Client, connecting, wait_until
from servers.redis import RedisServer

pytestmark = pytest.mark.needs("redis-server")

PAGE = ROOT / "docs/operations/drills.md"
#: So that a drill takes seconds.
SOON = {
    "WIGWAG_PROBE_INTERVAL_S": "0.3",
    "WIGWAG_PROBE_TIMEOUT_S": "0.5",
    "WIGWAG_BACKOFF_CAP_S": "0.3",
    "WIGWAG_PUBLISH_TIMEOUT_S": "0.5",
    "WIGWAG_SESSION_TIMEOUT_S": "1",
}


@pytest.fixture
def redis() -> Generator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def stock(redis: RedisServer) -> Generator[Service]:
    with service(WIGWAG_PROVIDER="redis", WIGWAG_REDIS_URL=redis.url, **SOON) as started:
        wait_until(lambda: ready(started)[0] == 200, "its first session is heard")
        yield started


@pytest.fixture
def client(stock: Service) -> Generator[Client]:
    """Return one that is in a room, and is told at the end that it may have missed something."""
    with connecting(f"{stock.ws}/ws") as joined:
        assert "error" not in joined.ask("room.join", {"room": "lobby"})
        yield joined
        told = joined.hear()
        assert told["name"] == "wigwag.resync"
        assert told["data"]["topics"] == ["lobby"]
        wait_until(lambda: metrics(stock)["wigwag_resyncs_total"] >= 1, "it is counted")
        assert ready(stock) == (200, {"ready": True})


def drill(heading: str) -> list[str]:
    """The words of the command that stands there, behind ``redis-cli``."""
    (block,) = [b for b in all_blocks(PAGE) if b.heading == heading and b.text.startswith("redis-cli")]
    return block.text.split()[1:]


def ready(stock: Service) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://{stock.internal}/readyz", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, json.load(exc)


def publish(stock: Service) -> int:
    request = urllib.request.Request(f"{stock.api}/publish", b'{"topic":"lobby","text":"x"}')
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code


def is_up(stock: Service) -> bool:
    return metrics(stock)["wigwag_broker_up"] == 1


def test_the_broker_is_down(redis: RedisServer, stock: Service, client: Client) -> None:
    with suppress(ConnectionError):  # it ends before it answers
        redis.command(*drill("The broker is down"))
    wait_until(lambda: not is_up(stock), "it is seen")
    status, said = ready(stock)
    assert status == 200  # an outage of the broker is one for all replicas
    assert said["warnings"]
    assert publish(stock) == 503
    assert metrics(stock)["wigwag_publish_errors_total not accepted"] == 1
    assert client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}
    redis.kill()  # of which nothing is left
    redis.start()
    wait_until(lambda: is_up(stock), "it is back")
    assert "the broker session ended" in stock.log
    assert "there is no broker session" in stock.log
    assert publish(stock) == 202


def test_the_broker_is_deaf(redis: RedisServer, stock: Service, client: Client) -> None:
    words = ["4000" if word == "20000" else word for word in drill("The broker is deaf")]
    assert "4000" in words
    redis.command(*words)
    wait_until(lambda: not is_up(stock), "it is seen", 3)
    assert client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1}
    wait_until(lambda: is_up(stock), "it is back")


def test_the_broker_comes_and_goes(redis: RedisServer, stock: Service, client: Client) -> None:
    before = metrics(stock)["wigwag_broker_sessions_total"]
    redis.command(*drill("The broker comes and goes"))
    wait_until(lambda: metrics(stock)["wigwag_broker_sessions_total"] == before + 1, "it began anew")
    wait_until(lambda: is_up(stock), "it is heard")


def test_the_page_knows_the_limit_of_open_files() -> None:
    said = re.search(r"`WIGWAG_MAX_CONNECTIONS=(\d+),\nand there is room for (\d+)`", PAGE.read_text())
    assert said is not None
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 1024; WIGWAG_MAX_CONNECTIONS={said[1]} .venv/bin/wigwag check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"which is room for {said[2]} sockets" in done.stdout
