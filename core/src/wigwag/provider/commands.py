"""What nodes say to each other beside messages: close that socket, count this topic."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Annotated

import anyio
import msgspec

from wigwag.node import BROADCAST_CHANNEL, node_channel
from wigwag.provider.fanout import Fanout

#: A node's tag: it becomes part of a channel's name, so a stranger's text must not.
Tag = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}\Z")]
#: What fits a close frame; which codes an application may use, the caller has checked.
Code = Annotated[int, msgspec.Meta(ge=1000, le=4999)]


class Close(msgspec.Struct, tag="close", omit_defaults=True):
    """Close a socket, or all those of a user."""

    code: Code
    reason: str
    socket: str | None = None
    user: str | None = None
    #: The node that says so, if it has closed its own already.
    node: Tag | None = None


class Count(msgspec.Struct, tag="count"):
    """How many sockets want this topic?  Answer to that node's channel."""

    topic: str
    ask: int
    node: Tag


class Counted(msgspec.Struct, tag="counted"):
    """The answer."""

    ask: int
    node: Tag
    sockets: Annotated[int, msgspec.Meta(ge=0)]


Command = Close | Count | Counted

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Command).decode


class Commands:
    """Sends commands, and does those that come."""

    def __init__(self, tag: str, fanout: Fanout, post: Callable[[str, bytes], None]) -> None:
        self._tag = tag
        self._fanout = fanout
        self._post = post  # (channel, payload): fire and forget
        self._numbers = itertools.count(1)
        self._asked: dict[int, dict[str, int]] = {}

    def close_socket(self, node: str, socket_id: str, code: int, reason: str) -> bytes:
        """The command that closes one socket of another node."""
        return _encode(Close(code, reason, socket=socket_id))

    def close_user(self, user_id: str, code: int, reason: str) -> bytes:
        """The command that closes a user's sockets on the other nodes."""
        return _encode(Close(code, reason, user=user_id, node=self._tag))

    async def count(self, topic: str, timeout_s: float) -> dict[str, int]:
        """Ask every node how many sockets want the topic: node tag → count, of those that answered."""
        ask = next(self._numbers)
        answers = self._asked[ask] = {}
        try:
            self._post(BROADCAST_CHANNEL, _encode(Count(topic, ask, self._tag)))
            await anyio.sleep(timeout_s)
        finally:
            del self._asked[ask]
        answers[self._tag] = len(self._fanout.interest.sockets(topic))
        return answers

    def do(self, payload: bytes) -> None:
        """Do a command that came.

        Raises:
            ValueError: it is none.
        """
        command = _decode(payload)
        if isinstance(command, Close):
            self._close(command)
        elif isinstance(command, Count):
            sockets_here = len(self._fanout.interest.sockets(command.topic))
            self._post(node_channel(command.node), _encode(Counted(command.ask, self._tag, sockets_here)))
        elif command.ask in self._asked:
            self._asked[command.ask][command.node] = command.sockets

    def _close(self, command: Close) -> None:
        if command.node == self._tag:
            return
        if command.socket is not None:
            socket = self._fanout.sockets.get(command.socket)
            sockets = [] if socket is None else [socket]
        else:
            sockets = [] if command.user is None else self._fanout.of_user(command.user)
        self._fanout.close(sockets, command.code, command.reason)
