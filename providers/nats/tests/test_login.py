"""Logins of every kind, TLS, and the one line for each way in which they fail."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest

from servers.certificates import Certificates, make_certificates
from servers.nats import NatsServer
from wigwag.broker import BrokerLost
from wigwag.settings import Secret
from wigwag.testing.contract import RecordingInbox, open_session
from wigwag_nats import NatsBroker, NatsSettings, ServerUrl
from wigwag_nats.link import Link, connect

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nats-server")]

USERS = "authorization { users = [{user: ann, password: hunter2}] }"
TOKEN = "authorization { token: hunter2 }"


def settings_of(server: NatsServer, **more: Any) -> NatsSettings:
    return NatsSettings(**{"servers": (ServerUrl("127.0.0.1", server.port),), **more})


async def works(settings: NatsSettings) -> None:
    """Deliver a message."""
    async with open_session(NatsBroker(settings)) as session:
        await session.subscribe("t")
        await session.publish(("t", b"x"))
        await session.hear("t", b"x")


async def reason(settings: NatsSettings) -> str:
    """Why there is no session: one line, without a secret."""
    broker, inbox = NatsBroker(settings), RecordingInbox()
    with pytest.raises(BrokerLost) as raised:
        await broker.run(inbox)
    await broker.close()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "Client." in repr(task)]  # nats-py's
    assert not inbox.readies
    line = str(raised.value)
    assert "\n" not in line
    assert "hunter2" not in line
    return line


# Logins


@pytest.mark.parametrize("userinfo", ["", "ann:hunter2@"])
async def test_a_user_with_its_password(userinfo: str) -> None:
    with NatsServer(USERS) as server:
        servers = (ServerUrl.parse(f"nats://{userinfo}127.0.0.1:{server.port}"),)
        login = {} if userinfo else {"user": "ann", "password": Secret("hunter2")}
        await works(settings_of(server, servers=servers, **login))


@pytest.mark.parametrize("userinfo", ["", "hunter2@"])
async def test_a_token(userinfo: str) -> None:
    with NatsServer(TOKEN) as server:
        servers = (ServerUrl.parse(f"nats://{userinfo}127.0.0.1:{server.port}"),)
        await works(settings_of(server, servers=servers, token=None if userinfo else Secret("hunter2")))


async def test_an_nkey(tmp_path: Path) -> None:
    user, other = Identity(nkeys.PREFIX_BYTE_USER), Identity(nkeys.PREFIX_BYTE_USER)
    path = tmp_path / "seed.nk"
    with NatsServer(f"authorization {{ users = [{{nkey: {user.public}}}] }}") as server:
        path.write_text(f"{user.seed}\n")
        broker = NatsBroker(settings_of(server, nkey_seed_file=path))
        await works(settings_of(server, nkey_seed_file=path))
        path.write_text(other.seed)  # read again for each session
        with pytest.raises(BrokerLost, match="refused the login") as raised:
            await broker.run(RecordingInbox())
        assert f"WIGWAG_NATS_NKEY_SEED_FILE ({path})" in str(raised.value)
        assert other.seed not in str(raised.value)


async def test_a_credentials_file(tmp_path: Path) -> None:
    operator = Operator()
    path = tmp_path / "user.creds"
    path.write_text(operator.credentials())
    with NatsServer(operator.config) as server:
        settings = settings_of(server, credentials_file=path)
        await works(settings)
        path.write_text(operator.credentials().replace("\n", "\r\n"))  # another user's, from another system
        await works(settings)
        path.write_text(Operator().credentials())
        assert f"check WIGWAG_NATS_CREDENTIALS_FILE ({path})" in await reason(settings)


async def test_a_credentials_file_that_breaks_later_is_one_line_and_no_endless_loop(tmp_path: Path) -> None:
    """A Secret that Kubernetes is just replacing: the next session has it."""
    path = tmp_path / "user.creds"
    path.write_text(Operator().credentials())
    with NatsServer() as server:
        broker = NatsBroker(settings_of(server, credentials_file=path))
        path.write_text("")
        with pytest.raises(BrokerLost, match="holds no user JWT"):
            await asyncio.wait_for(broker.run(RecordingInbox()), 5)
        await broker.close()


@pytest.mark.parametrize(
    ("config", "login", "says"),
    [
        (USERS, {}, "none is set; set WIGWAG_NATS_USER"),
        (
            USERS,
            {"user": "ann", "password": Secret("no")},
            "check WIGWAG_NATS_USER (ann) and WIGWAG_NATS_PASSWORD",
        ),
        (TOKEN, {"token": Secret("no")}, "check WIGWAG_NATS_TOKEN"),
    ],
)
async def test_a_refused_login_says_what_to_check(config: str, login: dict[str, Any], says: str) -> None:
    with NatsServer(config) as server:
        line = await reason(settings_of(server, **login))
        assert line.startswith(f"nats://127.0.0.1:{server.port}: it refused the login")
        assert says in line


async def test_a_refused_login_in_a_url_is_not_shown() -> None:
    with NatsServer(USERS) as server:
        servers = (ServerUrl.parse(f"nats://bob:hunter2@127.0.0.1:{server.port}"),)
        assert "check the login in WIGWAG_NATS_SERVERS" in await reason(NatsSettings(servers=servers))


async def test_too_many_connections() -> None:
    """The server's reason may be lost, since it does not wait for what the client is saying meanwhile."""
    with NatsServer("max_connections: 1") as server:
        link = await first_link(settings_of(server))
        line = await reason(settings_of(server))
        assert "maximum connections exceeded" in line or "max_connections" in line
        link.abort()


