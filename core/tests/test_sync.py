"""The blocking emitter: what a worker process uses."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from wigwag.broker import Broker, Inbox
from wigwag.emitter import Emitter
from wigwag.errors import InvalidTopic, NotRunning, SettingsError
from wigwag.messages import SocketMessage
from wigwag.provider import Provider
from wigwag.sync import BlockingEmitter, connect
from wigwag.tracing import current_trace, in_trace
from wigwag.wire.envelope import decode_envelope
from wigwag.wire.trace import TraceContext


class ReportReady(SocketMessage, name="report.ready"):
    url: str


class AppEmitter(Emitter):
    async def report_ready(self, account: str, *, url: str) -> str:
        await self.emit(ReportReady(url=url), f"account:{account}")
        return url


class Recorder(Broker):
    """Keeps what it is given to publish."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.is_closed = threading.Event()

    async def run(self, inbox: Inbox) -> None:
        inbox.ready()
        await anyio.sleep_forever()

    async def subscribe(self, topics: Sequence[str]) -> None:
        raise AssertionError("an emitter subscribes to nothing")

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        raise AssertionError("an emitter subscribes to nothing")

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.published += messages

    async def close(self) -> None:
        self.is_closed.set()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@asynccontextmanager
async def emitting(broker: Broker) -> AsyncGenerator[AppEmitter]:
    async with Provider(broker, subscribes=False) as provider:
        yield AppEmitter(provider)


@pytest.fixture
def emitter(recorder: Recorder) -> Generator[BlockingEmitter[AppEmitter]]:
    with BlockingEmitter(emitting(recorder)) as opened:
        yield opened


def test_each_call_returns_when_the_broker_has_taken_it(
    emitter: BlockingEmitter[AppEmitter], recorder: Recorder
) -> None:
    emitter.publish("a", "text")
    emitter.broadcast(b"bytes")
    emitter.emit(ReportReady(url="/1"), "account:7")
    emitter.emit(ReportReady, "account:8", {"url": "/2"})
    topics = [topic for topic, _ in recorder.published]
    assert [topics[0], *topics[2:]] == ["a", "account:7", "account:8"]
    assert b"text" in recorder.published[0][1]
    assert b"bytes" in recorder.published[1][1]
    assert b'"report.ready"' in recorder.published[2][1]
    emitter.send("00000000-0000-4000-8000-000000000000", "direct")
    assert b"direct" in recorder.published[4][1]


def test_errors_reach_the_caller(emitter: BlockingEmitter[AppEmitter]) -> None:
    with pytest.raises(InvalidTopic):
        emitter.publish("no topic", "text")


def test_the_applications_own_methods_can_be_called(
    emitter: BlockingEmitter[AppEmitter], recorder: Recorder
) -> None:
    assert emitter.call(AppEmitter.report_ready, "7", url="/1") == "/1"
    assert recorder.published[0][0] == "account:7"


def test_threads_share_one(emitter: BlockingEmitter[AppEmitter], recorder: Recorder) -> None:
    together = threading.Barrier(8)

    def publish(thread: int) -> None:
        together.wait()
        for number in range(20):
            emitter.publish(f"t{thread}", str(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, range(8)))
    assert len(recorder.published) == 160
    for thread in range(8):  # one thread's messages keep their order
        payloads = [data for topic, data in recorder.published if topic == f"t{thread}"]
        numbers = [decode_envelope(f"t{thread}", data).payload for data in payloads]
        assert numbers == [str(number).encode() for number in range(20)]


def test_close_ends_the_broker_and_the_thread(recorder: Recorder) -> None:
    before = threading.active_count()
    emitter = BlockingEmitter(emitting(recorder))
    assert threading.active_count() == before + 1
    emitter.close()
    assert recorder.is_closed.is_set()
    assert threading.active_count() == before
    emitter.close()
    with pytest.raises(NotRunning, match="closed"):
        emitter.publish("a", "x")


def test_a_process_that_forgot_to_close_ends() -> None:
    program = """
from wigwag.sync import connect
emitter = connect("memory", allow_in_process=True)
emitter.publish("a", "x")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


def test_threads_that_publish_while_it_closes_are_told(recorder: Recorder) -> None:
    emitter = BlockingEmitter(emitting(recorder))
    started = threading.Barrier(5)

    def publish_until_closed() -> bool:
        started.wait()
        for _ in range(1_000_000):
            try:
                emitter.publish("a", "x")
            except NotRunning:
                return True
        return False

    with ThreadPoolExecutor(4) as threads:
        told = [threads.submit(publish_until_closed) for _ in range(4)]
        started.wait()
        emitter.close()
        assert all(future.result() for future in told)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_told_to_connect_itself(
    emitter: BlockingEmitter[AppEmitter], recorder: Recorder
) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                emitter.publish("a", "from the child")
            except NotRunning as exc:
                os.write(writing, str(exc).encode())
            emitter.close()  # must not hang: the thread is the parent's
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert "after the fork" in pipe.read()
    os.waitpid(child, 0)
    emitter.publish("a", "from the parent")
    assert len(recorder.published) == 1


def test_connect_refuses_the_in_process_provider() -> None:
    before = threading.active_count()
    with pytest.raises(SettingsError, match="nobody would hear"):
        connect("memory")
    assert threading.active_count() == before


def test_connect_takes_the_in_process_provider_when_told_so() -> None:
    with connect("memory", allow_in_process=True) as emitter:
        emitter.emit(ReportReady(url="/1"), "account:7")
    with connect("memory", emitter=AppEmitter, allow_in_process=True) as own:
        assert own.call(AppEmitter.report_ready, "7", url="/1") == "/1"


def test_data_is_checked_before_it_is_sent(emitter: BlockingEmitter[AppEmitter], recorder: Recorder) -> None:
    with pytest.raises(ValueError, match="url"):
        emitter.emit(ReportReady(url=msgspec.UNSET), "account:7")  # type: ignore[arg-type]
    assert not recorder.published


def test_what_it_publishes_is_in_the_callers_trace() -> None:
    trace = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    seen: list[TraceContext | None] = []

    async def look(emitter: Emitter) -> None:
        seen.append(current_trace())

    with connect("memory", allow_in_process=True) as emitter, in_trace(trace):
        emitter.call(look)
    assert seen == [trace]
