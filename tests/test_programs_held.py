"""The programs of the contract (examples/programs) are as they were given, run, and pass their tests."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import anyio
import pytest

from e2e.servers import Server, serving
from e2e.wire import connecting
from wigwag.errors import SettingsError

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "examples" / "programs"

SHA256 = {
    "chat.py": "d3d62078333b8527220460e872c20b853d6aa07203db6b1869701810650d32a0",
    "dashboard.py": "415c60a2211f8193483ce269b45faaa571cd56096c85d12abb7408a431dd6fcb",
    "db.py": "eaee9b5ea912ca44ec7c0b070b2139fab19d39d99e369f8d80f4ee961eb13cef",
    "incidents_fastapi.py": "f363eb6cf87f61af26fae625c664f74e3087461122f4e5755ea8c27282cf1059",
    "mounted.py": "6a3bfa4af1c1637c2398915808d63fea6d440174ee5e9d68cc11e76dfc6207e0",
    "registry.py": "e5a2ecd7975eabf4cabbeb7f9104987789ead8e2e99f7f1320454b65213d5c24",
    "service.py": "3c4f64e5231b99b5e71a88839e11c231334c2ce883ea67a35c5f4eb92d10f5ee",
    "services.py": "a120d65d602eaa52b361000d437640dc9e63e5cf067f8e2984ff2b87b32dfe51",
    "smallest.py": "6903566f2e2de30918bc74d4018c00d9886fbe724c35665ec4d5800f0ba0e843",
    "test_programs.py": "b79af5f781d2cd1bb204fa698e3d19cf1d4691e2daa1d17a3b1fa25e2f417f1a",
    "worker.py": "a5920260f40c80d0780543b31e2da9d34b7398dabdf58c3b02a7a7274ac3e2df",
}

# pytest looks for tests in test_*.py only: this one stands beside the service that it tests.
test_change_tells_the_product_page = importlib.import_module("service").test_change_tells_the_product_page


def test_the_programs_are_byte_for_byte_what_they_were() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in PROGRAMS.iterdir()
        if path.is_file()
    }
    assert found == SHA256


def test_the_tests_of_the_programs_are_collected() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert {"tests", "examples"} <= set(settings["testpaths"])
    here = (PROGRAMS, Path(__file__))
    command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *here)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50)
    found = [line for line in done.stdout.splitlines() if line.startswith("examples/programs/")]
    assert len(found) == 9, found
    assert "test_programs_held.py::test_change_tells_the_product_page" in done.stdout


# Each through a real server


def smallest(server: Server) -> None:
    with connecting(f"{server.ws}/ws") as a, connecting(f"{server.ws}/ws") as b:
        a.send("first")
        a.hear()
        b.send("hello")
        assert [a.hear()["data"], b.hear()["data"]][0] == {"text": "hello"}


def chat(server: Server) -> None:
    with connecting(f"{server.ws}/ws?name=ann") as ann:
        assert ann.ask("say", {"room": "x", "text": "hi"})["error"] == "Join the room first"
        ann.say("join", room="x")
        assert ann.hear()["data"] == {"room": "x", "text": "ann joined"}
        with connecting(f"{server.ws}/ws?name=bob") as bob:
            bob.say("join", {"room": "x"})
            assert ann.hear()["data"]["text"] == "bob joined"
        assert ann.hear()["data"]["text"] == "bob left"
    with connecting(f"{server.ws}/ws") as nobody:
        assert nobody.closed()[0] == 1008


def dashboard(server: Server) -> None:
    with connecting(f"{server.ws}/ws?token=secret") as client:
        reply = client.ask("subscribe.project", {"projectUuid": "p1"})
        assert reply["data"] == {"projectUuid": "p1", "subscribed": True}
        incident = {
            "uuid": "i", "account": "acme", "project": "p1", "title": "t", "severity": "minor", "monitor_uuid": "m",
        }  # fmt: skip
        assert post(f"{server.http}/incidents", incident) == 201
        assert client.hear()["data"]["monitorUuid"] == "m"
    with connecting(f"{server.ws}/ws?token=no") as nobody:
        assert nobody.closed()[0] == 1008


def incidents_fastapi(server: Server) -> None:
    with connecting(f"{server.ws}/ws?token=secret") as client:
        assert client.ask("subscribe.project", {"project": "p1"})["data"] == {"project": "p1"}
        incident = {"project": "p1", "title": "t", "severity": "minor"}
        assert post(f"{server.http}/incidents?token=secret", incident) == 201
        assert client.hear()["data"]["uuid"] == "i1"
    with connecting(f"{server.ws}/ws") as nobody:
        assert nobody.closed()[0] == 1008


def registry(server: Server) -> None:
    with connecting(f"{server.ws}/ws?user=u") as client:
        assert client.ask("room.join", {"room": "document:1"})["data"] is None
        assert client.ask("room.join", {"room": "secret"})["error"] == "Forbidden"
        assert client.ask("heartbeat")["data"] == {"alive": True}
        client.say("cursor.move", x=1, y=2, document="1")
        assert client.hear()["name"] == "cursor.moved"
        assert client.ask("room.leave", {"room": "document:1"})["data"] is None


def mounted(server: Server) -> None:
    base = f"{server.ws}/realtime"
    with connecting(f"{base}/ws") as client, connecting(f"{base}/admin?key=k") as admin:
        socket_id = client.ask("watch")["data"]["socketId"]
        with urlopen(f"{server.http}/realtime/tick", timeout=10) as answer:
            assert json.load(answer)["url"].endswith("/realtime/ws")
        assert client.hear()["data"] == {"n": 1}
        assert admin.ask("kick", {"socketId": socket_id})["data"] == {"by": "root"}
        assert client.closed() == (1008, "by root")


def post(url: str, content: Any) -> int:
    request = Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:
        return int(answer.status)


@pytest.mark.parametrize(
    "talk", [smallest, chat, dashboard, incidents_fastapi, registry, mounted], ids=lambda talk: talk.__name__
)
def test_a_program_serves_through_uvicorn(talk: Callable[[Server], None]) -> None:
    program: Any = importlib.import_module(talk.__name__)
    with serving("uvicorn-sansio", program.app) as server:
        talk(server)


# The worker, which needs a broker


def test_the_worker_refuses_the_in_process_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WIGWAG_PROVIDER", raising=False)
    program: Any = importlib.import_module("worker")
    for publish in (lambda: anyio.run(program.cron), program.worker):
        with pytest.raises(SettingsError, match="Set WIGWAG_PROVIDER to the provider that the servers use"):
            publish()


def test_the_worker_as_a_process_says_what_to_do() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WIGWAG_")}
    command = (sys.executable, PROGRAMS / "worker.py")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 1
    assert "'memory' reaches the sockets of this process only" in done.stderr
    assert "Set WIGWAG_PROVIDER" in done.stderr.splitlines()[-1]
