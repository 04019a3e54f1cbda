"""``wigwag smoke`` against replicas that are wrong in different ways; with right ones it runs in tests/charts."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import socket
import socketserver
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wigwag.errors import WigwagError

smoke = importlib.import_module("wigwag.cli.smoke")  # in wigwag.cli the command has its name

PLAN = smoke.Plan(
    hosts=["replicas"],
    replicas=2,
    port=1,
    internal_port=9000,
    path="/ws",
    key=None,
    authorization=None,
)


class Names:
    """A name service that has an answer for each time that it is asked; the last one stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: object, **_: object) -> list[tuple[Any, ...]]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said of tries that failed; there is no pause between two."""
    lines: list[str] = []
    monkeypatch.setattr(smoke.click, "echo", lambda text, err=False: lines.append(text))
    monkeypatch.setattr(smoke, "_PAUSE_S", 0)
    return lines


def answered(monkeypatch: pytest.MonkeyPatch, names: Names, nodes: Mapping[str, list[str]]) -> None:
    """Let there be these addresses, each of which hears those nodes."""
    monkeypatch.setattr(
        asyncio.BaseEventLoop, "getaddrinfo", lambda _, *args, **kwargs: names(*args, **kwargs)
    )

    def get(base: str, path: str, key: str | None) -> bytes:
        heard = nodes[base.removeprefix("http://").removesuffix(":9000")]
        return json.dumps({"nodes": [{"node": node} for node in heard]}).encode()

    monkeypatch.setattr(smoke, "get", get)


def test_it_tries_until_all_replicas_are_there(monkeypatch: pytest.MonkeyPatch, tried: list[str]) -> None:
    names = Names((), ("10.0.0.1",), ("10.0.0.1",), ("10.0.0.1", "10.0.0.2"))
    answered(monkeypatch, names, {"10.0.0.1": ["a", "b"], "10.0.0.2": ["b", "a"]})
    smoke.smoke(PLAN, timeout_s=20, connects=False)
    assert tried == [
        "wigwag: not yet: replicas has no address: Name or service not known",
        "wigwag: not yet: 1 of 2 replicas are there: 10.0.0.1",
        "2 replicas: each hears all 2 nodes",
    ]


def test_replicas_that_do_not_hear_each_other_fail(monkeypatch: pytest.MonkeyPatch, tried: list[str]) -> None:
    names = Names(("10.0.0.1", "10.0.0.2"))
    answered(monkeypatch, names, {"10.0.0.1": ["a"], "10.0.0.2": ["b"]})
    with pytest.raises(WigwagError, match=r"^after 0\.2 s: 10\.0\.0\.1 hears 1 of 2 nodes$"):
        smoke.smoke(PLAN, timeout_s=0.2, connects=False)


def test_a_replica_that_nobody_hears_fails(monkeypatch: pytest.MonkeyPatch, tried: list[str]) -> None:
    answered(monkeypatch, Names(("10.0.0.1", "10.0.0.2")), {"10.0.0.1": ["a"], "10.0.0.2": ["a"]})
    with pytest.raises(WigwagError, match="2 replicas, but only 1 nodes answer"):
        smoke.smoke(PLAN, timeout_s=0.2, connects=False)


def test_a_replica_that_does_not_answer_fails(monkeypatch: pytest.MonkeyPatch, tried: list[str]) -> None:
    answered(monkeypatch, Names(("127.0.0.1", "::1")), {})
    with pytest.raises(WigwagError, match=r"connecting to 127\.0\.0\.1|connecting to ::1"):
        smoke.smoke(PLAN, timeout_s=1, connects=True)


def test_a_token_is_that_of_the_file_or_signed_by_the_secret_or_none(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a.b.c\n")
    secret = {"WIGWAG_JWT_SECRET": "0123456789" * 4}
    assert smoke.authorization_of(secret, path) == "Bearer a.b.c"
    assert smoke.authorization_of(secret, None).startswith("Bearer ey")
    assert smoke.authorization_of({}, None) is None
    with pytest.raises(WigwagError, match="--token-file"):
        smoke.authorization_of({}, tmp_path / "missing")


def test_a_try_that_failed_leaves_no_connection_behind(
    monkeypatch: pytest.MonkeyPatch, tried: list[str]
) -> None:
    """One replica takes connections and says nothing, the other refuses them."""
    open_, most = 0, 0

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            nonlocal open_, most
            with counting:
                open_ += 1
                most = max(most, open_)
            while self.request.recv(4096):
                pass
            with counting:
                open_ -= 1

    counting = threading.Lock()
    monkeypatch.setattr(smoke, "_PAUSE_S", 0.02)
    answered(monkeypatch, Names(("127.0.0.1", "127.0.0.2")), {})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        plan = dataclasses.replace(PLAN, port=server.server_address[1])
        with pytest.raises(WigwagError, match=r"^after 2 s: connecting to 127\.0\.0\.2"):
            smoke.smoke(plan, timeout_s=2, connects=True)
        server.shutdown()
    assert 1 <= most <= 5
