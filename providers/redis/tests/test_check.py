"""What ``wigwag check`` says of a Redis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from servers.certificates import Certificates
from servers.redis import RedisCluster, RedisSentinel, RedisServer
from wigwag.broker import BrokerLost, Finding
from wigwag.settings import Secret
from wigwag_redis import RedisSettings, RedisUrl
from wigwag_redis.check import check, judge_clock, judge_login

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]


async def findings(url: str, **settings: Any) -> list[Finding]:
    found = list(await check(RedisSettings(url=RedisUrl.parse(url), **settings)))
    assert not [finding for finding in found if "\n" in finding.text or "secret" in finding.text]
    return found


async def levels(url: str, **settings: Any) -> list[tuple[str, str]]:
    return [(finding.level, finding.subject) for finding in await findings(url, **settings)]


async def the(subject: str, url: str, **settings: Any) -> Finding:
    (finding,) = [each for each in await findings(url, **settings) if each.subject == subject]
    return finding


async def test_a_server_as_it_should_be() -> None:
    with RedisServer("client-output-buffer-limit pubsub 256mb 64mb 60") as server:
        found = await findings(server.url)
        version = server.command("INFO", "server").partition("redis_version:")[2].split()[0]
        assert {finding.level for finding in found} == {"ok"}
        assert [finding.subject for finding in found] == [
            "encryption",
            "server",
            "largest message",
            "output buffer limit",
            "connections",
            "clock",
            "permissions",
        ]
        at = f"127.0.0.1:{server.port}"
        texts = {finding.subject: finding.text for finding in found}
        assert texts["server"] == f"{at}: Redis {version}, standalone, a master"
        assert texts["output buffer limit"] == f"{at}: pubsub 256mb 64mb 60"
        assert texts["largest message"] == f"{at}: {128 * 1024 * 1024} bytes"


async def test_redis_default_room_for_subscribers_is_little(redis_server: RedisServer) -> None:
    finding = await the("output buffer limit", redis_server.url)
    assert finding.level == "warning"
    assert "pubsub 32mb 8mb 60: a node that is further behind is disconnected" in finding.text
    assert 'CONFIG SET client-output-buffer-limit "pubsub 256mb 64mb 60"' in finding.text


async def test_no_limit_is_room_enough() -> None:
    with RedisServer("client-output-buffer-limit pubsub 0 0 0") as server:
        assert (await the("output buffer limit", server.url)).level == "ok"
        assert (await the("largest message", server.url)).text.endswith(f": {512 * 1024 * 1024} bytes")


async def test_few_connections_that_are_left() -> None:
    with RedisServer("maxclients 2") as server:
        finding = await the("connections", server.url)
        assert (finding.level, finding.nodes) == ("warning", 0)
        assert finding.text == (
            f"127.0.0.1:{server.port}: 2 of 2 are taken: room for 0 nodes more, each takes 2; raise maxclients"
        )
    with RedisServer("maxclients 100") as server:
        finding = await the("connections", server.url)
        assert (finding.level, finding.nodes) == ("ok", 49)


async def test_a_server_that_ends_connections_by_itself() -> None:
    with RedisServer("timeout 5") as server:
        finding = await the("timeout", server.url)
        assert finding.level == "warning"
        assert "CONFIG SET timeout 0" in finding.text
        server.command("CONFIG", "SET", "timeout", "300")
        assert "timeout" not in [subject for _, subject in await levels(server.url)]
        set_to = server.command("CONFIG", "SET", "maxmemory-clients", "100mb")
        if "OK" in set_to:  # since 7.0
            finding = await the("maxmemory-clients", server.url)
            assert finding.level == "warning"
            assert "CONFIG SET maxmemory-clients 0" in finding.text


@pytest.mark.parametrize(
    ("skew_s", "level", "text"),
    [(0.5, "ok", "0.5 s"), (-9.0, "warning", "9.0 s behind ours"), (9.0, "warning", "9.0 s ahead of ours")],
)
def test_clocks_that_differ(skew_s: float, level: str, text: str) -> None:
    finding = judge_clock("redis:6379", skew_s)
    assert finding.level == level
    assert text in finding.text


@pytest.mark.parametrize(
    ("url", "settings", "levels"),
    [
        ("redis://127.0.0.1", {}, []),
        ("unix:///run/redis", {}, []),
        ("redis://redis.internal", {}, ["warning"]),
        ("rediss://redis.internal", {"tls_cert_file": Path("cert.pem")}, []),
        ("redis://redis.internal", {"password": Secret("x")}, []),
        ("redis://:x@redis.internal", {}, []),
    ],
)
def test_a_redis_that_anyone_may_use(url: str, settings: dict[str, Any], levels: list[str]) -> None:
    found = [*judge_login(RedisSettings(url=RedisUrl.parse(url), **settings))]
    assert [finding.level for finding in found] == levels


async def test_a_user_of_whom_little_is_allowed() -> None:
    with RedisServer() as server:
        url = f"redis://bob:secret@127.0.0.1:{server.port}"
        may = "resetchannels &ws:* -@all +publish +subscribe +unsubscribe"
        server.command("ACL", "SETUSER", "bob", "on", ">secret", *may.split())
        found = {finding.subject: finding for finding in await findings(url)}
        assert found["permissions"].level == "ok"
        assert found["output buffer limit"].level == "warning"
        assert "CONFIG GET is not allowed" in found["output buffer limit"].text
        assert found["connections"].level == "warning"
        assert found["largest message"].text.endswith(f"{16 * 1024 * 1024} bytes, assumed")

        server.command("ACL", "SETUSER", "bob", "-publish", "resetchannels", "&other:*")
        errors = [finding for finding in await findings(url) if finding.level == "error"]
        assert [error.subject for error in errors] == ["permissions"] * 2
        assert errors[0].text.startswith("no subscribing: NOPERM")
        assert "&ws:* +subscribe +unsubscribe +publish" in errors[0].text
        assert errors[1].text.startswith("no publishing: NOPERM")


async def test_a_network_that_is_not_encrypted(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    monkeypatch.setattr("wigwag_redis.check.is_loopback", lambda host: False)
    finding = await the("encryption", redis_server.url)
    assert finding.level == "warning"
    assert "a URL that begins with rediss" in finding.text
    with RedisServer(unix=True) as server:
        assert (await the("encryption", server.url)).level == "ok"


@pytest.mark.needs("openssl")
async def test_tls(certificates: Certificates) -> None:
    with RedisServer(tls=certificates) as server:
        finding = await the("encryption", server.url, tls_ca_file=certificates.ca)
        assert finding == Finding("ok", "encryption", "TLS")


async def test_a_cluster_and_a_plain_url_to_it() -> None:
    with RedisCluster(shards=2) as cluster:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
        found = await levels(f"redis+cluster://{hosts}")
        assert found.count(("ok", "server")) == 2
        assert ("ok", "permissions") in found
        assert ("warning", "cluster nodes") not in found
        first = hosts.partition(",")[0]
        assert ("warning", "cluster nodes") in await levels(f"redis+cluster://{first}")
        finding = await the("cluster", cluster.url)
        assert finding.level == "warning"
        assert "a URL that begins with redis+cluster" in finding.text


async def test_sentinels() -> None:
    with RedisSentinel() as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.sentinels[0].port}/{sentinel.name}"
        found = await findings(url)
    (server,) = [finding.text for finding in found if finding.subject == "server"]
    assert server.startswith(f"127.0.0.1:{sentinel.servers[0].port}: Redis")
    assert [finding.level for finding in found if finding.subject == "sentinels"] == ["warning"]


async def test_a_server_that_can_not_be_used() -> None:
    with RedisServer("requirepass secret") as server:
        with pytest.raises(BrokerLost, match="wants a password"):
            await findings(server.url)
        settings = {"password": Secret("secret")}
        assert ("ok", "permissions") in await levels(server.url, **settings)


def test_the_command(redis_server: RedisServer) -> None:
    command = [sys.executable, "-m", "wigwag", "check"]
    environ = {"WIGWAG_PROVIDER": "redis", "WIGWAG_REDIS_URL": redis_server.url}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert "permissions" in said.stdout
    assert "a message came back in" in said.stdout
