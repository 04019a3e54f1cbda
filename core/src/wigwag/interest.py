"""Which local sockets want which topics.  Sans-I/O.

Both directions are kept, topic → sockets and socket → topics, with a value that stands alone kept bare
and several in a dict.  Most topics have one socket, and most sockets few topics: at 10 000 sockets with
100 topics of their own each this takes 64 bytes a subscription, both directions together, where sets
take 343 and make a full garbage collection five times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView
from typing import Any, Generic, TypeVar, cast

S = TypeVar("S")


class Interest(Generic[S]):
    """The table of who wants what.  Each call is O(1) in the number of topics and of sockets.

    ``S`` is the socket: hashable by identity, and never itself a dict.
    """

    __slots__ = ("_count", "_sockets", "_topics")

    def __init__(self) -> None:
        self._sockets: dict[str, S | dict[S, None]] = {}
        self._topics: dict[S, str | dict[str, None]] = {}
        self._count = 0

    def add(self, topic: str, socket: S) -> bool | None:
        """Note that ``socket`` wants ``topic``.

        Returns True if it is the topic's first socket, False if there were others, and None if it
        wanted the topic already.
        """
        sockets = self._sockets
        now = sockets.get(topic)
        first = now is None
        if now is None:
            sockets[topic] = socket
        elif type(now) is dict:
            if socket in now:
                return None
            now[socket] = None
        elif now is socket:
            return None
        else:
            sockets[topic] = {cast("S", now): None, socket: None}
        topics = self._topics.get(socket)
        if topics is None:
            self._topics[socket] = topic
        elif type(topics) is dict:
            topics[topic] = None
        else:
            self._topics[socket] = {cast("str", topics): None, topic: None}
        self._count += 1
        return first

    def remove(self, topic: str, socket: S) -> bool | None:
        """Note that ``socket`` no longer wants ``topic``.

        Returns True if it was the topic's last socket, False if others remain, and None if it did not
        want the topic.
        """
        if not self.wants(socket, topic):
            return None
        _take_out(cast("dict[Any, Any]", self._topics), socket, topic)
        self._count -= 1
        return _take_out(cast("dict[Any, Any]", self._sockets), topic, socket)

    def wants(self, socket: S, topic: str) -> bool:
        """Whether ``socket`` wants ``topic``."""
        topics = self._topics.get(socket)
        if type(topics) is dict:
            return topic in topics
        return topics == topic

    def sockets(self, topic: str) -> KeysView[S] | tuple[S, ...]:
        """The sockets that want ``topic``; a view: copy it before a call that may change it."""
        now = self._sockets.get(topic)
        if now is None:
            return ()
        if type(now) is dict:
            return now.keys()
        return (cast("S", now),)

    def topics_of(self, socket: S) -> KeysView[str] | tuple[str, ...]:
        """The topics that ``socket`` wants; a view likewise."""
        topics = self._topics.get(socket)
        if topics is None:
            return ()
        if type(topics) is dict:
            return topics.keys()
        return (cast("str", topics),)

    def topics(self) -> KeysView[str]:
        """Every topic that some socket wants; a view likewise."""
        return self._sockets.keys()

    def __contains__(self, topic: object) -> bool:
        return topic in self._sockets

    def __iter__(self) -> Iterator[str]:
        return iter(self._sockets)

    def __len__(self) -> int:
        """How many topics some socket wants."""
        return len(self._sockets)

    @property
    def subscriptions(self) -> int:
        """How many pairs of a topic and a socket there are."""
        return self._count


def _take_out(table: dict[Any, Any], key: Any, value: Any) -> bool:
    """Take ``value``, which is there, out of what ``key`` has; whether nothing remains."""
    now = table[key]
    if type(now) is not dict:
        del table[key]
        return True
    del now[value]
    if len(now) == 1:
        table[key] = next(iter(now))
    return False
