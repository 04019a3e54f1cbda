"""The internal port: publishing over HTTP, health and metrics.  Never to be open to the public."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from wigwag.errors import InvalidMessage, InvalidTopic, NotAccepted, NotRunning, Uncertain
from wigwag.frames import check_close_code
from wigwag.node import node_tag_of
from wigwag.provider import Provider
from wigwag.service.access import ApiKeys, RequireAccess
from wigwag.service.draining import Drain, DrainCollector, SendsElsewhere
from wigwag.service.messages import Content, Disconnect, ToAll, ToSocket, ToTopic, decode, prepare
from wigwag.service.metrics import exposition, registry_of
from wigwag.service.publishing import NO_PROVIDER, Answer, distinct, publish_all, refusal, running
from wigwag.service.readiness import Readiness
from wigwag.service.refusals import Refusals
from wigwag.service.traced import InTraceOfRequest

MAX_BODY_BYTES = 4 * 1024 * 1024

Endpoint = Callable[[Request], Awaitable[Response]]


def create_internal_app(
    providers: Sequence[Provider],
    api_keys: ApiKeys | None = None,
    *,
    refusals: Refusals | None = None,
    obstacles: Callable[[], Sequence[str]] = tuple,
    unready_after_s: float = 0.0,
    max_sockets: int | None = None,
    drain: Drain | None = None,
) -> Starlette:
    """The application of the internal port, over the providers that are in the list when it is asked.

    ``api_keys`` are what publishers bring; without any only programs of this machine are served. Health and
    metrics ask for no key.  ``refusals`` counts who is refused, here and elsewhere; ``obstacles`` says why clients
    can't be served, beside what the providers say; ``unready_after_s``: see :class:`Readiness`;
    ``max_sockets`` is how many sockets are let in; ``drain`` is what ``POST /api/drain`` begins.
    """
    refusals = refusals or Refusals()
    readiness = Readiness(providers, obstacles, unready_after_s=unready_after_s)
    api = InternalApi(providers, refusals, readiness, max_sockets, drain)
    return Starlette(
        routes=[
            Mount(
                "/api",
                routes=[
                    Route("/publish", api.deliver(ToTopic), methods=["POST"]),
                    Route("/broadcast", api.deliver(ToAll), methods=["POST"]),
                    Route("/send", api.deliver(ToSocket), methods=["POST"]),
                    Route("/disconnect", api.disconnect, methods=["POST"]),
                    Route("/topics/{topic}", api.topic, methods=["GET"]),
                    Route("/nodes", api.nodes, methods=["GET"]),
                    Route("/drain", api.drain, methods=["POST"]),
                ],
                middleware=[
                    Middleware(RequireAccess, api_keys=api_keys, refused=refusals.api),
                    Middleware(InTraceOfRequest),
                ],
            ),
            Route("/livez", api.livez, methods=["GET"]),
            Route("/readyz", api.readyz, methods=["GET"]),
            Route("/metrics", api.metrics, methods=["GET"]),
        ],
        middleware=[] if drain is None else [Middleware(SendsElsewhere, drain=drain)],
        exception_handlers={
            HTTPException: http_error,
            InvalidMessage: _invalid,
            InvalidTopic: _invalid_topic,
            Exception: _internal_error,
        },
    )


class InternalApi:
    """The endpoints."""

    def __init__(
        self,
        providers: Sequence[Provider],
        refusals: Refusals,
        readiness: Readiness,
        max_sockets: int | None,
        drain: Drain | None,
    ) -> None:
        self._providers = providers
        self._registry = registry_of(providers, refusals, max_sockets)
        self._readiness = readiness
        self._drain = drain
        if drain is not None:
            self._registry.register(DrainCollector(drain))

    def deliver(self, kind: type[Content]) -> Endpoint:
        """The endpoint that delivers messages of this kind, one or several."""

        async def endpoint(request: Request) -> Response:
            messages = prepare(await read_body(request), kind)
            return _json(await publish_all(messages, self._providers))

        return endpoint

    async def disconnect(self, request: Request) -> Response:
        """Close a socket, or all those of a user, on every node."""
        wish = _checked(decode(await read_body(request), Disconnect))
        providers = distinct(running(self._providers))
        if not providers:
            return _json(Answer(503, {"error": NO_PROVIDER}))
        try:
            for provider in providers:
                if wish.socketId is not None:
                    await provider.disconnect(wish.socketId, wish.code, wish.reason)
                elif wish.user is not None:
                    await provider.disconnect_user(wish.user, wish.code, wish.reason)
        except (NotAccepted, Uncertain, NotRunning) as exc:
            return _json(refusal(exc))
        return _json(Answer(202, {"accepted": 1}))

    async def topic(self, request: Request) -> Response:
        """How many sockets of the cluster want a topic, and which nodes said so."""
        topic = request.path_params["topic"]
        providers = distinct(running(self._providers))
        if not providers:
            return _json(Answer(503, {"error": NO_PROVIDER}))
        nodes = [
            {"node": node, "sockets": count}
            for provider in providers
            for node, count in sorted((await provider.count_topic(topic)).items())
        ]
        total = sum(count for node in nodes if isinstance(count := node["sockets"], int))
        return JSONResponse({"topic": topic, "sockets": total, "nodes": nodes})

    async def nodes(self, request: Request) -> Response:
        """How many sockets the cluster has, and which nodes said so."""
        providers = distinct(running(self._providers))
        if not providers:
            return _json(Answer(503, {"error": NO_PROVIDER}))
        nodes = [
            {"node": node, "provider": provider.name, "sockets": count.sockets, "leaving": count.is_leaving}
            for provider in providers
            for node, count in sorted((await provider.count_sockets()).items())
        ]
        total = sum(count for node in nodes if isinstance(count := node["sockets"], int))
        return JSONResponse({"sockets": total, "nodes": nodes})

    async def drain(self, request: Request) -> Response:
        """Begin what SIGTERM begins; once it has begun, nothing more."""
        if self._drain is None:
            raise HTTPException(404)
        self._drain.begin()
        return JSONResponse({"draining": True}, 202)

    async def livez(self, request: Request) -> Response:
        """The process answers.  Nothing else is looked at."""
        return JSONResponse({"live": True})

    async def readyz(self, request: Request) -> Response:
        """Whether clients should be sent here: see :class:`Readiness`."""
        verdict = self._readiness.look()
        if verdict.why:
            return JSONResponse({"ready": False, "why": verdict.why + verdict.warnings}, 503)
        if verdict.warnings:
            return JSONResponse({"ready": True, "warnings": verdict.warnings})
        return JSONResponse({"ready": True})

    async def metrics(self, request: Request) -> Response:
        """The numbers, for Prometheus."""
        page, content_type = exposition(self._registry, request.headers.get("accept", ""))
        return Response(page, headers={"content-type": content_type})


async def read_body(request: Request) -> bytes:
    """The body, of whatever content type, so that plain ``curl -d`` works.

    Raises:
        HTTPException: 413, it is too large; 400, who sends it has gone.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    except ClientDisconnect:  # nobody hears the answer
        raise HTTPException(400, "the body has not come") from None
    return bytes(body)


