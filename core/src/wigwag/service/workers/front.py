"""The internal port of a service with workers: one that speaks for all of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import anyio
import msgspec
from prometheus_client import CollectorRegistry, Metric
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from wigwag.service.access import RequireAccess
from wigwag.service.internal import http_error, read_body
from wigwag.service.metrics import exposition
from wigwag.service.refusals import Refusals
from wigwag.service.served import Access
from wigwag.service.workers.messages import Answer, Ask
from wigwag.service.workers.metrics import ACCEPT, Merged, own_page
from wigwag.service.workers.process import Worker, WorkerGone

#: What a worker has to say how it is; the probes of Kubernetes wait no longer either.
_LOOK_LIMIT_S: Final = 2.0
#: A request of many messages may take some time; one that takes so long is in doubt.
_ASK_LIMIT_S: Final = 60.0
NO_WORKER: Final = "no worker is ready"


class Workers(Protocol):
    """The supervisor, as the front needs it."""

    def serving(self) -> Sequence[Worker]:
        """The workers that take connections."""
        ...

    def leaving(self) -> Sequence[Worker]:
        """Those that finish what they have."""
        ...

    def drain(self) -> None:
        """Have all end, as SIGTERM does."""
        ...

    def numbers(self) -> Iterable[Metric]:
        """What the supervisor counts itself."""
        ...


def create_front(workers: Workers, access: Access) -> Starlette:
    """The application, over the workers that are there when it is asked.

    What is asked of ``/api`` any one of them answers, but for ``/api/drain``; of health and metrics, all.
    """
    front = _Front(workers, access.refusals)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Mount(
                "/api",
                routes=[
                    Route("/drain", front.drain, methods=["POST"]),
                    Route("/{path:path}", front.relay, methods=methods),
                ],
                middleware=[Middleware(RequireAccess, api_keys=access.api_keys, refused=access.refusals.api)],
            ),
            Route("/livez", front.livez, methods=["GET"]),
            Route("/readyz", front.readyz, methods=["GET"]),
            Route("/metrics", front.metrics, methods=["GET"]),
        ],
        exception_handlers={HTTPException: http_error},
    )


class _Front:
    """The endpoints."""

    def __init__(self, workers: Workers, refusals: Refusals) -> None:
        self._workers = workers
        self._refusals = refusals
        self._turns = itertools.count()

    async def relay(self, request: Request) -> Response:
        """Have a worker answer: the next one in turn."""
        workers = self._workers.serving() or self._workers.leaving()
        if not workers:
            return JSONResponse({"error": f"not accepted, nothing was sent: {NO_WORKER}"}, 503)
        worker = workers[next(self._turns) % len(workers)]
        try:
            answer = await worker.ask(await _ask_of(request), _ASK_LIMIT_S)
        except WorkerGone:
            return _in_doubt("the worker that was asked has ended")
        except TimeoutError:
            return _in_doubt(f"the worker that was asked did not answer within {_ASK_LIMIT_S:g} s")
        return _response(answer)

    async def drain(self, request: Request) -> Response:
        """Begin what SIGTERM begins; once it has begun, nothing more."""
        self._workers.drain()
        return JSONResponse({"draining": True}, 202)

    async def livez(self, request: Request) -> Response:
        """The supervisor answers.  Workers that do not live are its own to start anew."""
        return JSONResponse({"live": True})

    async def readyz(self, request: Request) -> Response:
        """Whether connections go to workers that deliver: there is one, and each that takes connections is ready.

        One that starts, or finishes, takes none, and is not looked at.
        """
        workers = self._workers.serving()
        answers = await _look_at(workers, "/readyz", [])
        why = [] if workers else [NO_WORKER]
        warnings: list[str] = []
        for worker, answer in zip(workers, answers, strict=True):
            who = f"worker {worker.number}"
            if answer is None:
                why.append(f"{who}: it does not answer")
            else:
                said = msgspec.json.decode(answer.body, type=_Readiness)
                why += [f"{who}: {each}" for each in said.why]
                warnings += [f"{who}: {each}" for each in said.warnings]
        if why:
            return JSONResponse({"ready": False, "why": why + warnings}, 503)
        if warnings:
            return JSONResponse({"ready": True, "warnings": warnings})
        return JSONResponse({"ready": True})

    async def metrics(self, request: Request) -> Response:
        """The numbers, for Prometheus, of all workers and the supervisor."""
        named = {f"{worker.number}": worker for worker in self._workers.serving()}
        named |= {f"{worker.number}, leaving": worker for worker in self._workers.leaving()}
        answers = await _look_at(list(named.values()), "/metrics", [(b"accept", ACCEPT)])
        pages = {
            name: answer.body.decode()
            for name, answer in zip(named, answers, strict=True)
            if answer is not None
        }
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Merged({**pages, "supervisor": own_page(self._refusals)}, self._workers.numbers()))
        page, content_type = exposition(registry, request.headers.get("accept", ""))
        return Response(page, headers={"content-type": content_type})


class _Readiness(msgspec.Struct):
    """What a worker's /readyz says."""

    why: list[str] = []
    warnings: list[str] = []


async def _look_at(
    workers: Sequence[Worker], path: str, headers: list[tuple[bytes, bytes]]
) -> list[Answer | None]:
    """Ask all of them at once; None stands for one that did not answer."""
    answers: list[Answer | None] = [None] * len(workers)

    async def look(index: int, worker: Worker) -> None:
        with contextlib.suppress(WorkerGone, TimeoutError):
            answers[index] = await worker.ask(Ask(0, "GET", path, b"", headers, b""), _LOOK_LIMIT_S)

    async with anyio.create_task_group() as tasks:
        for index, worker in enumerate(workers):
            tasks.start_soon(look, index, worker)
    return answers


async def _ask_of(request: Request) -> Ask:
    scope = request.scope
    return Ask(
        0,
        scope["method"],
        scope["path"],
        scope["query_string"],
        [(bytes(name), bytes(value)) for name, value in scope["headers"]],
        await read_body(request),
        tuple(scope["client"]) if scope.get("client") else None,
    )


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers = answer.headers
    return response


def _in_doubt(why: str) -> Response:
    return JSONResponse({"error": f"in doubt, it may have been delivered: {why}"}, 504)