async def first_link(settings: NatsSettings) -> Link:
    """Connect, once the server has forgotten who looked whether it had started."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await connect(settings)
            except BrokerLost:
                await asyncio.sleep(0.01)


# Servers that are not there, or not what they should be


async def test_each_server_is_tried_once_and_each_says_why_not() -> None:
    """The first is refused, the second has no name, the third says nothing, the fourth is something else."""
    async with listening(b"") as silent, listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as other:
        with NatsServer() as gone:
            closed = gone.port
        settings = NatsSettings(
            servers=(
                ServerUrl("127.0.0.1", closed),
                ServerUrl("no-such-host.invalid"),
                ServerUrl("127.0.0.1", silent.port),
                ServerUrl("127.0.0.1", other.port),
            ),
            connect_timeout=0.3,
        )
        line = await reason(settings)
        assert f"nats://127.0.0.1:{closed}: connection refused" in line
        assert "nats://no-such-host.invalid:4222: there is no host of that name" in line
        assert f"nats://127.0.0.1:{silent.port}: it did not answer within 0.3 s" in line
        assert line.count("WIGWAG_NATS_SERVERS right?") == 3
        assert f"nats://127.0.0.1:{other.port}: it does not answer as a NATS server does" in line
        assert (silent.connections, other.connections) == (1, 1)


async def test_one_server_of_several_is_enough() -> None:
    with NatsServer() as server:
        dead = ServerUrl("127.0.0.1", 1)
        for _ in range(5):  # in any order
            await works(NatsSettings(servers=(dead, ServerUrl("127.0.0.1", server.port), dead)))


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (
            b'INFO {"version":"1.4.1","max_payload":1048576}\r\n',
            "its version is 1.4.1, and wigwag needs 2.2 or newer",
        ),
        (
            b'INFO {"version":"2.10.0","max_payload":512}\r\n',
            "its max_payload is 512 bytes, which leaves no room",
        ),
        (b'INFO {"version":"1.4\\u001b[31m"}\r\n', "its version is 1.4?[31m, and wigwag needs 2.2 or newer"),
    ],
)
async def test_a_server_that_will_not_do_says_what_it_lacks(info: bytes, says: str) -> None:
    async with listening(info, b"PONG\r\n") as server:
        line = await reason(NatsSettings(servers=(ServerUrl("127.0.0.1", server.port),)))
        assert says in line


@pytest.mark.parametrize(
    "greeting",
    [
        b"INFO {\r\n",
        b"INFO []\r\n",
        b"INFO 1\r\n",
        b"INFO null\r\n",
        b"INFO\r\n",
        b"INFO \xff\r\n",
        b'INFO {"version":"2.10.0","max_payload":"abc"}\r\n',
        b'INFO {"version":"2.10.0","max_payload":null}\r\n',
        b'INFO {"version":"2.10.0","connect_urls":5}\r\n',
        b"INFO {" + b"x" * 200_000 + b"\r\n",
    ],
    ids=lambda greeting: str(greeting[:60]),
)
async def test_what_is_no_nats_server_is_said_to_be_none(greeting: bytes) -> None:
    async with listening(greeting, b"PONG\r\n") as server:
        line = await reason(NatsSettings(servers=(ServerUrl("127.0.0.1", server.port),)))
    assert line == (
        f"nats://127.0.0.1:{server.port}: it does not answer as a NATS server does; is the port right?"
    )


async def test_a_long_refusal_with_control_characters_is_shown_as_a_short_plain_line() -> None:
    said = b"-ERR 'go\x1b[31m\taway " + b"y" * 5000 + b"'\r\n"
    async with listening(b'INFO {"version":"2.10.0"}\r\n', said) as server:
        line = await reason(NatsSettings(servers=(ServerUrl("127.0.0.1", server.port),)))
    assert "it refused the connection: go?[31m away yyy" in line
    assert len(line) < 300


async def test_a_server_that_hangs_up_during_the_handshake() -> None:
    async with listening(b'INFO {"version":"2.10.0"}\r\n', None) as server:
        line = await reason(NatsSettings(servers=(ServerUrl("127.0.0.1", server.port),)))
        assert "closed the connection during the handshake" in line


# TLS


def tls(certificates: Certificates, more: str = "") -> str:
    files = f'cert_file: "{certificates.server_cert}", key_file: "{certificates.server_key}"'
    return f'tls {{ {files}, ca_file: "{certificates.ca}" {more} }}'


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("more", ["", "allow_non_tls: true"])
async def test_tls_is_taken_where_it_is_demanded(certificates: Certificates, more: str) -> None:
    with NatsServer(f"{tls(certificates)}\n{more}") as server:
        servers = (ServerUrl("127.0.0.1", server.port, is_tls=True),)
        for settings in (
            NatsSettings(servers=servers, tls_ca_file=certificates.ca),
            settings_of(server, tls_ca_file=certificates.ca),  # nats://, and a CA: demanded as well
        ):
            broker = NatsBroker(settings)
            async with open_session(broker) as session:
                assert broker.link is not None
                assert broker.link.is_encrypted
                payload = os.urandom(300_000)
                await session.subscribe("t")
                await session.publish(("t", payload), ("t", b"end"))
                await session.hear("t", b"end")
                assert session.inbox.of("t") == [payload, b"end"]


@pytest.mark.needs("openssl")
async def test_a_client_certificate_is_shown_where_it_is_asked_for(certificates: Certificates) -> None:
    with NatsServer(tls(certificates, ", verify: true")) as server:
        settings = settings_of(
            server,
            tls_ca_file=certificates.ca,
            tls_cert_file=certificates.client_cert,
            tls_key_file=certificates.client_key,
        )
        await works(settings)
        line = await reason(settings_of(server, tls_ca_file=certificates.ca))
        assert "WIGWAG_NATS_TLS_CERT_FILE" in line or "during the handshake" in line


@pytest.mark.needs("openssl")
async def test_a_certificate_of_a_stranger_is_not_trusted(certificates: Certificates, tmp_path: Path) -> None:
    strangers = make_certificates(tmp_path)
    with NatsServer(tls(certificates)) as server:
        for settings in (settings_of(server), settings_of(server, tls_ca_file=strangers.ca)):
            line = await reason(settings)
            assert "its certificate is not trusted" in line
            assert "WIGWAG_NATS_TLS_CA_FILE" in line


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("is_tls", [True, False])
async def test_without_tls_nothing_secret_is_sent(certificates: Certificates, is_tls: bool) -> None:
    """Who stands between may say that there is no TLS."""
    async with listening(b'INFO {"version":"2.10.0","auth_required":true}\r\n', b"PONG\r\n") as server:
        settings = NatsSettings(
            servers=(ServerUrl("127.0.0.1", server.port, is_tls=is_tls),),
            tls_ca_file=None if is_tls else certificates.ca,
            user="ann",
            password=Secret("hunter2"),
        )
        assert "it offers no TLS" in await reason(settings)
        assert server.heard == b""


# What these tests are made of


class Listener:
    """A port that says some bytes and counts who comes; ``heard`` is what they said."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.heard = b""


