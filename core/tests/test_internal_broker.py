"""The internal port when the broker has trouble: what publishers are told, and the probes."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from clocks import backend, settle
from internal_api import LIMITS, LOBBY, Api, connected, over_a_broker
from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service.publishing import NO_PROVIDER
from wigwag.testing import FakeBroker, FakeNetwork, FakeSocket

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")  # the server runs on nothing else


async def test_what_the_broker_never_got_is_503() -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    async with Provider(broker, name="fake", settings=LIMITS) as provider, connected(provider) as client:
        response = await Api(provider, client).post("/api/publish", LOBBY)
    assert response.status_code == 503
    assert response.json()["error"].startswith("not accepted, nothing was sent: ")


async def test_a_disconnect_that_the_broker_never_got_is_503() -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    async with Provider(broker, name="fake", settings=LIMITS) as provider, connected(provider) as client:
        response = await Api(provider, client).post("/api/disconnect", {"user": "ann"})
    assert response.status_code == 503


async def test_what_the_broker_may_have_got_is_504() -> None:
    async with over_a_broker() as (api, broker):
        broker.confirming.shut()
        response = await api.post("/api/publish", LOBBY)
        broker.confirming.open()
    assert response.status_code == 504
    assert response.json()["error"].startswith("in doubt, it may have been delivered: ")


async def test_a_batch_that_is_done_in_part_says_which_were_not() -> None:
    async with over_a_broker() as (api, broker):
        broker.publishing.shut()  # so that the batch waits as one
        answers: list[httpx.Response] = []
        async with anyio.create_task_group() as tasks:

            async def publish() -> None:
                body = {"messages": [{"topic": "t", "text": str(i)} for i in range(4)]}
                answers.append(await api.post("/api/publish", body))

            broker.refuse_indices = {1: "too hot", 3: "too cold"}
            tasks.start_soon(publish)
            await settle()
            broker.publishing.open()
        (response,) = answers
    assert response.status_code == 503
    answer = response.json()
    assert answer["accepted"] == 2
    assert [detail["path"] for detail in answer["details"]] == ["$.messages[1]", "$.messages[3]"]
    assert "too hot" in answer["details"][0]["message"]


async def test_what_comes_after_a_failure_is_not_tried() -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    async with Provider(broker, name="fake", settings=LIMITS) as provider, connected(provider) as client:
        body = {"messages": [{"topic": "t", "text": str(i)} for i in range(300)]}
        response = await Api(provider, client).post("/api/publish", body)
    answer = response.json()
    assert response.status_code == 503
    assert answer["error"] == "0 of 300 messages were accepted; details say which were not"
    assert len(answer["details"]) == 257
    assert answer["details"][-1] == {
        "path": "$.messages[256]",
        "message": "this one and those after it, to 299, were not tried",
    }


async def test_through_one_provider_and_not_the_other_is_in_doubt() -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    async with (
        Provider(MemoryBroker(), name="memory") as memory,
        Provider(broker, name="fake", settings=LIMITS) as other,
        connected(memory, other) as client,
    ):
        response = await Api(memory, client).post("/api/publish", LOBBY)
    assert response.status_code == 504


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/publish", LOBBY),
        ("POST", "/api/disconnect", {"user": "a"}),
        ("GET", "/api/topics/lobby", None),
        ("GET", "/api/nodes", None),
    ],
)
async def test_without_a_provider_the_answer_says_so(method: str, path: str, body: object) -> None:
    stopped = Provider(MemoryBroker())
    for providers in ([], [stopped]):
        async with connected(*providers) as client:
            response = await client.request(method, path, json=body)
            assert (response.status_code, response.json()) == (503, {"error": NO_PROVIDER})


async def test_it_is_alive_whatever_the_broker_does() -> None:
    async with connected(peer="10.0.0.7") as client:
        response = await client.get("/livez", headers={"host": "10.0.0.8:9000"})
        assert (response.status_code, response.json()) == (200, {"live": True})


async def test_it_is_ready_when_every_provider_is_up() -> None:
    async with over_a_broker() as (api, broker):
        response = await api.client.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"ready": True})
        broker.connecting.shut()
        broker.cut("pulled")
        await settle()
        response = await api.client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "ready": False,
        "why": ["provider fake: the broker link is down (pulled), for 0 s"],
    }


async def test_without_a_provider_it_is_not_ready() -> None:
    async with connected() as client:
        response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"ready": False, "why": [NO_PROVIDER]})


async def test_two_applications_on_one_broker_get_what_is_published_once() -> None:
    """Two `Sockets()` in one process, each with a provider of its own: both hear what either publishes."""
    network = FakeNetwork()
    same = ("fake", "settings")
    async with (
        Provider(FakeBroker(network), name="fake", settings=LIMITS, identity=same) as one,
        Provider(FakeBroker(network), name="fake", settings=LIMITS, identity=same) as two,
        connected(one, two) as client,
    ):
        sockets = [FakeSocket(provider.new_socket_id()) for provider in (one, two)]
        for provider, socket in zip((one, two), sockets, strict=True):
            provider.attach(socket)
            await provider.subscribe(socket.id, "lobby")
        api = Api(one, client)
        assert (await api.post("/api/publish", {"topic": "lobby", "text": "once"})).status_code == 202
        counted = (await client.get("/api/topics/lobby")).json()
        await settle()
    assert [socket.messages for socket in sockets] == [["once"], ["once"]]
    assert (counted["sockets"], len(counted["nodes"])) == (2, 2)


async def test_applications_on_two_brokers_both_get_what_is_published() -> None:
    async with (
        Provider(FakeBroker(), name="fake", settings=LIMITS, identity="a") as one,
        Provider(FakeBroker(), name="fake", settings=LIMITS, identity="b") as two,
        connected(one, two) as client,
    ):
        sockets = [FakeSocket(provider.new_socket_id()) for provider in (one, two)]
        for provider, socket in zip((one, two), sockets, strict=True):
            provider.attach(socket)
            await provider.subscribe(socket.id, "lobby")
        assert (await Api(one, client).post("/api/publish", LOBBY)).status_code == 202
        await settle()
    assert [len(socket.messages) for socket in sockets] == [1, 1]
