"""What waits for a connection, and what waits for an answer.  Neither does I/O."""

from __future__ import annotations

import itertools
import secrets
from collections import OrderedDict
from collections.abc import Callable

from wigwag.client.errors import RequestFailed, SendBufferFull
from wigwag.client.messages import ReplyFrame
from wigwag.client.waiting import Outcome
from wigwag.wire.client import CorrelationId

#: The data of an answer, as JSON.
Answer = Outcome[bytes]


class Message:
    """A message on its way out; ``request_id`` is the correlation id of one that expects an answer."""

    __slots__ = ("content", "request_id", "size_bytes")

    def __init__(self, content: str | bytes, request_id: str | None = None) -> None:
        self.content: str | bytes = content
        self.request_id: str | None = request_id
        is_short = isinstance(content, bytes) or content.isascii()
        self.size_bytes: int = len(content) if is_short else len(str(content).encode())


class SendBuffer:
    """Messages that wait for a connection, in order and within two limits."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages: OrderedDict[Message, None] = OrderedDict()
        self.size_bytes: int = 0

    def __len__(self) -> int:
        return len(self._messages)

    def append(self, message: Message) -> None:
        """Keep a message.

        Raises:
            SendBufferFull: it does not fit; nothing has changed.
        """
        size_bytes = self.size_bytes + message.size_bytes
        if len(self._messages) >= self._max_messages or size_bytes > self._max_bytes:
            raise SendBufferFull(
                f"not connected, and a message of {message.size_bytes} bytes does not fit beside the "
                f"{len(self._messages)} that wait ({self.size_bytes} bytes): the limits are "
                f"send_buffer_messages={self._max_messages} and send_buffer_bytes={self._max_bytes}"
            )
        self._messages[message] = None
        self.size_bytes = size_bytes

    def pop(self) -> Message:
        """Take the oldest.  Raises KeyError when there is none."""
        message, _ = self._messages.popitem(last=False)
        self.size_bytes -= message.size_bytes
        return message

    def put_back(self, message: Message) -> None:
        """Return the message that was popped last: it was not sent."""
        self._messages[message] = None
        self._messages.move_to_end(message, last=False)
        self.size_bytes += message.size_bytes

    def discard(self, message: Message) -> None:
        """Drop a message, if it still waits."""
        if message in self._messages:
            del self._messages[message]
            self.size_bytes -= message.size_bytes

    def clear(self) -> None:
        """Drop all."""
        self._messages.clear()
        self.size_bytes = 0


class Requests:
    """Who waits for which answer."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4) + "-"  # so that a late answer is known as one of ours
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Answer] = {}
        self._sent: set[str] = set()

    def new(self, done: Callable[[Answer], object] | None = None) -> tuple[str, Answer]:
        """A correlation id, and the answer that is to come; ``done`` is called when it has, or won't."""
        request_id = f"{self._prefix}{next(self._numbers)}"
        answer = self._waiting[request_id] = Outcome(done)
        return request_id, answer

    def sent(self, request_id: str | None) -> None:
        """A request was handed to a connection, and is lost with it."""
        if request_id in self._waiting:
            self._sent.add(request_id)

    def unsent(self, request_id: str | None) -> None:
        """It was not, after all."""
        self._sent.discard(request_id or "")

    def is_ours(self, correlation_id: CorrelationId | None) -> bool:
        """Whether an answer is to a request of ours, waited for or not."""
        return isinstance(correlation_id, str) and correlation_id.startswith(self._prefix)

    def resolve(self, reply: ReplyFrame) -> None:
        """Hand an answer to who waits for it.  A late one is dropped: its request has raised."""
        answer = self._pop(str(reply.correlation_id))
        if answer is None:
            return
        if reply.error is None:
            answer.set(reply.data)
        else:
            answer.fail(RequestFailed(reply.type, reply.error, reply.details))

    def forget(self, request_id: str) -> None:
        """Nobody waits any longer."""
        self._pop(request_id)

    def fail_sent(self, error: Exception) -> None:
        """The connection ended: the answers to what it was handed will not come."""
        self._fail(list(self._sent), error)

    def fail_all(self, error: Exception) -> None:
        """There will be no connection."""
        self._fail(list(self._waiting), error)

    def _fail(self, request_ids: list[str], error: Exception) -> None:
        for answer in filter(None, map(self._pop, request_ids)):
            answer.fail(error)

    def _pop(self, request_id: str) -> Answer | None:
        self._sent.discard(request_id)
        return self._waiting.pop(request_id, None)
