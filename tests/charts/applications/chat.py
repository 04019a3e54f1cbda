"""An application that an operator might have: it has no rooms, and asks for nothing that a test could bring."""

from __future__ import annotations

from starlette.applications import Starlette

from wigwag import Sockets

sockets = Sockets()
app = Starlette(routes=[sockets.route("/live")], lifespan=sockets.lifespan)
