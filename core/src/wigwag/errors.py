"""Everything that wigwag raises, as one tree.

::

    WigwagError
    ├── SettingsError            a setting that can't be used; names the variable and the accepted form
    │   └── UnknownProvider      no plugin of that name is installed
    ├── NotRunning               used before start, or after stop
    ├── InvalidTopic             (ValueError) not a topic, or one that is reserved
    ├── InvalidSocketId          (ValueError) not an id that wigwag made
    ├── InvalidMessage           (ValueError) what was to be sent does not fit its own definition
    ├── PublishError
    │   ├── NotAccepted          certainly not sent; publish it again if it still matters
    │   │   └── PayloadTooLarge  larger than the broker takes
    │   └── Uncertain            handed over, then the link was lost: it may have been delivered
    ├── SubscribeError
    │   ├── NotLive              not confirmed within the deadline; the wish stands
    │   ├── NotConnected         the socket has gone
    │   ├── Unsubscribed         the socket was unsubscribed while it waited
    │   └── TopicRefused         the broker forbids the topic; tried again every 30 s
    ├── NotDescribable           what an application says can't be written as TypeScript or AsyncAPI
    ├── SocketError              raised by a handler: its text is for the client
    │   └── Forbidden
    └── BrokerError              what broker plugins raise (see :mod:`wigwag.broker`)
        ├── BrokerLost           the session is over
        └── Refused              the broker refused some, or all, of one call

The Python client's errors are a tree of their own below WigwagError: :mod:`wigwag.client`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class WigwagError(Exception):
    """The root of everything that wigwag raises on purpose."""


class SettingsError(WigwagError):
    """A setting that can't be used.

    ``variable`` is the environment variable, where there is one.
    """

    def __init__(self, message: str, *, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


class UnknownProvider(SettingsError):
    """No installed plugin has this name; the message lists those that do."""


class NotRunning(WigwagError):
    """Used before it was started, or after it was stopped."""


class InvalidTopic(WigwagError, ValueError):
    """Not a topic, or one that the application may not use; ``rule`` says why."""

    def __init__(self, topic: object, rule: str) -> None:
        shown = repr(topic) if len(repr(topic)) <= 80 else repr(topic)[:77] + "…"
        super().__init__(f"{shown} is no topic that can be used: {rule}")
        self.topic = topic
        self.rule = rule


class InvalidSocketId(WigwagError, ValueError):
    """Not a socket id: they are version 4 UUIDs in lower case, as ``ctx.id`` gives them."""

    def __init__(self, socket_id: object) -> None:
        shown = repr(socket_id) if len(repr(socket_id)) <= 80 else repr(socket_id)[:77] + "…"
        super().__init__(f"{shown} is no socket id: it must be a lower-case version 4 UUID")
        self.socket_id = socket_id


class InvalidMessage(WigwagError, ValueError):
    """What was to be sent does not fit its own definition.

    ``details`` is a list of ``{"path", "message"}``.
    """

    def __init__(self, message: str, details: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.details: list[dict[str, str]] = [dict(detail) for detail in details]


class PublishError(WigwagError):
    """A publish that did not succeed."""


class NotAccepted(PublishError):
    """Certainly not sent: the broker never got it. Publishing it again duplicates nothing."""


class PayloadTooLarge(NotAccepted):
    """Larger than the broker takes; both sizes are in bytes, the envelope included."""

    def __init__(self, topic: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the message for topic {topic!r} is {size_bytes} bytes, and the broker takes at most {limit_bytes}"
        )
        self.topic = topic
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class Uncertain(PublishError):
    """Handed to the broker, then the link was lost or the deadline passed.

    It may have been delivered, or may be still. Core never retries it; a caller that can bear a
    duplicate may.
    """


class SubscribeError(WigwagError):
    """A subscribe that did not become live; ``topic`` is the one that it concerns."""

    def __init__(self, topic: str, message: str) -> None:
        super().__init__(message)
        self.topic = topic


class NotLive(SubscribeError):
    """Not confirmed within the deadline. The wish stands: the topic comes alive when it can, and the
    socket is told by ``wigwag.resync`` then."""


class NotConnected(SubscribeError):
    """The socket has gone, or never was attached."""


class Unsubscribed(SubscribeError):
    """The socket was unsubscribed from the topic while it waited for it."""


class TopicRefused(SubscribeError):
    """The broker forbids the topic. The wish stands, and is tried again every 30 s and in each session."""


class NotDescribable(WigwagError):
    """What an application says can't be written as TypeScript or AsyncAPI; the message names what it is of."""


class SocketError(WigwagError):
    """Raise this in a handler or guard to answer the client: ``text`` becomes the reply's ``error``.

    ``details``, a list of ``{"path", "message"}``, is sent along when it is given.
    """

    def __init__(self, text: str, details: Sequence[Mapping[str, Any]] | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.details: list[dict[str, Any]] | None = (
            None if details is None else [dict(detail) for detail in details]
        )


class Forbidden(SocketError):
    """The client may not do this. The reply's ``error`` is ``Forbidden`` unless another text is given."""

    def __init__(self, text: str = "Forbidden", details: Sequence[Mapping[str, Any]] | None = None) -> None:
        super().__init__(text, details)


class BrokerError(WigwagError):
    """What broker plugins raise."""


class BrokerLost(BrokerError):
    """The broker session is over; core makes another one."""


class Refused(BrokerError):
    """The broker refused part of a call, and the session lives.

    ``reasons`` maps what was refused (topics for subscribe, indices for publish) to why. ``None``: all
    of it was, and core asks one by one.
    """

    def __init__(self, reasons: Mapping[Any, str] | None = None) -> None:
        super().__init__("all refused" if reasons is None else f"refused: {dict(reasons)}")
        self.reasons = reasons
