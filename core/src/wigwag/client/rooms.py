"""Which rooms the client wants to be in, and which of them this connection has asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wigwag.client.backoff import backoff_s
from wigwag.client.errors import ConnectionClosed, RequestFailed
from wigwag.client.waiting import Bell, Outcome
from wigwag.errors import Unsubscribed
from wigwag.wire.client import TOO_MANY_JOINS, TOO_MANY_MESSAGES, UNAVAILABLE

#: What a join is answered that came too early.
_TOO_EARLY = (TOO_MANY_MESSAGES, TOO_MANY_JOINS)
#: How long before a room is asked for again that was asked for too early: about so long at first, and at most.
#: Ten refusals a minute end a connection.
_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 20.0


class Room:
    """A room that the client wants to be in.

    ``outcome`` is of the join on this connection or, while there is none, on the next.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.was_joined = False
        #: How many calls wait for it.
        self.waiting = 0
        self.outcome: Outcome[None] = Outcome()

    def renew(self) -> None:
        """It is to be joined again; who still waits goes on waiting."""
        if self.outcome.is_done:
            self.outcome = Outcome()


class Rooms:
    """Rooms by name; those that are *due* have not been asked for on this connection."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self._due: dict[str, None] = {}
        #: Those that this connection asked for too early, to be asked for again.
        self._too_early: dict[str, None] = {}
        #: How many pauses there have been since a room was last joined.
        self._pauses = 0
        self._changed = Bell()

    def __contains__(self, name: str) -> bool:
        return name in self._rooms

    def names(self) -> frozenset[str]:
        """The rooms wanted, as a snapshot."""
        return frozenset(self._rooms)

    def add(self, name: str) -> Room:
        """Want a room.  It becomes due, unless it has been asked for and was not refused."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name)
            self._due[name] = None
        elif room.outcome.error is not None:
            room.renew()
            self._due[name] = None
        return room

    def remove(self, name: str) -> bool:
        """Want it no longer.  Returns whether it was wanted."""
        room = self._rooms.pop(name, None)
        self._due.pop(name, None)
        self._too_early.pop(name, None)
        if room is None:
            return False
        room.outcome.fail(Unsubscribed(name, f"room {name!r} was left while it was being joined"))
        return True

    def connection_began(self) -> None:
        """Nothing has been asked for on this connection."""
        for room in self._rooms.values():
            room.renew()
        self._due = dict.fromkeys(self._rooms)
        self._too_early.clear()

    def next_due(self) -> Room | None:
        """A room to ask for now, once a connection."""
        if not self._due:
            return None
        name = next(iter(self._due))
        del self._due[name]
        return self._rooms[name]

    async def wait_until_too_early(self) -> None:
        """Return when there is a room that was asked for too early."""
        while not self._too_early:
            await self._changed.wait()

    def pause_s(self, random: Callable[[], float]) -> float:
        """How long to wait before one is asked for again: it grows until a room is joined."""
        self._pauses += 1
        return backoff_s(self._pauses - 1, _PAUSE_S, _LONGEST_PAUSE_S, random)

    def make_one_due(self) -> None:
        """Of the rooms that were asked for too early, one is to be asked for again: the first of them."""
        if self._too_early:
            name = next(iter(self._too_early))
            del self._too_early[name]
            self._due[name] = None

    def settle(self, room: Room, error: Exception | None) -> RequestFailed | None:
        """The server answered, or the connection was lost before it did.

        A room that is refused at its first join is forgotten.  One that was joined before stays
        wanted, to be tried on the next connection.  So does one that is unavailable: the join stands at the
        server, and comes alive later.  One that was asked for too early is to be asked for again on this
        connection, and who waits goes on waiting.  Returned is what no call raises, to be told elsewhere.
        """
        if isinstance(error, ConnectionClosed) or room.outcome.is_done:
            return None
        if error is None:
            room.was_joined = True
            self._pauses = 0
            room.outcome.set(None)
            return None
        if not isinstance(error, RequestFailed):
            return None
        if error.error in _TOO_EARLY:
            self._too_early[room.name] = None
            self._changed.ring()
            return error
        room.outcome.fail(error)
        is_kept = room.was_joined or error.error == UNAVAILABLE
        if not is_kept and self._rooms.get(room.name) is room:
            del self._rooms[room.name]
        return error if room.was_joined or not room.waiting else None

    def lose(self, name: str, error: RequestFailed) -> bool:
        """The server has let go of it.  It stays wanted, to be tried on the next connection, or when it is added.

        Returns whether it was wanted.
        """
        room = self._rooms.get(name)
        if room is None:
            return False
        room.renew()
        room.outcome.fail(error)
        return True

    def fail_all(self, error: Exception) -> None:
        """There will be no connection; the rooms stay wanted."""
        for room in self._rooms.values():
            room.outcome.fail(error)

    def clear(self) -> None:
        """Want none."""
        for name in list(self._rooms):
            self.remove(name)
