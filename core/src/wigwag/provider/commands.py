"""What nodes say to each other beside messages: close that socket, count this topic, say how many you have."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Annotated, NamedTuple

import anyio
import msgspec

from wigwag.frames import MAX_CONTROL_BYTES, check_close_code, fit_reason
from wigwag.node import BROADCAST_CHANNEL, node_channel
from wigwag.provider.fanout import Fanout
from wigwag.provider.signal import now

#: A node's tag: it becomes part of a channel's name, so a stranger's text must not.
Tag = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}\Z")]
#: Answers in a second, and nodes that an answer may come from: a stranger on the broker must not fill our outbox,
#: nor our memory.
_ANSWERS_PER_S = 500
_MOST_NODES = 10_000


class Close(msgspec.Struct, tag="close", omit_defaults=True):
    """Close a socket, or all those of a user."""

    code: int
    reason: Annotated[str, msgspec.Meta(max_length=MAX_CONTROL_BYTES)]
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


class Look(msgspec.Struct, tag="look"):
    """How many sockets have you?  Answer to that node's channel."""

    ask: int
    node: Tag


class Seen(msgspec.Struct, tag="seen"):
    """The answer."""

    ask: int
    node: Tag
    sockets: Annotated[int, msgspec.Meta(ge=0)]
    #: Whether it is about to end.
    leaving: bool = False


class Load(msgspec.Struct, tag="load", omit_defaults=True):
    """So many sockets a node has; said to all, now and then, by those that rebalance."""

    node: Tag
    sockets: Annotated[int, msgspec.Meta(ge=0)]
    #: Whether it is about to end.
    leaving: bool = False


Command = Close | Count | Counted | Look | Seen | Load

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Command).decode


class NodeCount(NamedTuple):
    """What a node says of itself."""

    sockets: int
    #: Whether it is about to end, so that sockets should not be counted on to stay.
    is_leaving: bool


class Commands:
    """Sends commands, and does those that come."""

    def __init__(self, tag: str, fanout: Fanout, post: Callable[[str, bytes], None]) -> None:
        self._tag = tag
        self._fanout = fanout
        self._post = post  # (channel, payload): fire and forget
        self._numbers = itertools.count(1)
        self._asked: dict[int, dict[str, Counted | Seen]] = {}
        #: Whether this node is about to end; its process says so.
        self.is_leaving: bool = False
        #: Told what nodes say of their sockets.
        self.on_load: Callable[[Load], object] | None = None
        self._second_began = 0.0
        self._answers = 0

    def close_socket(self, node: str, socket_id: str, code: int, reason: str) -> bytes:
        """The command that closes one socket of another node."""
        return _encode(Close(code, fit_reason(reason), socket=socket_id))

    def close_user(self, user_id: str, code: int, reason: str) -> bytes:
        """The command that closes a user's sockets on the other nodes."""
        return _encode(Close(code, fit_reason(reason), user=user_id, node=self._tag))

    async def count(self, topic: str, timeout_s: float) -> dict[str, int]:
        """Ask every node how many sockets want the topic: node tag → count, of those that answered."""
        answers = await self._ask(lambda ask: Count(topic, ask, self._tag), timeout_s)
        counts = {node: answer.sockets for node, answer in answers.items()}
        counts[self._tag] = len(self._fanout.interest.sockets(topic))
        return counts

    async def look(self, timeout_s: float) -> dict[str, NodeCount]:
        """Ask every node how many sockets it has, likewise."""
        answers = await self._ask(lambda ask: Look(ask, self._tag), timeout_s)
        seen = {
            node: NodeCount(answer.sockets, answer.leaving)
            for node, answer in answers.items()
            if isinstance(answer, Seen)
        }
        seen[self._tag] = self.own_count()
        return seen

    def own_count(self) -> NodeCount:
        """What this node answers."""
        return NodeCount(len(self._fanout.sockets), self.is_leaving)

    def tell_load(self) -> None:
        """Say to all, this node included, how many sockets it has."""
        load = Load(self._tag, len(self._fanout.sockets), self.is_leaving)
        self._post(BROADCAST_CHANNEL, _encode(load))

    async def _ask(self, command: Callable[[int], Command], timeout_s: float) -> dict[str, Counted | Seen]:
        ask = next(self._numbers)
        answers = self._asked[ask] = {}
        try:
            self._post(BROADCAST_CHANNEL, _encode(command(ask)))
            await anyio.sleep(timeout_s)
        finally:
            del self._asked[ask]
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
            self._answer(
                command.node,
                Counted(command.ask, self._tag, len(self._fanout.interest.sockets(command.topic))),
            )
        elif isinstance(command, Look):
            count = self.own_count()
            self._answer(command.node, Seen(command.ask, self._tag, count.sockets, count.is_leaving))
        elif isinstance(command, Load):
            if self.on_load is not None:
                self.on_load(command)
        elif command.ask in self._asked and len(self._asked[command.ask]) < _MOST_NODES:
            self._asked[command.ask][command.node] = command

    def _answer(self, node: str, answer: Counted | Seen) -> None:
        if now() - self._second_began >= 1:
            self._second_began, self._answers = now(), 0
        self._answers += 1
        if self._answers <= _ANSWERS_PER_S:
            self._post(node_channel(node), _encode(answer))

    def _close(self, command: Close) -> None:
        check_close_code(command.code)
        if command.node == self._tag:
            return
        if command.socket is not None:
            socket = self._fanout.sockets.get(command.socket)
            sockets = [] if socket is None else [socket]
        else:
            sockets = [] if command.user is None else self._fanout.of_user(command.user)
        self._fanout.close(sockets, command.code, command.reason)
