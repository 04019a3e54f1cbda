"""What is said, in one line, of a Redis that can't be used."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from servers.certificates import Certificates, make_certificates
from servers.proxy import TcpProxy
from servers.redis import RedisSentinel, RedisServer
from wigwag.broker import BrokerLost
from wigwag.settings import Secret
from wigwag.testing.contract import RecordingInbox, open_session
from wigwag_redis import RedisSettings, RedisUrl
from wigwag_redis.check import make_broker

pytestmark = [pytest.mark.anyio, pytest.mark.needs("redis-server")]


async def why_not(url: str, **settings: Any) -> str:
    """What a session says that never becomes ready."""
    settings = {"connect_timeout": 1.0, **settings}
    broker = make_broker(RedisSettings(url=RedisUrl.parse(url), **settings))
    inbox = RecordingInbox()
    try:
        with anyio.fail_after(5), pytest.raises(BrokerLost) as caught:
            await broker.run(inbox)
    finally:
        await broker.close()
    assert not inbox.readies
    line = str(caught.value)
    assert "\n" not in line
    assert "secret" not in line
    return line


@asynccontextmanager
async def answering(*lines: bytes) -> AsyncIterator[int]:
    """A server that answers each thing it is sent with the next line, and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in lines:
            if await reader.read(65536):
                writer.write(line + b"\r\n")
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def closed_port() -> Generator[int]:
    """Return a port of which nobody else makes use, and where nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def test_nothing_listens(closed_port: int) -> None:
    line = await why_not(f"redis://127.0.0.1:{closed_port}")
    assert line == (
        f"127.0.0.1:{closed_port} can't be reached: nothing listens there (connection refused); "
        "is WIGWAG_REDIS_URL right?"
    )


async def test_there_is_no_such_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    assert await why_not(f"unix://{path}") == f"{path} can't be reached: No such file or directory"


async def test_the_host_has_no_address() -> None:
    line = await why_not("redis://nobody.invalid")
    assert line.startswith("nobody.invalid:6379 can't be reached: its name can't be resolved")
    assert line.endswith("; is WIGWAG_REDIS_URL right?")


async def test_a_server_that_hangs() -> None:
    with RedisServer() as server:
        server.pause()
        line = await why_not(server.url, connect_timeout=0.2)
        server.resume()
    assert line == (
        f"127.0.0.1:{server.port} can't be reached: it did not answer within 0.2 s (WIGWAG_REDIS_CONNECT_TIMEOUT)"
    )


async def test_a_link_that_swallows_all(redis_server: RedisServer) -> None:
    async with TcpProxy(redis_server.port) as proxy:
        proxy.drop("up")
        line = await why_not(f"redis://127.0.0.1:{proxy.port}", connect_timeout=0.2)
    assert "it did not answer within 0.2 s" in line


@pytest.fixture(scope="module")
def locked() -> Generator[RedisServer]:
    with RedisServer("requirepass secret") as server:
        yield server


async def test_a_password_is_wanted(locked: RedisServer) -> None:
    line = await why_not(locked.url)
    assert line == (
        f"127.0.0.1:{locked.port} wants a password: WIGWAG_REDIS_PASSWORD, or in WIGWAG_REDIS_URL"
    )


@pytest.mark.parametrize("login", [":secret2@", "default:secret2@", "nobody:secret@"])
async def test_the_password_is_wrong(locked: RedisServer, login: str) -> None:
    line = await why_not(f"redis://{login}127.0.0.1:{locked.port}")
    assert line == (
        f"127.0.0.1:{locked.port} refuses the user or the password (WRONGPASS); see WIGWAG_REDIS_USERNAME "
        "and …_PASSWORD"
    )


async def test_a_password_that_nobody_wants(redis_server: RedisServer) -> None:
    # Redis takes any password for a user that has none: so it works, as everywhere.
    url = RedisUrl.parse(f"redis://:secret@127.0.0.1:{redis_server.port}")
    async with open_session(make_broker(RedisSettings(url=url))) as session:
        assert not session.is_over


async def test_too_many_clients() -> None:
    with RedisServer("maxclients 1") as server, socket.create_connection(("127.0.0.1", server.port)) as held:
        held.sendall(b"PING\r\n")
        assert held.recv(7) == b"+PONG\r\n"
        line = await why_not(server.url)
    assert line == f"127.0.0.1:{server.port} refuses us: ERR max number of clients reached"


async def test_a_server_too_old_does_not_get_us_to_show_the_password() -> None:
    # What Redis 5 says repeats what it was sent.
    says = b"-ERR unknown command `HELLO`, with args beginning with: `2`, `AUTH`, `default`, `secret`, "
    async with answering(says) as port:
        line = await why_not(f"redis://:secret@127.0.0.1:{port}")
    assert line == f"the server at 127.0.0.1:{port} is too old: Redis 6.0 or later is needed"


async def test_a_cluster_too_old() -> None:
    hello = b"*6\r\n$7\r\nversion\r\n$5\r\n6.2.1\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster"
    async with answering(hello) as port:
        line = await why_not(f"redis+cluster://127.0.0.1:{port}")
    assert line == f"Redis 6.2.1 at 127.0.0.1:{port} is too old: a cluster needs 7.0 or later"


async def test_something_else_listens() -> None:
    async with answering(b"HTTP/1.1 400 Bad Request") as port:
        line = await why_not(f"redis://127.0.0.1:{port}")
    assert line.startswith(f"127.0.0.1:{port} does not speak as Redis does (")


@pytest.mark.parametrize(
    "answer",
    [
        b"+OK",
        b":1",
        b"$-1",
        b"*-1",
        b"*0",
        b"*2\r\n*0\r\n*0",
        b"*2\r\n$7\r\nversion\r\n$5\r\n7.0.0",
        b"*4\r\n$7\r\nversion\r\n:7\r\n$4\r\nmode\r\n$7\r\ncluster",
        b"*4\r\n$7\r\nversion\r\n$1\r\n\xff\r\n$4\r\nmode\r\n$7\r\ncluster",
    ],
)
async def test_something_else_speaks_as_redis_and_is_none(answer: bytes) -> None:
    async with answering(answer) as port:
        line = await why_not(f"redis://127.0.0.1:{port}")
    assert line == f"127.0.0.1:{port} does not answer HELLO as Redis does; is the port right?"


async def test_a_cluster_whose_version_is_no_number_is_too_old() -> None:
    async with answering(b"*4\r\n$7\r\nversion\r\n$3\r\nabc\r\n$4\r\nmode\r\n$7\r\ncluster") as port:
        line = await why_not(f"redis+cluster://127.0.0.1:{port}")
    assert line == f"Redis abc at 127.0.0.1:{port} is too old: a cluster needs 7.0 or later"


@pytest.mark.parametrize("answer", [b"+OK", b":1", b"*0", b"*2\r\n$1\r\na\r\n$1\r\nb"])
async def test_what_is_no_sentinel(answer: bytes) -> None:
    async with answering(answer) as port:
        line = await why_not(f"redis+sentinel://127.0.0.1:{port}/live")
    at = f"127.0.0.1:{port}"
    assert line == f"no sentinel answers: {at} does not answer as a sentinel does; see WIGWAG_REDIS_URL"


@pytest.mark.parametrize("answer", [b"+OK", b":1", b"$-1", b"*1\r\n*0", b"*1\r\n*3\r\n:0\r\n:1\r\n*0"])
async def test_a_cluster_whose_slots_make_no_sense(answer: bytes) -> None:
    hello = b"*4\r\n$7\r\nversion\r\n$5\r\n7.2.1\r\n$4\r\nmode\r\n$7\r\ncluster"
    async with answering(hello, answer) as port:
        line = await why_not(f"redis+cluster://127.0.0.1:{port}")
    assert line == f"127.0.0.1:{port} does not answer CLUSTER SLOTS as Redis does"


async def test_a_long_refusal_with_control_characters_is_shown_as_a_short_plain_line() -> None:
    async with answering(b"-ERR go\x1b[31m away " + b"y" * 5000) as port:
        line = await why_not(f"redis://127.0.0.1:{port}")
    assert line.startswith(f"127.0.0.1:{port} refuses us: ERR go?[31m away yyy")
    assert len(line) < 300


async def test_an_array_that_no_memory_holds() -> None:
    async with answering(b"*4294967295") as port:
        line = await why_not(f"redis://127.0.0.1:{port}")
    assert line == f"127.0.0.1:{port} does not speak as Redis does (out of memory)"


async def test_a_flood_before_hello_is_not_taken() -> None:
    """What has not let us in yet could be anything: it is cut off before it fills the memory."""
    size, sent = 500_000_000, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"$%d\r\n" % size)
        try:
            while sent < size:
                writer.write(bytes(1_000_000))
                await writer.drain()
                sent += 1_000_000
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        line = await why_not(f"redis://127.0.0.1:{port}")
    assert line == f"127.0.0.1:{port} says more than Redis does before HELLO; is the port right?"
    assert sent < 50_000_000


async def test_a_server_in_protected_mode() -> None:
    async with answering(b"-DENIED Redis is running in protected mode because") as port:
        line = await why_not(f"redis://127.0.0.1:{port}")
    assert line == (
        f"127.0.0.1:{port} is in protected mode and takes no one from another machine: give it a password"
    )


async def test_a_replica() -> None:
    with RedisServer() as master, RedisServer(f"replicaof 127.0.0.1 {master.port}") as replica:
        line = await why_not(replica.url)
    assert line.startswith(f"127.0.0.1:{replica.port} is a replica: ")
    assert "WIGWAG_REDIS_URL must name the master" in line


async def test_the_url_of_a_cluster_for_a_server(redis_server: RedisServer) -> None:
    at = f"127.0.0.1:{redis_server.port}"
    line = await why_not(f"redis+cluster://{at}")
    assert line == f"{at} is not part of a cluster; WIGWAG_REDIS_URL for it is redis://{at}"


async def test_the_url_of_sentinels_for_a_server(redis_server: RedisServer) -> None:
    at = f"127.0.0.1:{redis_server.port}"
    line = await why_not(f"redis+sentinel://{at}/live")
    assert line.startswith(f"no sentinel answers: {at} is no sentinel (ERR unknown command")


async def test_sentinels_that_are_all_down(closed_port: int) -> None:
    at = f"127.0.0.1:{closed_port}"
    line = await why_not(f"redis+sentinel://{at}/live")
    assert line == (
        f"no sentinel answers: {at} can't be reached: nothing listens there (connection refused); "
        "is WIGWAG_REDIS_URL right?"
    )


@pytest.fixture(scope="module")
def sentinel() -> Generator[RedisSentinel]:
    with RedisSentinel(sentinel_lines=["requirepass secret"]) as sentinel:
        yield sentinel


async def test_the_url_of_a_server_for_a_sentinel(sentinel: RedisSentinel) -> None:
    at = f"127.0.0.1:{sentinel.sentinels[0].port}"
    line = await why_not(f"redis://:secret@{at}")
    assert line == f"{at} is a sentinel; the URL for that is redis+sentinel://{at}/SERVICE (WIGWAG_REDIS_URL)"


async def test_a_service_that_the_sentinels_do_not_know(sentinel: RedisSentinel) -> None:
    at = f"127.0.0.1:{sentinel.sentinels[0].port}"
    line = await why_not(f"redis+sentinel://{at}/other", sentinel_password=Secret("secret"))
    assert line == "the sentinels know no service 'other'; see WIGWAG_REDIS_URL"


async def test_sentinels_that_want_a_password(sentinel: RedisSentinel) -> None:
    at = f"127.0.0.1:{sentinel.sentinels[0].port}"
    line = await why_not(f"redis+sentinel://{at}/wigwag")
    assert line.startswith(f"no sentinel answers: {at} refuses us (NOAUTH")
    assert line.endswith("see WIGWAG_REDIS_SENTINEL_USERNAME and …_PASSWORD")


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Generator[RedisServer]:
    with RedisServer("tls-auth-clients yes", tls=certificates) as server:
        # What asks for its answer shows a certificate.
        yield server


@pytest.mark.needs("openssl")
class TestTls:
    async def test_a_certificate_of_an_authority_that_is_not_trusted(
        self, tls_server: RedisServer, tmp_path: Path
    ) -> None:
        line = await why_not(tls_server.url, tls_ca_file=make_certificates(tmp_path).ca)
        assert line.startswith(
            f"127.0.0.1:{tls_server.port} can't be reached: its certificate is not trusted ("
        )
        assert line.endswith("; see WIGWAG_REDIS_TLS_CA_FILE")

    async def test_a_certificate_for_another_host(
        self, tls_server: RedisServer, certificates: Certificates
    ) -> None:
        # Another way to write 127.0.0.1, which the certificate does not name.
        line = await why_not(f"rediss://127.1:{tls_server.port}", tls_ca_file=certificates.ca)
        assert line.startswith(f"127.1:{tls_server.port} can't be reached: its certificate is not trusted (")
        assert "mismatch" in line

    async def test_a_certificate_of_ours_is_wanted(
        self, tls_server: RedisServer, certificates: Certificates
    ) -> None:
        line = await why_not(tls_server.url, tls_ca_file=certificates.ca)
        # Whether its alert or the end of the connection is seen first is chance.
        assert "want a certificate of ours: WIGWAG_REDIS_TLS_CERT_FILE" in line or (
            "wants a certificate of ours: WIGWAG_REDIS_TLS_CERT_FILE" in line
        )

    async def test_a_certificate_of_ours_lets_us_in(
        self, tls_server: RedisServer, certificates: Certificates
    ) -> None:
        settings = RedisSettings(
            url=RedisUrl.parse(tls_server.url),
            tls_ca_file=certificates.ca,
            tls_cert_file=certificates.client_cert,
            tls_key_file=certificates.client_key,
        )
        async with open_session(make_broker(settings)) as session:
            await session.subscribe("lobby")
            await session.publish(("lobby", b"in"))
            await session.hear("lobby", b"in")

    async def test_tls_to_a_server_that_does_not_speak_it(self, redis_server: RedisServer) -> None:
        line = await why_not(f"rediss://127.0.0.1:{redis_server.port}")
        assert f"127.0.0.1:{redis_server.port} can't be reached" in line
        assert line.endswith("if it does not speak TLS on this port, the URL begins with redis, not rediss")

    async def test_no_tls_to_a_server_that_wants_it(self, tls_server: RedisServer) -> None:
        line = await why_not(f"redis://127.0.0.1:{tls_server.port}")
        assert line.endswith("if it speaks TLS on this port, the URL begins with rediss")
