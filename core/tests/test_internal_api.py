"""The internal port: what publishers send, and whom it reaches."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from clocks import backend
from internal_api import LOBBY, Api, connected
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.testing import FakeBroker

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")  # the server runs on nothing else


@pytest.fixture
async def api() -> AsyncGenerator[Api]:
    async with Provider(MemoryBroker(), name="memory") as provider, connected(provider) as client:
        yield Api(provider, client)


async def test_a_text_reaches_the_sockets_of_the_topic(api: Api) -> None:
    socket, other = await api.join("lobby"), await api.join("elsewhere")
    response = await api.post("/api/publish", LOBBY)
    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    assert socket.messages == ["hello"]
    assert other.messages == []


async def test_an_event_has_name_data_and_timestamp(api: Api) -> None:
    socket = await api.join("lobby")
    await api.post("/api/publish", {"topic": "lobby", "name": "said", "data": {"text": "é", "n": None}})
    (message,) = socket.messages
    event = msgspec.json.decode(message)
    assert event.pop("timestamp") > 1_600_000_000_000
    assert event == {"name": "said", "data": {"text": "é", "n": None}}


async def test_bytes_come_as_base64_and_leave_as_bytes(api: Api) -> None:
    socket = await api.join("lobby")
    sent = bytes(range(256))
    await api.post("/api/publish", {"topic": "lobby", "base64": base64.b64encode(sent).decode()})
    assert socket.messages == [sent]


async def test_curl_needs_no_content_type(api: Api) -> None:
    form = "application/x-www-form-urlencoded"
    response = await api.post("/api/publish", LOBBY, content_type=form, user_agent="curl/8.5.0")
    assert response.status_code == 202


async def test_a_batch_is_published_in_order(api: Api) -> None:
    socket = await api.join("a", "b")
    messages = [{"topic": "ab"[i % 2], "text": str(i)} for i in range(600)]
    response = await api.post("/api/publish", {"messages": messages})
    assert (response.status_code, response.json()) == (202, {"accepted": 600})
    # Within a topic: what one turn publishes to one is written together.
    numbers = [int(message) for message in socket.messages]
    assert [n for n in numbers if n % 2 == 0] == list(range(0, 600, 2))
    assert [n for n in numbers if n % 2 == 1] == list(range(1, 600, 2))


async def test_a_broadcast_reaches_every_socket(api: Api) -> None:
    sockets = [await api.join("a"), api.attach()]
    assert (await api.post("/api/broadcast", {"text": "all"})).status_code == 202
    assert [socket.messages for socket in sockets] == [["all"], ["all"]]


async def test_a_direct_message_reaches_one_socket(api: Api) -> None:
    socket, other = api.attach(), api.attach()
    body = {"socketId": socket.id, "name": "x", "data": 1}
    assert (await api.post("/api/send", body)).status_code == 202
    assert len(socket.messages) == 1
    assert other.messages == []


async def test_a_socket_that_has_gone_is_no_error(api: Api) -> None:
    gone = api.provider.new_socket_id()
    assert (await api.post("/api/send", {"socketId": gone, "text": "x"})).status_code == 202
    assert (await api.post("/api/disconnect", {"socketId": gone})).status_code == 202


async def test_a_socket_is_disconnected_with_code_and_reason(api: Api) -> None:
    socket, other = api.attach(), api.attach()
    body = {"socketId": socket.id, "code": 4001, "reason": "kicked"}
    response = await api.post("/api/disconnect", body)
    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    assert socket.closes == [(4001, "kicked")]
    assert other.closes == []


async def test_all_sockets_of_a_user_are_disconnected(api: Api) -> None:
    ann, also_ann, bob = api.attach("ann"), api.attach("ann"), api.attach("bob")
    assert (await api.post("/api/disconnect", {"user": "ann"})).status_code == 202
    assert [socket.closes for socket in (ann, also_ann, bob)] == [[(1000, "")], [(1000, "")], []]


async def test_a_topic_is_counted_with_the_nodes_that_answered(api: Api) -> None:
    await api.join("room:1")
    await api.join("room:1")
    response = await api.client.get("/api/topics/room:1")
    assert api.provider.node is not None
    nodes = [{"node": api.provider.node.tag, "sockets": 2}]
    assert response.json() == {"topic": "room:1", "sockets": 2, "nodes": nodes}


async def test_the_sockets_of_the_cluster_are_counted_with_the_nodes_that_answered(api: Api) -> None:
    api.attach()
    api.attach()
    assert api.provider.node is not None
    node = {"node": api.provider.node.tag, "provider": api.provider.name, "sockets": 2, "leaving": False}
    assert (await api.client.get("/api/nodes")).json() == {"sockets": 2, "nodes": [node]}
    api.provider.node.leave()
    assert (await api.client.get("/api/nodes")).json()["nodes"] == [{**node, "leaving": True}]


async def test_it_publishes_through_every_provider_of_the_application() -> None:
    async with (
        Provider(MemoryBroker(), name="a") as a,
        Provider(MemoryBroker(), name="b") as b,
        connected(a, b) as client,
    ):
        on_a, on_b = await Api(a, client).join("lobby"), await Api(b, client).join("lobby")
        assert (await Api(a, client).post("/api/publish", LOBBY)).json() == {"accepted": 1}
        counted = (await client.get("/api/topics/lobby")).json()
    assert (on_a.messages, on_b.messages) == (["hello"], ["hello"])
    assert counted["sockets"] == 2
    assert len(counted["nodes"]) == 2


async def test_a_provider_that_only_publishes_is_not_published_through(api: Api) -> None:
    broker = FakeBroker()
    async with Provider(broker, subscribes=False) as other, connected(other) as client:
        assert (await Api(other, client).post("/api/publish", LOBBY)).status_code == 503
    assert not broker.called("publish")
