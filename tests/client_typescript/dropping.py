"""An application that leaves out messages for who reads slowly, and tells them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from wigwag import Limits, MessageRegistry, Sockets

registry = MessageRegistry[None]().rooms(anyone=True)
sockets = Sockets(routers=[registry], limits=Limits(slow="drop", send_bytes=256 * 1024))


async def page(request: Request) -> Response:
    return PlainTextResponse("an application has a page")


app = Starlette(routes=[sockets.route("/ws"), Route("/", page)], lifespan=sockets.lifespan)
