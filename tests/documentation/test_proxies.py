"""What docs/operations/proxies.md sets: taken by the programs themselves, and real sockets go through."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from documents import ROOT, blocks
from e2e.process import Service, service
from e2e.wire import Client, connecting, raw_client, wait_until

PAGE = ROOT / "docs/operations/proxies.md"


@dataclass(frozen=True)
class Proxy:
    """How one is run."""

    name: str
    check: Sequence[str]
    run: Sequence[str]

    @property
    def program(self) -> str:
        found = shutil.which(self.name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin")
        assert found is not None
        return found

    @property
    def text(self) -> str:
        (block,) = blocks(PAGE, self.name)
        return block.text


NGINX = Proxy(
    "nginx", ("-t", "-p", "{folder}", "-c", "{file}"), ("-p", "{folder}", "-c", "{file}", "-g", "daemon off;")
)
HAPROXY = Proxy("haproxy", ("-c", "-f", "{file}"), ("-db", "-f", "{file}"))
CADDY = Proxy(
    "caddy",
    ("validate", "--adapter", "caddyfile", "--config", "{file}"),
    ("run", "--adapter", "caddyfile", "--config", "{file}"),
)
ALL = [
    pytest.param(each, id=each.name, marks=pytest.mark.needs(each.name)) for each in (NGINX, HAPROXY, CADDY)
]
WITH_LIMITS = [each for each in ALL if each.id != "caddy"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def proxied(proxy: Proxy, folder: Path, services: Sequence[Service], silence_s: int = 90) -> Generator[str]:
    """Run it as the page sets it, but for ports, the limit on silence, and what an unprivileged test can't have."""
    port = free_port()
    ports = {"8080": str(port)}
    for number, each in enumerate(services):
        ports[f"800{number}"] = each.public.rpartition(":")[2]
        ports[f"900{number}"] = each.internal.rpartition(":")[2]
    text = re.sub(r"(?<=[: ])(8080|800\d|900\d)\b", lambda match: ports[match[1]], proxy.text)
    text = text.replace("90s", f"{silence_s}s").replace("65536", "512").replace("131072", "4096")
    if proxy is NGINX:
        text = f"pid {folder}/pid;\nerror_log stderr;\n{text}".replace(
            "http {", "http {\n    access_log off;"
        )
    if proxy is CADDY:
        text = "{\n\tadmin off\n}\n" + text
    file = folder / proxy.name
    file.write_text(text)
    places = {"folder": str(folder), "file": str(file)}
    command = [part.format(**places) for part in (proxy.program, *proxy.run)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}
        )
        try:
            wait_until(lambda: process.poll() is not None or listens(port), "it listens")
            assert process.poll() is None, (folder / "log").read_text()
            yield f"ws://127.0.0.1:{port}/ws"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("proxy", ALL)
def test_the_program_takes_what_the_page_sets(proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / proxy.name
    file.write_text(proxy.text)
    places = {"folder": str(tmp_path), "file": str(file)}
    command = [part.format(**places) for part in (proxy.program, *proxy.check)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn" not in (done.stdout + done.stderr).lower().replace("warning-free", "")


def served(client: Client) -> bool:
    return bool(client.ask("heartbeat", {"timestamp": 1})["data"] == {"timestamp": 1})


@pytest.mark.parametrize("proxy", ALL)
def test_sockets_go_through_and_a_drain_does(proxy: Proxy, tmp_path: Path) -> None:
    with (
        service() as one,
        service() as two,
        proxied(proxy, tmp_path, [one, two]) as url,
        ExitStack() as open_,
    ):
        # A page of the host that the browser asked, whose name the proxy has to pass on.
        origin = url.replace("ws://", "http://").removesuffix("/ws")
        clients = [open_.enter_context(connecting(url, origin=origin)) for _ in range(8)]
        assert all(map(served, clients))
        assert [sockets_of(one), sockets_of(two)] == [4, 4]
        one.stop()
        wait_until(lambda: sum(map(is_closed, clients)) == 4, "those of one are closed")
        assert {client.closed() for client in clients if is_closed(client)} == {(1012, "going away")}
        assert all(served(client) for client in clients if not is_closed(client))
        for _ in range(4):
            assert served(open_.enter_context(connecting(url, origin=origin)))
        assert sockets_of(two) == 8


def is_closed(client: Client) -> bool:
    return client.connection.close_code is not None


def sockets_of(stock: Service) -> int:
    found = re.search(r"^wigwag_connections\{.*\} (\d+)", page_of(stock), flags=re.MULTILINE)
    assert found
    return int(found[1])


def page_of(stock: Service) -> str:
    with socket.create_connection(tuple_of(stock.internal)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        said = bytearray()
        while data := connection.recv(65536):
            said += data
    return said.decode()


def tuple_of(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("proxy", WITH_LIMITS)
def test_an_idle_socket_stays_by_its_heartbeats_and_a_silent_one_goes(proxy: Proxy, tmp_path: Path) -> None:
    with (
        service() as one,
        service() as two,
        proxied(proxy, tmp_path, [one, two], silence_s=2) as url,
        connecting(url) as idle,
        raw_client(tuple_of(url.removeprefix("ws://").removesuffix("/ws"))) as silent,
    ):
        silent.handshake("/ws")
        ends_at = time.monotonic() + 5
        while time.monotonic() < ends_at:
            idle.send("2")
            assert idle.receive() == "3"
            time.sleep(0.5)
        assert served(idle)
        assert silent.closed() == 1006  # which shows that the limit is one


def test_what_is_written_in_yaml_can_be_read() -> None:
    found = [yaml.safe_load(block.text) for block in blocks(PAGE, "yaml")]
    assert len(found) == 2
    assert "websocket" in json.dumps(found[0])