def _checked(wish: Disconnect) -> Disconnect:
    """The wish, seen to be possible.  Raises InvalidMessage with the path of what is not."""
    if (wish.socketId is None) is (wish.user is None):
        text = 'either "socketId" or "user" says whom to disconnect'
        raise InvalidMessage(text, [{"path": "$", "message": text}])
    path = "$.code"
    try:
        check_close_code(wish.code)
        if wish.socketId is not None:
            path = "$.socketId"
            node_tag_of(wish.socketId)
    except ValueError as exc:  # InvalidSocketId is one
        raise InvalidMessage(str(exc), [{"path": path, "message": str(exc)}]) from None
    return wish


def _json(answer: Answer) -> Response:
    return JSONResponse(answer.content, answer.status)


async def http_error(request: Request, exc: Exception) -> Response:
    """The answer where a path, a method or a size is none of ours."""
    if not isinstance(exc, HTTPException):  # pragma: no cover - registered for it alone
        raise exc
    return JSONResponse({"error": exc.detail}, exc.status_code, exc.headers)


async def _invalid(request: Request, exc: Exception) -> Response:
    details = exc.details if isinstance(exc, InvalidMessage) else []
    return JSONResponse({"error": str(exc), "details": details}, 400)


async def _invalid_topic(request: Request, exc: Exception) -> Response:
    rule = exc.rule if isinstance(exc, InvalidTopic) else ""
    return JSONResponse({"error": rule, "details": [{"path": "$.topic", "message": rule}]}, 400)


async def _internal_error(request: Request, exc: Exception) -> Response:
    """What was raised goes to the log, by Starlette; nothing of it to the caller."""
    return JSONResponse({"error": "Internal error"}, 500)
