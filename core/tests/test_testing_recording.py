"""The recording emitter and provider: what they keep, what they refuse, and what a failing test is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clocks import backend
from wigwag import Emitter, SocketEmitter, SocketMessage, WebSocketProvider
from wigwag.errors import InvalidMessage, InvalidTopic, NotAccepted, PublishError, Uncertain
from wigwag.testing import FakeProvider, FakeSocket, Recorder, RecordingEmitter, Sent

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


class Said(SocketMessage, name="said", rename="camel"):
    room_name: str
    text: str = ""


class Invoice(msgspec.Struct):
    number: int


Paid = SocketMessage.define("invoice.paid", Invoice)
WRONG: Any = 7


class AppEmitter(Emitter):
    async def said(self, room: str, text: str) -> None:
        await self.emit(Said(room_name=room, text=text), f"room:{room}")


@pytest.fixture(params=[RecordingEmitter, FakeProvider])
def recorder(request: pytest.FixtureRequest) -> Any:
    return request.param()


async def test_what_is_emitted_is_found_as_its_class_in_each_of_the_forms(recorder: Any) -> None:
    await recorder.emit(Said(room_name="x"), "room:x")
    await recorder.emit(Said, "room:y", {"roomName": "y", "text": "hi"})
    await recorder.emit(Said, "room:y", Said(room_name="z"))
    await recorder.emit(Paid(Invoice(7)), "invoices")
    await recorder.emit(Paid, "invoices", Invoice(8))
    await recorder.emit(Paid, "invoices", {"number": 9})
    x, y, z = Said(room_name="x"), Said(room_name="y", text="hi"), Said(room_name="z")
    assert recorder.emitted(Said) == [x, y, z]
    assert recorder.emitted(Said, topic="room:y") == [y, z]
    assert recorder.emitted(Paid) == [Invoice(7), Invoice(8), Invoice(9)]
    assert recorder.expect(Said, topic="room:x") == x
    assert recorder.sent[3] == Sent(Paid(Invoice(7)), topic="invoices")


async def test_what_goes_elsewhere_than_to_a_topic_is_kept_too(recorder: Any) -> None:
    await recorder.publish("room:x", "text", exclude="me")
    await recorder.publish("room:x", b"bytes")
    await recorder.send("a-socket", Said(room_name="x"))
    await recorder.broadcast("text", exclude="me")
    assert recorder.sent == [
        Sent("text", topic="room:x", exclude="me"),
        Sent(b"bytes", topic="room:x"),
        Sent(Said(room_name="x"), socket_id="a-socket"),
        Sent("text", exclude="me"),
    ]
    assert recorder.expect(Said, socket_id="a-socket") == Said(room_name="x")
    assert recorder.emitted(Said, topic="room:x") == []
    recorder.clear()
    recorder.expect_nothing()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda r: r.emit(Said(room_name=WRONG), "room:x"), InvalidMessage),
        (lambda r: r.emit(Said, "room:x", {"text": "no room"}), InvalidMessage),
        (lambda r: r.emit(Said(room_name="x"), "room x"), InvalidTopic),
        (lambda r: r.emit(Said(room_name="x"), "x", {"text": "twice"}), TypeError),
        (lambda r: r.emit({"name": "said"}, "x"), TypeError),
        (lambda r: r.publish("room x", "text"), InvalidTopic),
        (lambda r: r.publish("x", Said(room_name="x")), TypeError),
        (lambda r: r.broadcast("\ud800"), InvalidMessage),
        (lambda r: r.send("a-socket", 7), TypeError),
    ],
)
async def test_what_a_real_one_refuses_is_refused_and_not_kept(recorder: Any, call: Any, error: Any) -> None:
    with pytest.raises(error):
        await call(recorder)
    assert recorder.sent == []


async def test_it_is_said_what_was_sent_instead(
    recorder: Recorder,
) -> None:
    emitter: Any = recorder
    with pytest.raises(AssertionError, match=r"^no 'said' was sent to topic 'room:x'; nothing was$"):
        recorder.expect(Said, topic="room:x")
    await emitter.emit(Said(room_name="y"), "room:y", exclude="me")
    await emitter.send("a-socket", b"bytes")
    await emitter.broadcast("x" * 1000)
    with pytest.raises(AssertionError) as failure:
        recorder.expect(Said, topic="room:x")
    first, *lines = str(failure.value).splitlines()
    assert first == "no 'said' was sent to topic 'room:x'; what was:"
    assert lines[:2] == [
        "  to topic 'room:y', but socket 'me': Said(room_name='y', text='')",
        "  to socket 'a-socket': b'bytes'",
    ]
    assert lines[2].startswith("  to everybody: 'xxx")
    assert len(lines[2]) < 250
    with pytest.raises(AssertionError, match="no 'said' was sent to socket 'b'"):
        recorder.expect(Said, socket_id="b")
    with pytest.raises(
        AssertionError, match="3 messages were sent, and none should be; what was:\n  to topic"
    ):
        recorder.expect_nothing()


async def test_two_where_one_is_expected_are_a_failure(recorder: Any) -> None:
    for _ in range(2):
        await recorder.emit(Said(room_name="x"), "room:x")
    with pytest.raises(AssertionError, match="2 'said' were sent to topic 'room:x', not one"):
        recorder.expect(Said, topic="room:x")


async def test_failures_are_raised_one_after_the_other_and_nothing_is_kept(recorder: Any) -> None:
    recorder.fail(NotAccepted("no broker"))
    recorder.fail(Uncertain("lost"))
    with pytest.raises(NotAccepted, match="no broker"):
        await recorder.emit(Said(room_name="x"), "room:x")
    with pytest.raises(Uncertain, match="lost"):
        await recorder.broadcast("text")
    recorder.expect_nothing()
    await recorder.broadcast("text")
    assert len(recorder.sent) == 1


async def test_an_emitter_of_the_applications_own_is_recorded_by_its_provider() -> None:
    provider = FakeProvider()
    await AppEmitter(provider).said("x", "hi")
    assert provider.expect(Said, topic="room:x").text == "hi"


async def test_a_started_provider_delivers_what_it_records() -> None:
    async with FakeProvider() as provider:
        socket = FakeSocket(provider.new_socket_id())
        provider.attach(socket)
        await provider.subscribe(socket.id, "room:x")
        await provider.publish("room:x", "hello")
        await provider.send(socket.id, "for you")
        await provider.broadcast("for all")
        await AppEmitter(provider).said("x", "hi")
        assert len(provider.sent) == 4
    assert socket.messages[:3] == ["hello", "for you", "for all"]
    assert socket.resyncs == []


async def test_what_a_broker_that_is_away_does_not_take_is_not_kept() -> None:
    async with FakeProvider() as provider:
        provider.network.stop()
        with pytest.raises(PublishError):
            await provider.publish("room:x", "hello")
        provider.expect_nothing()


def test_they_are_what_services_and_sockets_ask_for() -> None:
    emitter: SocketEmitter = RecordingEmitter()
    provider: WebSocketProvider = FakeProvider()
    assert isinstance(emitter, Emitter)
    assert isinstance(provider, WebSocketProvider)
