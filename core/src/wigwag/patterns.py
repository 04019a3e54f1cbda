"""Which topics a client may join, or publish to: a pattern, as tokens and settings have it.  Sans-I/O."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from wigwag.topics import MAX_TOPIC_CHARACTERS, RESERVED_PREFIX, is_topic

#: Any one segment, and at the end of a pattern any number of them, of at least one.
ONE: Final = "*"
MANY: Final = "**"
#: The segment that is the client's own user.
USER: Final = "{sub}"

_is_plain = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII).fullmatch


class Pattern:
    """A topic, segment by segment, in which a segment may stand for others.

    ``:`` ends a segment.  ``*`` is any one segment, ``**`` at the end any number of them, at least one, and ``{sub}``
    the user that the token is for.  A segment is never empty, and no wildcard reaches over a colon: ``orders:*`` is
    ``orders:7``, neither ``orders``, ``orders:`` nor ``orders:7:items``.  No pattern is a name that begins with ``__``.
    """

    __slots__ = ("_has_many", "_segments", "text")

    accepted: ClassVar[str] = (
        "a topic in which a whole segment may be * or {sub}, and the last one **, like orders:*"
    )

    def __init__(self, text: str) -> None:
        """Raises ValueError, saying what is wrong with it."""
        why = _why_not(text)
        if why is not None:
            raise ValueError(why)
        segments = text.split(":")
        self.text: str = text
        self._has_many = segments[-1] == MANY
        self._segments = segments[:-1] if self._has_many else segments

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """As a setting.  Raises ValueError."""
        return cls(text)

    def matches(self, topic: str, user: str) -> bool:
        """Whether it is one of these topics, for this user."""
        if not is_topic(topic) or topic.startswith(RESERVED_PREFIX):
            return False
        segments = topic.split(":")
        own = self._segments
        if len(segments) <= len(own) if self._has_many else len(segments) != len(own):
            return False
        if "" in segments:
            return False
        # What stands for the user is compared, never read as a pattern: a colon or a * in it can't match.
        return all(
            part in (ONE, segment) or (part == USER and segment == user)
            for part, segment in zip(own, segments, strict=False)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _why_not(text: str) -> str | None:
    if not 0 < len(text) <= MAX_TOPIC_CHARACTERS:
        return f"a pattern has 1 to {MAX_TOPIC_CHARACTERS} characters"
    if text.startswith(RESERVED_PREFIX):
        return f"names that begin with {RESERVED_PREFIX} are reserved"
    segments = text.split(":")
    if MANY in segments[:-1]:
        return "** stands at the end only"
    for segment in segments:
        if not segment:
            return "a segment of it is empty"
        if segment not in (ONE, MANY, USER) and not _is_plain(segment):
            if ONE in segment:
                return "* is a whole segment, between colons"
            return "a segment is made of A-Z a-z 0-9 _ . -, or is *, ** or {sub}"
    return None
