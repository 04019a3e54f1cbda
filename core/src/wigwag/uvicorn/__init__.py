"""A WebSocket protocol class for uvicorn: any ASGI application works on it, and wigwag's own sockets go past ASGI.

``uvicorn --ws wigwag.uvicorn:WebSocketProtocol app:app``, or ``uvicorn.Config(app, ws=WebSocketProtocol)``;
``wigwag serve`` uses it.
"""

from wigwag.uvicorn.protocol import WebSocketProtocol

__all__ = ["WebSocketProtocol"]
