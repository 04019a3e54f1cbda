"""wigwag delivers a message, once, to every WebSocket that asked for its topic, on whichever replica
that socket hangs.

Begin with :class:`Sockets`, which is an application's endpoint, lifespan and emitter.
"""

from wigwag.emitter import Emitter
from wigwag.errors import Forbidden, InvalidTopic, NotRunning, SocketError, WigwagError
from wigwag.factory import create_emitter, create_provider
from wigwag.interfaces import SocketEmitter, SocketLifecycle, WebSocketProvider
from wigwag.messages import (
    Heartbeat,
    JoinRoom,
    LeaveRoom,
    MessageType,
    ServerMessage,
    SocketMessage,
    SocketMessageLike,
)
from wigwag.sockets import (
    Limits,
    MessageRegistry,
    RateLimit,
    SocketContext,
    SocketRouter,
    Sockets,
    SocketState,
)
from wigwag.topics import topic
from wigwag.wire.client import Incoming

__all__ = [
    "Emitter",
    "Forbidden",
    "Heartbeat",
    "Incoming",
    "InvalidTopic",
    "JoinRoom",
    "LeaveRoom",
    "Limits",
    "MessageRegistry",
    "MessageType",
    "NotRunning",
    "RateLimit",
    "ServerMessage",
    "SocketContext",
    "SocketEmitter",
    "SocketError",
    "SocketLifecycle",
    "SocketMessage",
    "SocketMessageLike",
    "SocketRouter",
    "SocketState",
    "Sockets",
    "WebSocketProvider",
    "WigwagError",
    "create_emitter",
    "create_provider",
    "topic",
]
