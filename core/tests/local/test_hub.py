"""The hub: where it listens and who may connect, and what it does with processes that misbehave."""
# ruff: noqa: ASYNC240 - a test may look at a file

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from command import Wigwag
from wigwag.broker import BrokerLost
from wigwag.errors import SettingsError
from wigwag.local import Hub, HubNotStarted, LocalBroker, LocalSettings
from wigwag.local.check import check
from wigwag.local.protocol import HELLO, MESSAGE, SUBSCRIBE, SYNC, VERSION, encode, encode_topics
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeSocket
from wigwag.testing.contract.checks import until

pytestmark = pytest.mark.anyio

LIMIT_S = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path() -> Iterator[Path]:
    """A short one: pytest's own are too long for a socket on some systems."""
    with tempfile.TemporaryDirectory(prefix="wigwag-") as directory:
        yield Path(directory) / "hub"


@pytest.fixture
async def hub(path: Path) -> AsyncIterator[Hub]:
    async with Hub(LocalSettings(path=path, buffer_bytes=1024 * 1024)) as hub:
        yield hub


class Process:
    """A connection of a process, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def is_cut(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(), LIMIT_S) is not None
        except ConnectionError:
            return True

    async def answers(self, number: bytes = b"7") -> None:
        frame = encode(SYNC, number)
        self.writer.write(frame)
        assert await asyncio.wait_for(self.reader.readexactly(len(frame)), LIMIT_S) == frame


class Connect(Protocol):
    async def __call__(self, name: bytes | None = None, version: int = VERSION) -> Process: ...


@pytest.fixture
async def connect(path: Path) -> AsyncIterator[Connect]:
    """Connect, and greet with a name if one is given."""
    made: list[Process] = []

    async def connect(name: bytes | None = None, version: int = VERSION) -> Process:
        process = Process(*await asyncio.open_unix_connection(path))
        made.append(process)
        if name is not None:
            process.writer.write(encode(HELLO, b"%d pid 1" % version, name))
            hello = encode(HELLO, b"%d" % VERSION)
            assert await asyncio.wait_for(process.reader.readexactly(len(hello)), LIMIT_S) == hello
        return process

    yield connect
    for process in made:
        process.writer.transport.abort()
        with contextlib.suppress(OSError):
            await process.writer.wait_closed()


async def up(provider: Provider) -> FakeSocket:
    """A socket of a node that hears all."""
    node = provider.node
    assert node is not None
    await until(lambda: node.is_up, LIMIT_S, "the node is up")
    socket = FakeSocket(provider.new_socket_id())
    provider.attach(socket)
    await provider.subscribe(socket.id, "lobby")
    return socket


# Where it listens


async def test_only_this_user_may_open_the_socket(hub: Hub, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [finding.level for finding in await check(LocalSettings(path=path))] == ["ok"]
    path.chmod(0o666)
    warning = (await check(LocalSettings(path=path)))[-1]
    assert (warning.level, warning.subject) == ("warning", "access")


async def test_nothing_is_left_but_the_lock(hub: Hub, path: Path) -> None:
    await hub.stop()
    await hub.stop()
    assert [file.name for file in path.parent.iterdir()] == ["hub.lock"]


async def test_a_second_hub_is_refused_and_the_first_serves_on(
    hub: Hub, path: Path, connect: Connect
) -> None:
    with pytest.raises(HubNotStarted, match=r"a hub listens at .* already: stop it, or choose another path"):
        async with Hub(LocalSettings(path=path)):
            pass
    await (await connect(b"a")).answers()


async def test_what_a_dead_hub_has_left_is_in_nobodys_way(path: Path, connect: Connect) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with Hub(LocalSettings(path=path)):
        await (await connect(b"a")).answers()


async def test_a_file_that_is_no_socket_is_not_touched(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(HubNotStarted, match="Address already in use"):
        await Hub(LocalSettings(path=path)).start()
    assert path.read_text() == "precious"
    path.unlink()
    async with Hub(LocalSettings(path=path)):
        pass


async def test_a_socket_of_another_user_is_not_spoken_to(
    hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
    if path.stat().st_uid == 0:  # root's is anybody's to use who may open it
        os.chown(path, 12345, -1)
    with pytest.raises(BrokerLost, match=r"belongs to another user \(uid \d+\)"):
        await check(LocalSettings(path=path))
    async with Provider(LocalBroker(LocalSettings(path=path))) as provider:
        node = provider.node
        assert node is not None
        await until(lambda: "belongs to another user" in node.link.describe(), LIMIT_S, "it says so")


async def test_a_directory_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(HubNotStarted, match=r"No such file or directory .*/nowhere/hub.lock"):
        await Hub(LocalSettings(path=path.parent / "nowhere" / "hub")).start()


def test_a_path_that_no_socket_can_have_is_refused_with_the_variable() -> None:
    for make in (Hub, LocalBroker):
        with pytest.raises(SettingsError) as caught:
            make(LocalSettings(path=Path("/" + "x" * 200)))
        assert caught.value.variable == "WIGWAG_LOCAL_PATH"
        assert "at most 103" in str(caught.value)


# Who misbehaves


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode(MESSAGE, b"x", b"lobby"),  # without a greeting
        encode(HELLO, b"1 pid 1"),  # without a name
        encode(HELLO, b"%d pid 1" % VERSION, b"a") + encode(99),
    ],
)
async def test_what_is_no_process_of_wigwag_is_cut_and_the_others_go_on(
    hub: Hub, connect: Connect, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    other, stranger = await connect(b"other"), await connect()
    stranger.writer.write(said)
    assert await stranger.is_cut()
    assert "does not speak as one of wigwag does" in caplog.text
    await other.answers()
    assert hub.processes == 1


async def test_a_process_that_comes_again_is_not_served_twice(hub: Hub, connect: Connect) -> None:
    """What its last connection still holds would be done behind what the new one brings."""
    first = await connect(b"a")
    first.writer.write(encode_topics(SUBSCRIBE, ["lobby"]))
    await first.answers()
    second = await connect(b"a")
    assert await first.is_cut()
    second.writer.write(encode(MESSAGE, b"x", b"lobby"))  # to which this connection is not subscribed
    await second.answers()
    assert hub.processes == 1


async def test_a_hub_of_another_version_says_so(
    hub: Hub, path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = await connect(b"newer", version=VERSION + 1)
    assert await newer.is_cut()
    assert hub.processes == 0
    monkeypatch.setattr("wigwag.local.broker.VERSION", VERSION + 1)
    async with Provider(LocalBroker(LocalSettings(path=path))) as provider:
        node = provider.node
        assert node is not None
        await until(lambda: f"speaks version {VERSION}" in node.link.describe(), LIMIT_S, "it says so")


async def test_a_process_that_reads_too_slowly_is_cut_and_its_sockets_are_told(
    hub: Hub, path: Path, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    slow = await connect(b"slow")  # it never reads again
    slow.writer.write(encode_topics(SUBSCRIBE, ["lobby"]))
    await slow.answers()
    async with Provider(LocalBroker(LocalSettings(path=path))) as provider:
        socket = await up(provider)
        text, sent = "x" * 65_536, 0
        while not hub.cuts and sent < 100:
            await provider.publish("lobby", text)
            sent += 1
        assert hub.cuts == 1
        await provider.publish("lobby", "end")
        await until(lambda: len(socket.messages) == sent + 1, LIMIT_S, "whoever reads misses nothing")
        assert not socket.resyncs
        provider.detach(socket.id)
    # Its buffer, what the kernel holds, and what came in one turn.
    assert sent * len(text) < 3 * 1024 * 1024
    assert "the process with pid 1 reads too slowly" in caplog.text
    await until(lambda: hub.processes == 0, LIMIT_S, "nothing is kept of either")


async def test_the_sockets_of_a_process_that_was_cut_are_told(hub: Hub, path: Path) -> None:
    settings = ProviderSettings(backoff_base_s=0.01, backoff_cap_s=0.01)
    async with Provider(LocalBroker(LocalSettings(path=path)), settings=settings) as provider:
        socket = await up(provider)
        for link in list(hub._links):
            link.abort()
        await until(lambda: socket.resyncs == [["lobby"]], LIMIT_S, "it is told")
        await provider.publish("lobby", "after")
        await until(lambda: socket.messages == ["after"], LIMIT_S, "it hears again")
        provider.detach(socket.id)


async def test_a_hub_that_is_not_there_is_one_line_that_says_what_to_do(path: Path) -> None:
    settings = LocalSettings(path=path)
    with pytest.raises(
        BrokerLost, match=r"there is no hub at .*; does it run, and is WIGWAG_LOCAL_PATH right"
    ):
        await check(settings)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(BrokerLost, match=r"nobody listens at .*: the hub has ended; start it again"):
        await check(settings)


def test_the_command_needs_a_path_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    wigwag = Wigwag(monkeypatch, capsys)
    ended = wigwag("hub")
    assert (ended.code, ended.err) == (2, "wigwag: WIGWAG_LOCAL_PATH is not set: it must be a path\n")
    ended = wigwag("hub", "--path", str(path / "nowhere"))
    assert (ended.code, ended.err.count("\n")) == (1, 1)
