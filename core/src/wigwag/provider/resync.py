"""Who must be told that messages may have been lost.  Sans-I/O.

While the link to the broker is down, what others publish does not reach this node.  Each socket
concerned is told once per outage, by ``wigwag.resync``, *after* every topic that was lost is live
again: told earlier, it would refetch, and then lose what is published until its topic is back.

- Told of a topic: the sockets whose wish came before the loss; one that left meanwhile and came back;
  and one whose ``subscribe`` gave up waiting.
- Not told of it: newcomers, whose ``subscribe`` is waiting still, or returned when the topic was live.
- Told with no topic: every other socket, since broadcasts and direct messages were lost too.

A second loss before the telling neither forgets the first nor tells twice.  What a session kept is owed nothing once
it is back; until then it is in doubt, since that session may end, or find a gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

S = TypeVar("S")


class Ledger(Generic[S]):
    """What each socket is owed.  ``S`` is the socket, hashable by identity."""

    def __init__(self) -> None:
        self._lost: set[str] = set()  # were live, and are not back
        self._suspect: set[str] = set()  # the same, unless the new session has kept them
        self._kept: set[str] = set()  # it has, and they are not back
        self._kept_refused: set[str] = set()  # the same, and not waited for
        self._dropped: set[str] = set()  # suspect or kept, and wanted by nobody now
        self._forgiven: set[str] = set()  # were kept, and are back
        self._is_kept = False  # there is a session, and it has kept what was live
        self._everybody = False  # broadcasts and direct messages were lost
        self._everybody_suspect = False  # the same, unless the new session has kept them
        self._newcomers: dict[str, set[S]] = {}  # topic lost → sockets that are NOT told
        self._gave_up: dict[str, set[S]] = {}  # topic not live → sockets that are told in any case
        self._left: dict[S, set[str]] = {}  # topics lost that a socket left meanwhile
        self._owed: dict[S, set[str]] = {}
        self._words: set[S] = set()  # of those owed, who is told though no topic of theirs remains

    def lose(self, topics: Iterable[str], *, was_ready: bool) -> None:
        """A session ended, in which these were live."""
        self._suspect.update(topics)
        # What it kept, and did not hand out before it ended, is in doubt again.
        self._suspect |= self._kept | self._kept_refused
        self._kept.clear()
        self._kept_refused.clear()
        self._forgiven -= self._suspect
        self._is_kept = False
        if was_ready:
            self._everybody_suspect = True

    def begin(self, *, kept: bool) -> None:
        """A session began; ``kept``: nothing of what was live is lost."""
        self._is_kept = kept
        if kept:
            self._kept |= self._suspect - self._lost
        else:
            self._dropped.clear()
            self._lost |= self._suspect
            self._everybody = self._everybody or self._everybody_suspect
        self._suspect.clear()
        self._everybody_suspect = False

    def _is_lost(self, topic: str) -> bool:
        return (
            topic in self._lost
            or topic in self._suspect
            or topic in self._kept
            or topic in self._kept_refused
        )

    @property
    def _in_outage(self) -> bool:
        return bool(self._everybody or self._everybody_suspect or self._lost or self._suspect or self._kept)

    def came(self, topic: str, socket: S) -> None:
        """A socket now wants a topic that is not live."""
        if topic in self._dropped:
            self._dropped.discard(topic)
            (self._kept if self._is_kept else self._suspect).add(topic)
        left = self._left.get(socket)
        came_back = left is not None and topic in left and topic not in self._forgiven
        if left is not None:
            left.discard(topic)
        if not self._is_lost(topic):
            if came_back:
                self._gave_up.setdefault(topic, set()).add(socket)
        elif not came_back:
            self._newcomers.setdefault(topic, set()).add(socket)

    def gave_up(self, topic: str, socket: S) -> None:
        """A socket's ``subscribe`` ended before the topic was live; the wish stands."""
        _discard(self._newcomers, topic, socket)
        if topic not in self._lost:
            self._gave_up.setdefault(topic, set()).add(socket)

    def left(self, topic: str, socket: S, *, last: bool) -> None:
        """A socket no longer wants a topic."""
        if self._in_outage:
            told = socket in self._gave_up.get(topic, ())
            if self._is_lost(topic):
                told = socket not in self._newcomers.get(topic, ())
            if told:
                self._left.setdefault(socket, set()).add(topic)
        _discard(self._newcomers, topic, socket)
        _discard(self._gave_up, topic, socket)
        if last:  # nobody wants it: it will not come back, and must not be waited for
            if topic in self._suspect or topic in self._kept:
                self._dropped.add(topic)
            self._lost.discard(topic)
            self._suspect.discard(topic)
            self._kept.discard(topic)
            self._kept_refused.discard(topic)
            self._newcomers.pop(topic, None)

    def forget(self, socket: S) -> None:
        """A socket has gone; its topics were left before."""
        self._owed.pop(socket, None)
        self._words.discard(socket)
        self._left.pop(socket, None)

    def back(self, topic: str, members: Iterable[S]) -> None:
        """A topic is live (again): decide whom to tell."""
        told = self._gave_up.pop(topic, set())
        if topic in self._kept or topic in self._kept_refused:
            self._kept.discard(topic)
            self._kept_refused.discard(topic)
            self._forgiven.add(topic)
            self._newcomers.pop(topic, None)
        if topic in self._lost:
            self._lost.discard(topic)
            told = told.union(members) - self._newcomers.pop(topic, set())
        for socket in told:
            self._owed.setdefault(socket, set()).add(topic)

    def refused(self, topic: str, members: Iterable[S]) -> None:
        """The broker forbids a topic that was lost: don't wait for it; tell now, and when it is back."""
        if topic in self._kept:
            self._kept.discard(topic)
            self._kept_refused.add(topic)
        if topic in self._lost:
            members = list(members)
            self.back(topic, members)
            self._gave_up[topic] = set(members)

    def everybody(self, sockets: Iterable[S], *, always: bool = False) -> None:
        """Broadcasts and direct messages are heard again: owe each socket a word."""
        if always or self._everybody:
            self._everybody = self._everybody and always
            for socket in sockets:
                self._owed.setdefault(socket, set())
                self._words.add(socket)

    def gap(self, topic: str, members: Iterable[S], *, is_live: bool) -> None:
        """Messages of a topic were lost though the session lives: it is live, or was kept and is not back."""
        if topic in self._kept:
            self._kept.discard(topic)
            self._lost.add(topic)
        elif topic in self._kept_refused:
            self._kept_refused.discard(topic)
            self._lost.add(topic)
            self.refused(topic, members)
        elif is_live:
            for socket in members:
                self._owed.setdefault(socket, set()).add(topic)

    @property
    def is_due(self) -> bool:
        """Whether there is somebody to tell, and all that was lost is back."""
        return bool(self._owed) and not self._in_outage

    @property
    def owed_count(self) -> int:
        """How many sockets are owed a word."""
        return len(self._owed)

    def pop(self) -> tuple[S, list[str], bool]:
        """A socket to tell now; its topics, some of which it may have left by now; and whether to tell it
        though it has left all of them.

        Only while :attr:`is_due`.
        """
        socket, topics = self._owed.popitem()
        is_word = socket in self._words
        self._words.discard(socket)
        return socket, sorted(topics), is_word

    def rest(self) -> None:
        """Called when all are told: who left in an outage that is over, and comes back, comes anew."""
        if not self._owed and not self._in_outage:
            self._left.clear()
            self._dropped.clear()
            self._forgiven.clear()


def _discard(table: dict[str, set[S]], topic: str, socket: S) -> None:
    sockets = table.get(topic)
    if sockets is not None:
        sockets.discard(socket)
        if not sockets:
            del table[topic]
