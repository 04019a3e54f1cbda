"""A dashboard: incidents come in over HTTP, and stand on every page that watches at once."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from wigwag import Emitter, SocketContext, SocketMessage, SocketRouter, Sockets, SocketState, topic

Project = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
Severity = Literal["minor", "major", "critical"]


class NewIncident(msgspec.Struct, forbid_unknown_fields=True):
    project: Project
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    severity: Severity


class Incident(msgspec.Struct, rename="camel"):
    id: int
    project: str
    title: str
    severity: Severity
    opened_ms: int
    is_resolved: bool = False


class Watch(msgspec.Struct):
    project: Project


# Any model may be a message: these two have the same data.
IncidentOpened = SocketMessage.define("incident.opened", Incident)
IncidentResolved = SocketMessage.define("incident.resolved", Incident)


class AppEmitter(Emitter):
    """What the application says to its sockets, in its own words."""

    async def opened(self, incident: Incident) -> None:
        await self.emit(IncidentOpened(incident), topic("incidents", incident.project))

    async def resolved(self, incident: Incident) -> None:
        await self.emit(IncidentResolved(incident), topic("incidents", incident.project))


class Incidents:
    """Where incidents are kept; in an application of yours, a database that all replicas share."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._all: dict[int, Incident] = {}

    def open(self, new: NewIncident) -> Incident:
        now_ms = int(time.time() * 1000)
        incident = Incident(next(self._ids), new.project, new.title, new.severity, now_ms)
        self._all[incident.id] = incident
        return incident

    def resolve(self, id_: int) -> Incident | None:
        incident = self._all.get(id_)
        if incident is not None:
            incident.is_resolved = True
        return incident

    def of(self, project: str) -> list[Incident]:
        return [incident for incident in self._all.values() if incident.project == project]


incidents = Incidents()
router = SocketRouter[None]()


@router.on("watch")
async def watch(ctx: SocketContext[None], data: Watch) -> None:
    await ctx.subscribe(topic("incidents", data.project))


# HTTP

AppRequest = Request[SocketState[AppEmitter]]


async def open_incident(request: AppRequest) -> Response:
    try:
        new = msgspec.json.decode(await request.body(), type=NewIncident)
    except ValueError as exc:  # msgspec's errors, and what bad UTF-8 raises
        return JSONResponse({"error": str(exc)}, 400)
    incident = incidents.open(new)
    await request.state.emitter.opened(incident)
    return JSONResponse(msgspec.to_builtins(incident), 201)


async def resolve_incident(request: AppRequest) -> Response:
    incident = incidents.resolve(request.path_params["id"])
    if incident is None:
        return JSONResponse({"error": "no such incident"}, 404)
    await request.state.emitter.resolved(incident)
    return JSONResponse(msgspec.to_builtins(incident))


async def list_incidents(request: AppRequest) -> Response:
    found = incidents.of(request.query_params.get("project", ""))
    return JSONResponse(msgspec.to_builtins(found))


class Pages(StaticFiles):
    """The page's files, with headers that keep a browser strict."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["content-security-policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["cache-control"] = "no-cache"
        return response


sockets = Sockets(routers=[router], emitter=AppEmitter)
pages = Pages(directory=Path(__file__).parent / "static", html=True)
app = Starlette(
    routes=[
        sockets.route("/ws"),
        Route("/incidents", list_incidents, methods=["GET"]),
        Route("/incidents", open_incident, methods=["POST"]),
        Route("/incidents/{id:int}/resolve", resolve_incident, methods=["POST"]),
        Mount("/", pages),
    ],
    lifespan=sockets.lifespan,
)
