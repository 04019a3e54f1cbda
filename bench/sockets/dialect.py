"""What a client says to each server: how it greets, joins the topic, publishes, and asks for an echo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Step(NamedTuple):
    """A text that a client sends, or the beginning of one that it waits for."""

    kind: Literal["send", "await"]
    text: str


class Exchange(NamedTuple):
    """What stands around a payload in a client's text, and before it in the server's."""

    before: str = ""
    after: str = ""
    record: str = ""


def steps(*texts: str) -> tuple[Step, ...]:
    """Send, await, send, and so on."""
    return tuple(Step("await" if number % 2 else "send", text) for number, text in enumerate(texts))


PUBLISH, BACK = Exchange(before="p"), Exchange()


@dataclass(frozen=True)
class Dialect:
    """As the servers of ours that speak bare texts have it, unless said otherwise."""

    path: str = "/"
    hello: Sequence[Step] = ()
    join: Sequence[Step] = steps("jroom", "j")
    publish: Exchange = PUBLISH
    echo_path: str | None = None  # else the same
    echo: Exchange = BACK
    typed_path: str | None = None
    typed: Exchange | None = None


BARE = Dialect()
WIGWAG = Dialect(
    path="/topic?user=ann",
    echo_path="/echo",
    typed_path="/typed",
    typed=Exchange(
        '{"type":"ask","correlationId":1,"data":{"text":"',
        '"}}',
        '{"type":"ask","correlationId":1,"data":{"text":"',
    ),
)
#: Socket.IO 5 over Engine.IO 4, over WebSocket from the beginning.
SOCKET_IO = Dialect(
    path="/socket.io/?EIO=4&transport=websocket",
    hello=(Step("await", "0{"), *steps("40", "40{")),
    join=steps('420["join"]', "430["),
    publish=Exchange('42["publish","', '"]', '42["m","'),
    echo=Exchange('421["echo","', '"]', '431["'),
)
#: Its JSON protocol.
CENTRIFUGE = Dialect(
    hello=steps('{"id":1,"connect":{}}', '{"id":1,"connect"'),
    join=steps('{"id":2,"subscribe":{"channel":"room"}}', '{"id":2,"subscribe"'),
    publish=Exchange(
        '{"id":3,"publish":{"channel":"room","data":"', '"}}', '{"push":{"channel":"room","pub":{"data":"'
    ),
    echo=Exchange('{"id":4,"rpc":{"method":"echo","data":"', '"}}', '{"id":4,"rpc":{"data":"'),
)
