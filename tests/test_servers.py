"""The servers that other tests are run against: whether they answer, hang, die and come back as told."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.certificates import Certificates, make_certificates
from servers.nats import NatsCluster, NatsServer
from servers.process import NotStarted, ServerProcess, wait_until
from servers.redis import RedisCluster, RedisRefused, RedisSentinel, RedisServer
from serving import environment

# As a line of `make brokers` says where a broker is.
SAID = re.compile(r"WIGWAG_PROVIDER=(\w+) WIGWAG_\1_\w+=\S*:(\d+) make run$", re.IGNORECASE)
ROOT = Path(__file__).parents[1]
REDIS = pytest.param(RedisServer, marks=pytest.mark.needs("redis-server"))
NATS = pytest.param(NatsServer, marks=pytest.mark.needs("nats-server"))
any_server = pytest.mark.parametrize("make", [REDIS, NATS])
needs_redis = pytest.mark.needs("redis-server")
needs_nats = pytest.mark.needs("nats-server")


def process_of(server: ServerProcess) -> subprocess.Popen[bytes]:
    assert server.process is not None
    return server.process


def is_silent(server: ServerProcess) -> bool:
    try:
        server.answers()
    except OSError:
        return True
    return False


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@any_server
def test_a_server_answers_and_leaves_nothing_behind(make: Callable[[], ServerProcess]) -> None:
    with make() as server:
        assert server.answers()
        process = process_of(server)
    assert process.poll() is not None
    assert not server.directory.exists()
    assert is_silent(server)


@any_server
def test_a_paused_server_hangs_and_goes_on(
    make: Callable[[], ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("servers.redis.server", "servers.nats"):
        monkeypatch.setattr(f"{module}.ANSWER_LIMIT_S", 0.1)
    with make() as server:
        server.pause()
        with pytest.raises(TimeoutError):
            server.answers()
        server.resume()
        monkeypatch.undo()
        assert server.answers()


@any_server
@pytest.mark.parametrize("end", [ServerProcess.kill, ServerProcess.stop])
def test_a_server_that_ended_starts_again_on_its_port(
    make: Callable[[], ServerProcess], end: Callable[[ServerProcess], None]
) -> None:
    with make() as server:
        port, first = server.port, process_of(server)
        end(server)
        assert is_silent(server)
        server.start()
        assert (server.port, server.answers()) == (port, True)
        assert process_of(server).pid != first.pid
        server.pause()
        server.restart()
        assert server.answers()


@any_server
def test_a_paused_server_can_be_stopped(make: Callable[[], ServerProcess]) -> None:
    with make() as server:
        process = process_of(server)
        server.pause()
        server.stop()
        assert process.returncode in (0, 1)  # by itself: a signal that killed it would be negative


@needs_redis
def test_a_server_that_can_not_start_says_why() -> None:
    with pytest.raises(NotStarted, match="no-such-setting"), RedisServer("no-such-setting yes"):
        pass


@needs_redis
def test_a_server_does_not_outlive_the_tests(tmp_path: Path) -> None:
    program = (
        "from servers.redis import RedisServer\n"
        "with RedisServer() as server:\n"
        "    print(server.port, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**environment(), "PYTHONPATH": str(ROOT / "tests"), "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        port = int(tests.stdout.readline())
        assert is_served(port)
        tests.kill()
    wait_until(lambda: not is_served(port), "the end of the server")


@needs_redis
def test_a_server_outlives_the_thread_that_started_it() -> None:
    with RedisServer() as server:
        server.kill()
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        with pytest.raises(subprocess.TimeoutExpired):
            process_of(server).wait(0.1)
        assert server.answers()


@needs_redis
def test_redis_keeps_to_its_logins() -> None:
    with RedisServer("requirepass s3cret") as server:
        assert server.command("CONFIG", "GET", "requirepass") == "requirepass\ns3cret"
        server.command("ACL", "SETUSER", "reader", "on", ">pass", "+ping")
        server.login = ("reader", "pass")
        assert server.answers()
        with pytest.raises(RedisRefused, match="NOPERM"):
            server.command("SET", "a", 1)


@needs_redis
def test_redis_on_a_unix_socket() -> None:
    with RedisServer(unix=True) as server:
        assert server.url == f"unix://{server.path}"
        assert server.command("ECHO", "a\r\nb") == "a\r\nb"


@needs_redis
@pytest.mark.needs("openssl")
def test_redis_with_tls(certificates: Certificates, tmp_path: Path) -> None:
    with RedisServer("tls-auth-clients yes", tls=certificates) as server:
        assert server.url.startswith("rediss://")
        assert server.command("PING") == "PONG"
        stranger = make_certificates(tmp_path).client_context()
        with (
            socket.create_connection(("127.0.0.1", server.port)) as link,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            stranger.wrap_socket(link, server_hostname="localhost")


@needs_redis
def test_sentinel_makes_the_replica_the_master() -> None:
    with RedisSentinel() as fleet:
        first, second = fleet.servers
        assert fleet.master is first
        assert fleet.failover() == second.port == fleet.master_port
        assert second.command("SET", "a", 1) == "OK"


@needs_redis
def test_sentinels_notice_that_the_master_died() -> None:
    with RedisSentinel(sentinels=3) as fleet:
        assert fleet.failover(kill=True) == fleet.servers[1].port


@needs_redis
def test_a_cluster_serves_all_slots_and_moves_one() -> None:
    with RedisCluster() as cluster:
        slot = cluster.slot("a")
        source = cluster.owner(slot)
        target = next(node for node in cluster.nodes if node is not source)
        with pytest.raises(RedisRefused, match=f"MOVED {slot}"):
            target.command("SET", "a", 1)
        cluster.move_slot(slot, source, target)
        assert cluster.owner(slot) is target
        assert target.command("SET", "a", 1) == "OK"
        with pytest.raises(RedisRefused, match="has keys"):
            cluster.move_slot(slot, target, source)


@needs_redis
def test_a_replica_takes_over_a_shard() -> None:
    with RedisCluster(replicas=1, node_timeout_s=0.5) as cluster:
        heir = cluster.failover(0)
        assert cluster.owner(0) is heir


@needs_nats
def test_nats_takes_a_text_of_configuration() -> None:
    with NatsServer("max_payload: 1234\nauthorization { token: s3cret }") as server:
        assert server.info()["max_payload"] == 1234
        assert server.info()["auth_required"] is True


@needs_nats
def test_nats_servers_find_each_other_again() -> None:
    with NatsCluster() as cluster:
        first, second = cluster.nodes
        assert first.info()["cluster"] == second.info()["cluster"]
        second.restart()
        cluster.await_routes()


@needs_redis
@needs_nats
@pytest.mark.needs("kafka")
def test_make_brokers_names_three_and_ends_all_of_them(tmp_path: Path) -> None:
    ports: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, ROOT / "tools" / "brokers.py"],
        env={**environment(), "PYTHONPATH": str(ROOT / "tests"), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as brokers:
        assert brokers.stdout is not None
        try:
            while len(ports) < 3:
                line = brokers.stdout.readline()
                assert line, f"it ended after {ports}"
                assert "not started" not in line, line
                if found := SAID.match(line):
                    ports[found[1]] = int(found[2])
            assert ports.keys() == {"redis", "nats", "kafka"}
            assert all(map(is_served, ports.values()))
        finally:
            brokers.send_signal(signal.SIGTERM)
    assert brokers.returncode == 0
    assert not any(map(is_served, ports.values()))
    assert list(tmp_path.glob("wigwag-*")) == []
