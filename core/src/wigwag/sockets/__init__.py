"""The Starlette side: endpoint, connection, routers, guards, registry."""

from wigwag.sockets.context import SocketContext
from wigwag.sockets.limits import Limits, RateLimit
from wigwag.sockets.registry import MessageRegistry, Outcome
from wigwag.sockets.router import SocketRouter
from wigwag.sockets.sockets import Sockets, SocketState

__all__ = [
    "Limits",
    "MessageRegistry",
    "Outcome",
    "RateLimit",
    "SocketContext",
    "SocketRouter",
    "SocketState",
    "Sockets",
]