@asynccontextmanager
async def listening(greeting: bytes, answer: bytes | None = b"") -> AsyncGenerator[Listener]:
    """Greet each client; ``answer`` what it says first, or hang up (None)."""
    listener = Listener()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.connections += 1
        writers.append(writer)
        writer.write(greeting)
        try:
            listener.heard += await reader.read(10_000)
            if answer is None:
                writer.close()
                return
            writer.write(answer)
            await reader.read()
        except ConnectionError:
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


class Identity:
    """A key pair that can sign claims about others."""

    def __init__(self, kind: int) -> None:
        self.seed: str = nkeys.encode_seed(os.urandom(32), kind).decode()
        self.pair = nkeys.from_seed(bytearray(self.seed, "ascii"))
        self.public: str = self.pair.public_key.decode()

    def sign(self, subject: Identity, name: str, claims: dict[str, Any]) -> str:
        """Return a JWT in which this identity says something of another."""
        body = {"iat": 1_700_000_000, "iss": self.public, "name": name, "sub": subject.public}
        body["nats"] = {"version": 2, **claims}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(body).encode())}"
        return f"{text}.{_encoded(self.pair.sign(text.encode()))}"


class Operator:
    """A server's configuration with one account, and the ``.creds`` files of its users."""

    def __init__(self) -> None:
        operator = Identity(nkeys.PREFIX_BYTE_OPERATOR)
        self._account = Identity(nkeys.PREFIX_BYTE_ACCOUNT)
        token = operator.sign(operator, "O", {"type": "operator"})
        limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
        account = operator.sign(self._account, "A", {"type": "account", "limits": limits})
        self.config = (
            f"operator: {token}\nresolver: MEMORY\nresolver_preload: {{{self._account.public}: {account}}}\n"
        )

    def credentials(self, expires_at: int | None = None) -> str:
        """Return the text of a new user's file."""
        user = Identity(nkeys.PREFIX_BYTE_USER)
        signed = self._account.sign(user, "U", {"type": "user", "subs": -1, "data": -1, "payload": -1})
        return (
            f"-----BEGIN NATS USER JWT-----\n{signed}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
