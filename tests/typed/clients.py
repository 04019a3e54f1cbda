"""What a type checker says of clients and of the test kit.  Each ``type: ignore`` is a line both must find wrong."""

from __future__ import annotations

from typing import Any, assert_type

from starlette.applications import Starlette

from wigwag import JoinRoom, ServerMessage, SocketMessage
from wigwag.client import Connected, Dropped, Event, Raw, Received, Reply, SocketClient
from wigwag.testing import AppClient, FakeProvider, RecordingEmitter


class Said(SocketMessage, name="said"):
    text: str


class Say(ServerMessage[Said], name="say"):
    text: str


class Shout(ServerMessage, name="shout"):
    text: str


Paid = SocketMessage.define("paid", dict[str, int])


async def requests(client: SocketClient) -> None:
    assert_type(await client.request(Say(text="x")), Said)
    assert_type(await client.request(Shout(text="x")), Any)
    assert_type(await client.request(Shout(text="x"), reply=Said), Said)
    assert_type(await client.request("x", {"a": 1}, reply=int), int)
    assert_type(await client.request("x"), Any)
    assert_type(await client.request(JoinRoom(room="x")), Any)
    await client.request(Said(text="x"))  # type: ignore[call-overload]
    await client.request(Say)  # type: ignore[call-overload]
    await client.request(Say(text="x"), {"text": "y"})  # type: ignore[call-overload]
    await client.send(Say(text="x"))
    await client.send(Said(text="x"))  # type: ignore[call-overload]


async def heard(said: Said) -> None: ...
def paid(data: dict[str, int]) -> None: ...
def event(event: Event) -> None: ...
def connected(event: Connected) -> None: ...


def handlers(client: SocketClient) -> None:
    client.on(Said, heard)
    client.on(Paid, paid)
    client.on("said", event)
    client.on(Connected, connected)
    client.on(Dropped, lambda dropped: dropped.count + 1)
    client.on(Say, print)  # type: ignore[type-var]
    client.on(Said, paid)  # type: ignore[arg-type]
    client.on(Paid, heard)  # type: ignore[arg-type]
    client.on("said", heard)  # type: ignore[arg-type]


async def expectations(app: Starlette) -> None:
    async with AppClient(app, provider=FakeProvider()) as client:
        ann = await client.connect("/ws", reconnect=True, headers={"cookie": "a=b"})
        assert_type(await ann.request(Say(text="x")), Said)
        assert_type(await ann.expect(Said), Said)
        assert_type(await ann.expect(Paid), dict[str, int])
        assert_type(await ann.expect("said"), Event)
        assert_type(await ann.expect(Raw), Raw)
        assert_type(await ann.expect(Reply), Reply)
        assert_type(await ann.receive(), Received)
        await ann.expect(Say)  # type: ignore[type-var]
        await client.connect("/ws", rekonnect=True)  # type: ignore[call-arg]
    AppClient("app")  # type: ignore[arg-type]


def records(emitter: RecordingEmitter, provider: FakeProvider) -> None:
    assert_type(emitter.expect(Said, topic="x"), Said)
    assert_type(emitter.expect(Paid), dict[str, int])
    assert_type(provider.emitted(Said), list[Said])
    emitter.expect(Say)  # type: ignore[type-var]
