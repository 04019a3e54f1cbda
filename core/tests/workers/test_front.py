"""The internal port of a service with workers, over workers that a test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import Metric

from wigwag.memory import MemoryBroker
from wigwag.provider import Provider
from wigwag.service.internal import create_internal_app
from wigwag.service.refusals import Refusals
from wigwag.service.served import Access
from wigwag.service.workers.front import create_front
from wigwag.service.workers.messages import Answer, Ask
from wigwag.service.workers.process import WorkerGone
from wigwag.service.workers.relay import answer_to

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeWorker:
    """Answers as a worker does, or fails in a way that one can."""

    def __init__(self, number: int, providers: Sequence[Provider], error: Exception | None = None) -> None:
        self.number = number
        self.error = error
        self.asked: list[str] = []
        self._app = create_internal_app(providers)

    async def ask(self, ask: Ask, limit_s: float) -> Answer:
        self.asked.append(ask.path)
        if self.error is not None:
            raise self.error
        return await answer_to(ask, self._app)


class Fleet:
    """The supervisor's side of the front."""

    def __init__(self, workers: list[Any], leaving: Sequence[Any] = ()) -> None:
        self.workers = workers
        self._leaving = leaving
        self.is_draining = False

    def serving(self) -> Sequence[Any]:
        return self.workers

    def leaving(self) -> Sequence[Any]:
        return self._leaving

    def drain(self) -> None:
        self.is_draining = True

    def numbers(self) -> Iterable[Metric]:
        return ()


@asynccontextmanager
async def client_of(fleet: Fleet) -> AsyncIterator[httpx.AsyncClient]:
    app = create_front(fleet, Access(None, None, Refusals()))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(MemoryBroker(), name="memory") as provider:
        yield provider


HI = {"topic": "lobby", "text": "hi"}


async def test_workers_answer_in_turn(provider: Provider) -> None:
    workers = [FakeWorker(1, [provider]), FakeWorker(2, [provider])]
    async with client_of(Fleet(workers)) as client:
        answers = [await client.post("/api/publish", json=HI) for _ in range(4)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"accepted": 1})] * 4
    assert [len(worker.asked) for worker in workers] == [2, 2]


async def test_a_drain_is_of_all_workers_and_no_worker_is_asked(provider: Provider) -> None:
    worker = FakeWorker(1, [provider])
    fleet = Fleet([worker])
    async with client_of(fleet) as client:
        answer = await client.post("/api/drain")
    assert (answer.status_code, answer.json()) == (202, {"draining": True})
    assert fleet.is_draining
    assert not worker.asked


async def test_while_all_finish_those_answer(provider: Provider) -> None:
    async with client_of(Fleet([], [FakeWorker(1, [provider])])) as client:
        assert (await client.post("/api/publish", json=HI)).status_code == 202
        assert (await client.get("/readyz")).status_code == 503


async def test_without_workers_nothing_is_accepted() -> None:
    async with client_of(Fleet([])) as client:
        answer = await client.post("/api/publish", json=HI)
        assert (answer.status_code, answer.json()["error"]) == (
            503,
            "not accepted, nothing was sent: no worker is ready",
        )
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "why": ["no worker is ready"]})
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("error", "why"),
    [(WorkerGone(), "has ended"), (TimeoutError(), "did not answer within 60 s")],
)
async def test_what_a_worker_that_ends_was_asked_is_in_doubt(error: Exception, why: str) -> None:
    async with client_of(Fleet([FakeWorker(1, [], error)])) as client:
        answer = await client.post("/api/publish", json=HI)
    assert answer.status_code == 504
    assert answer.json()["error"].startswith("in doubt, it may have been delivered")
    assert why in answer.json()["error"]


class ScriptedWorker:
    """Says of itself what it is told to."""

    def __init__(self, number: int, status: int, body: bytes) -> None:
        self.number = number
        self._status = status
        self._body = body

    async def ask(self, ask: Ask, limit_s: float) -> Answer:
        return Answer(ask.id, self._status, [], self._body)


async def test_what_workers_warn_of_is_passed_on() -> None:
    fleet = Fleet(
        [
            ScriptedWorker(1, 200, b'{"ready": true}'),
            ScriptedWorker(2, 200, b'{"ready": true, "warnings": ["lost for 3 s"]}'),
        ]
    )
    async with client_of(fleet) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (
            200,
            {"ready": True, "warnings": ["worker 2: lost for 3 s"]},
        )
        fleet.workers.append(ScriptedWorker(3, 503, b'{"ready": false, "why": ["full"]}'))
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (
            503,
            {"ready": False, "why": ["worker 3: full", "worker 2: lost for 3 s"]},
        )


async def test_each_worker_that_takes_connections_must_be_ready(provider: Provider) -> None:
    workers = [
        FakeWorker(1, [provider]),
        FakeWorker(2, []),
        FakeWorker(3, [provider], TimeoutError()),
    ]
    async with client_of(Fleet(workers)) as client:
        why = (await client.get("/readyz")).json()["why"]
        workers.pop()
        workers.pop()
        assert (await client.get("/readyz")).json() == {"ready": True}
    assert why == [
        "worker 2: the application has started no provider: there is nothing to publish through",
        "worker 3: it does not answer",
    ]


async def test_numbers_are_each_workers_and_one_that_does_not_answer_is_left_out(provider: Provider) -> None:
    workers = [FakeWorker(1, [provider]), FakeWorker(2, [provider], WorkerGone())]
    async with client_of(Fleet(workers, [FakeWorker(1, [provider])])) as client:
        page = (await client.get("/metrics")).text
    assert 'wigwag_connections{provider="memory",worker="1"} 0.0' in page
    assert 'wigwag_connections{provider="memory",worker="1, leaving"} 0.0' in page
    assert 'worker="2"' not in page
    assert 'process_cpu_seconds_total{worker="supervisor"}' in page
    assert page.count("# TYPE wigwag_messages_published_total counter") == 1


async def test_what_an_application_raises_is_logged_and_answered_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing(scope: Any, receive: Callable[[], Any], send: Any) -> None:
        assert (await receive())["body"] == b"x"
        raise RuntimeError("a secret")

    answer = await answer_to(Ask(7, "GET", "/api/x", b"", [], b"x"), failing)
    assert (answer.id, answer.status, answer.body) == (7, 500, b"")
    assert "GET /api/x failed" in caplog.text
