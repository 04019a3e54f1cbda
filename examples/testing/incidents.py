"""Incidents of an account: who watches hears of them, who is on call acknowledges them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from wigwag import (
    Emitter,
    MessageRegistry,
    ServerMessage,
    SocketContext,
    SocketEmitter,
    SocketMessage,
    Sockets,
    topic,
)


class IncidentCreated(SocketMessage, name="incident.created"):
    title: str
    severity: Literal["minor", "major"]


class Acknowledged(SocketMessage, name="incident.acknowledged"):
    title: str
    by: str


class Watch(ServerMessage[int], name="incidents.watch"):  # answered with how many watch
    pass


class Acknowledge(ServerMessage[Acknowledged], name="incident.acknowledge"):
    title: str


@dataclass(frozen=True)
class User:
    name: str
    account: str
    is_on_call: bool = False


USERS = {
    "t-ann": User("ann", "acme", is_on_call=True),
    "t-bob": User("bob", "acme"),
    "t-eve": User("eve", "other"),
}


async def authenticate(connection: HTTPConnection) -> User | None:
    return USERS.get(connection.query_params.get("token", ""))


class Incidents:
    """A service: it knows sockets by the emitter alone."""

    def __init__(self, emitter: SocketEmitter) -> None:
        self._emitter = emitter

    async def create(self, account: str, incident: IncidentCreated) -> None:
        await self._emitter.emit(incident, topic("incidents", account))


async def watch(ctx: SocketContext[User], message: Watch) -> int:
    room = topic("incidents", ctx.user.account)
    await ctx.subscribe(room)
    return sockets.provider.topic_subscriber_count(room)


async def acknowledge(ctx: SocketContext[User], message: Acknowledge) -> Acknowledged:
    acknowledged = Acknowledged(title=message.title, by=ctx.user.name)
    await ctx.emitter.emit(acknowledged, topic("incidents", ctx.user.account), exclude=ctx.id)
    return acknowledged


def is_on_call(ctx: SocketContext[User]) -> bool:
    return ctx.user.is_on_call


registry = MessageRegistry[User]().on(Watch, watch).on(Acknowledge, acknowledge, guards=[is_on_call])
sockets = Sockets[User](upgrade=authenticate, routers=[registry])
app = FastAPI(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)


class NewIncident(BaseModel):
    account: str
    title: str
    severity: Literal["minor", "major"]


@app.post("/incidents", status_code=201)
async def create_incident(
    body: NewIncident, emitter: Annotated[Emitter, Depends(sockets.get_emitter)]
) -> None:
    incident = IncidentCreated(title=body.title, severity=body.severity)
    await Incidents(emitter).create(body.account, incident)
