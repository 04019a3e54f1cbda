"""What a topic may be called."""

from __future__ import annotations

import re
from typing import Final

from wigwag.errors import InvalidTopic

MAX_TOPIC_CHARACTERS: Final = 256
#: Names that begin so are wigwag's own: applications can't publish to them, clients can't join them.
RESERVED_PREFIX: Final = "__"

#: Whether a text has the form of a topic, be it reserved or not.
is_topic: Final = re.compile(r"[A-Za-z0-9_:.-]{1,256}", re.ASCII).fullmatch


def check_topic(topic: str) -> None:
    """Return if ``topic`` can be used by an application.

    Raises:
        InvalidTopic: it is empty, longer than 256 characters, has a character outside
            ``[A-Za-z0-9_:.-]``, or begins with ``__``.
    """
    if type(topic) is str and is_topic(topic) and topic[:2] != RESERVED_PREFIX:
        return
    raise InvalidTopic(topic, _broken_rule(topic))


def _broken_rule(topic: object) -> str:
    if not isinstance(topic, str):
        return "a topic is a string"
    if not topic:
        return "a topic has at least one character"
    if len(topic) > MAX_TOPIC_CHARACTERS:
        return f"a topic has at most {MAX_TOPIC_CHARACTERS} characters, this one has {len(topic)}"
    if not is_topic(topic):
        return "a topic is made of the characters A-Z a-z 0-9 _ : . -"
    return "names that begin with __ are reserved"


def topic(*parts: str | int) -> str:
    """Join parts with colons to a topic: ``topic("incidents", account, project)``.

    A part that holds a colon is refused, since it would name another topic than the one meant: with
    ``f"room:{room}"`` a client that says ``a:b`` reaches a topic that is not its room.

    Raises:
        InvalidTopic: a part is empty or holds a colon, or the whole is no topic.
    """
    texts = [str(part) for part in parts]
    name = ":".join(texts)
    for part in texts:
        if not part:
            raise InvalidTopic(name, "a part of it is empty")
        if ":" in part:
            raise InvalidTopic(name, f"its part {part!r} holds a colon, which would name another topic")
    check_topic(name)
    return name
