"""What a client is known by, where it comes from, and when a fresh one is due."""

from __future__ import annotations

import base64
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from wigwag.client.errors import ConnectionRefused
from wigwag.wire.client import REFUSED, TOKEN_EXPIRED

#: A text, or what gives one whenever it is asked.
Source = str | Callable[[], str] | Callable[[], Awaitable[str]]

#: The least that a token is taken to be good for, which the server has just accepted: clocks differ.
_LEAST_S: Final = 2.0
#: With less than this left nothing is tried any more.
_TOO_LATE_S: Final = 1.0
#: A fresh one is asked for when so much of the time is over: those who came together don't all come again
#: together, and there is time to try again.
_EARLIEST, _LATEST = 0.65, 0.85


async def ask(source: Source) -> str:
    """What is given, or what the function gives.  Raises what it raises."""
    if isinstance(source, str):
        return source
    given = source()
    return await given if inspect.isawaitable(given) else given


class _Times(msgspec.Struct):
    exp: float
    iat: float = -math.inf


def seconds_left(token: str, clock: Callable[[], float] = time.time) -> float | None:
    """For how long a token (JWT) that the server has just accepted is good; None where that can't be told.

    It can't be good for longer than it was made for, whatever this machine takes for the time.
    """
    try:
        payload = token.split(".")[1]
        times = msgspec.json.decode(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Times
        )
    except (IndexError, ValueError, RecursionError):
        return None
    return max(_LEAST_S, min(times.exp - clock(), times.exp - times.iat))


class Renewed(msgspec.Struct, rename="camel"):
    """What the stock service answers to a newer token."""

    expires_in_s: float | None = None
    #: The rooms that it does not allow, which the server has left.
    left: list[str] = []

    @classmethod
    def of(cls, data: bytes) -> Renewed:
        """Of what was answered; an application's own answer says nothing."""
        try:
            return msgspec.json.decode(data, type=cls)
        except ValueError:
            return cls()


class Tokens:
    """The tokens of one client, one after the other."""

    def __init__(self, source: Source | None, random: Callable[[], float]) -> None:
        self._source = source
        self._random = random
        #: The one of the connection, or of the attempt to make one.
        self.current: str = ""
        #: Whether one was found to be too old, and no connection has lasted since.
        self._was_expired = False

    @property
    def is_renewable(self) -> bool:
        """Whether there are fresh ones to be had."""
        return self._source is not None and not isinstance(self._source, str)

    async def fresh(self) -> str:
        """Ask for one; empty where there is none.  Raises what the function raises."""
        if self._source is not None:
            self.current = await ask(self._source)
        return self.current

    def due_s(self, left_s: float | None) -> float | None:
        """After how many seconds a fresh one is to be sent, where so many are left; None: never."""
        if left_s is None or left_s <= _TOO_LATE_S or not self.is_renewable:
            return None
        return left_s * (_EARLIEST + (_LATEST - _EARLIEST) * self._random())

    def began(self) -> None:
        """A client is told to connect."""
        self._was_expired = False

    def lasted(self) -> None:
        """A connection has lasted: with the next token that is too old a fresh one is tried again."""
        self._was_expired = False

    def tries_again(self, refused: ConnectionRefused) -> bool:
        """Whether one more attempt is made: it was refused for its token's age alone, for the first time."""
        is_age = refused.code == REFUSED and refused.reason == TOKEN_EXPIRED
        if not is_age or not self.is_renewable or self._was_expired:
            return False
        self._was_expired = True
        return True


def with_token(headers: Mapping[str, str], token: str) -> dict[str, str]:
    """The headers of a handshake, with the token among them unless it is empty."""
    if not token:
        return dict(headers)
    others = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return {**others, "Authorization": f"Bearer {token}"}
